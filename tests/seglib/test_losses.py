from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from seglib.losses import (
    LOSSES,
    OVERLAPS,
    CrossEntropyLoss,
    FocalLoss,
    TopKLoss,
    TverskyLoss,
    WeightedSum,
    build_loss,
)
from seglib.recipe import LOSS_NAMES, Recipe
from seglib.target import Target
from tests import references
from tests.contracts import TARGETS, LossContract, random_batch

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


class TestEveryLoss(LossContract):
    @pytest.fixture(params=[(name, kind) for name in LOSS_NAMES for kind in TARGETS], ids=str)
    def subject(self, request: pytest.FixtureRequest) -> LossContract.Subject:
        name, kind = request.param
        return build_loss(Recipe(loss=name), TARGETS[kind]), TARGETS[kind]


def test_every_name_of_the_recipe_has_a_loss() -> None:
    assert set(LOSSES) == set(LOSS_NAMES)


REFERENCES: dict[str, Callable[..., float]] = {
    "bce": references.cross_entropy,
    "ce": references.cross_entropy,
    "dice": lambda *a, over: references.tversky(*a, alpha=0.5, beta=0.5, over=over),
    "dice_bce": lambda *a, over: (
        0.3 * references.tversky(*a, alpha=0.5, beta=0.5, over=over)
        + 0.7 * references.cross_entropy(*a)
    ),
    "tversky": lambda *a, over: references.tversky(*a, alpha=0.2, beta=0.9, over=over),
    "focal": lambda *a: references.focal(*a, gamma=1.5),
    "focal_tversky": lambda *a, over: references.tversky(
        *a, alpha=0.2, beta=0.9, power=1 / 1.5, over=over
    ),
    "topk_ce": lambda *a: references.topk(*a, fraction=0.25),
}
REFERENCES["dice_ce"] = REFERENCES["dice_bce"]


@pytest.mark.parametrize(
    ("name", "over"),
    [(name, "batch") for name in LOSS_NAMES]
    + [(name, "image") for name in ("dice", "dice_ce", "tversky", "focal_tversky")],
)
@each_target
def test_value_is_that_of_the_plain_reference(name: str, over: str, target: Target) -> None:
    knobs = {"dice_weight": 0.3, "tversky_alpha": 0.2, "tversky_beta": 0.9}
    knobs |= {"focal_gamma": 1.5, "topk_fraction": 0.25}
    recipe = Recipe.model_validate({"loss": name, "overlap_over": over, **knobs})
    logits, mask = random_batch(target, seed=11)
    options = {"over": over} if "dice" in name or "tversky" in name else {}
    wanted = REFERENCES[name](logits.numpy(), mask.numpy(), target, **options)
    assert build_loss(recipe, target)(logits, mask).item() == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("name", LOSS_NAMES)
@each_target
def test_image_by_image_a_batch_costs_the_mean_of_its_images(name: str, target: Target) -> None:
    loss = build_loss(Recipe.model_validate({"loss": name, "overlap_over": "image"}), target)
    logits, mask = random_batch(target, seed=8)
    alone = [loss(logits[i : i + 1], mask[i : i + 1]).item() for i in range(len(mask))]
    assert loss(logits, mask).item() == pytest.approx(sum(alone) / len(alone), rel=1e-12)


def test_over_a_batch_a_slice_without_the_class_adds_only_its_own_errors() -> None:
    # image 1: 2 true, both found; image 2: none true, one marked. TP = 2, FP = 1
    mask = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
    logits = torch.tensor([[[[100.0, 100.0, -100.0, -100.0]]], [[[100.0, -100.0, -100.0, -100.0]]]])
    target = TARGETS["binary"]
    batch, image = (TverskyLoss(target, alpha=0.5, beta=0.5, over=o) for o in ("batch", "image"))
    assert batch(logits, mask).item() == pytest.approx(1 - 3 / 3.5)
    assert image(logits, mask).item() == pytest.approx((0 + (1 - 1 / 1.5)) / 2)


# identities


@each_target
@pytest.mark.parametrize("kind", OVERLAPS)
def test_named_overlap_is_tversky_at_its_two_prices(kind: str, target: Target) -> None:
    alpha, beta = {"dice": (0.5, 0.5), "jaccard": (1.0, 1.0)}[kind]
    logits, mask = random_batch(target, seed=12)
    wanted = references.tversky(logits.numpy(), mask.numpy(), target, alpha=alpha, beta=beta)
    loss = TverskyLoss(target, alpha=OVERLAPS[kind][0], beta=OVERLAPS[kind][1])
    assert loss(logits, mask).item() == pytest.approx(wanted, rel=1e-10)


def test_dice_is_twice_iou_through_one_plus_iou() -> None:
    target = TARGETS["binary"]
    logits, mask = random_batch(target, seed=13, size=(1, 20, 20))
    dice, iou = (
        1 - TverskyLoss(target, alpha=a, beta=b, smooth=1e-9)(logits, mask).item()
        for a, b in (OVERLAPS["dice"], OVERLAPS["jaccard"])
    )
    assert dice == pytest.approx(2 * iou / (1 + iou), rel=1e-9)


@each_target
def test_tversky_with_equal_halves_is_dice(target: Target) -> None:
    logits, mask = random_batch(target, seed=14)
    recipe = Recipe(loss="tversky", tversky_alpha=0.5, tversky_beta=0.5)
    dice = build_loss(Recipe(loss="dice"), target)
    assert torch.equal(build_loss(recipe, target)(logits, mask), dice(logits, mask))


@each_target
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(loss="focal", focal_gamma=0.0),
        Recipe(loss="topk_ce", topk_fraction=1.0),
        Recipe(loss="dice_ce", dice_weight=0.0),
        Recipe(loss="bce"),
    ],
    ids=lambda recipe: recipe.loss,
)
def test_limit_case_is_cross_entropy(recipe: Recipe, target: Target) -> None:
    logits, mask = random_batch(target, seed=15)
    wanted = build_loss(Recipe(loss="ce"), target)(logits, mask).item()
    assert build_loss(recipe, target)(logits, mask).item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_focal_tversky_up_to_gamma_one_is_tversky(gamma: float) -> None:
    target = TARGETS["regions"]
    logits, mask = random_batch(target, seed=16)
    focal = build_loss(Recipe(loss="focal_tversky", focal_gamma=gamma), target)
    plain = build_loss(Recipe(loss="tversky"), target)
    assert torch.equal(focal(logits, mask), plain(logits, mask))


# by hand


def test_half_right_dice_by_hand() -> None:
    # 4 pixels, 2 true; probabilities 1, 0, 1, 0 against truth 1, 1, 0, 0: TP = FP = FN = 1
    mask = torch.tensor([[[1, 1], [0, 0]]])
    logits = torch.tensor([[[[100.0, -100.0], [100.0, -100.0]]]])
    dice = build_loss(Recipe(loss="dice"), TARGETS["binary"])
    assert dice(logits, mask).item() == pytest.approx(1 - (1 + 1) / (1 + 0.5 + 0.5 + 1))


def test_alpha_prices_false_positives_and_beta_false_negatives() -> None:
    target = TARGETS["binary"]
    mask = torch.tensor([[[1, 1, 0, 0]]])
    extra = torch.tensor([[[[100.0, 100.0, 100.0, -100.0]]]])
    missed = torch.tensor([[[[100.0, -100.0, -100.0, -100.0]]]])
    only_extra = TverskyLoss(target, alpha=1.0, beta=0.0)
    only_missed = TverskyLoss(target, alpha=0.0, beta=1.0)
    assert only_extra(extra, mask).item() == pytest.approx(1 - 3 / 4)
    assert only_extra(missed, mask).item() == 0
    assert only_missed(missed, mask).item() == pytest.approx(1 - 2 / 3)
    assert only_missed(extra, mask).item() == 0


def test_uncertain_binary_cross_entropy_is_log_two() -> None:
    mask = torch.tensor([[[0, 4]]])
    value = CrossEntropyLoss(TARGETS["binary"])(torch.zeros(1, 1, 1, 2), mask)
    assert value.item() == pytest.approx(np.log(2))


def test_topk_takes_the_hardest_pixels_of_each_image() -> None:
    target = TARGETS["binary"]
    mask = torch.zeros(2, 1, 4, dtype=torch.int64)
    logits = torch.tensor([[-9.0, -9.0, 1.0, -9.0], [-9.0, 5.0, -9.0, -9.0]]).view(2, 1, 1, 4)
    wanted = (np.log1p(np.exp(1.0)) + np.log1p(np.exp(5.0))) / 2
    assert TopKLoss(target, fraction=0.25)(logits, mask).item() == pytest.approx(wanted)
    assert TopKLoss(target, fraction=1e-6)(logits, mask).item() == pytest.approx(wanted)


def test_label_of_no_organ_is_background() -> None:
    target = TARGETS["organs_and_rest"]
    logits, mask = random_batch(target, seed=17)
    loss = build_loss(Recipe(loss="dice_ce"), target)
    assert torch.equal(loss(logits, mask), loss(logits, mask.where(mask != 2, 0)))


# faults


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda t: TverskyLoss(t, alpha=-0.1, beta=0.5), "alpha, beta: found -0.1, 0.5"),
        (lambda t: TverskyLoss(t, alpha=0.0, beta=0.0), "wanted one above 0"),
        (lambda t: TverskyLoss(t, alpha=0.5, beta=0.5, gamma=-1), "gamma: found -1"),
        (lambda t: TverskyLoss(t, alpha=0.5, beta=0.5, smooth=0), "smooth: found 0"),
        (lambda t: FocalLoss(t, gamma=-2), "gamma: found -2"),
        (lambda t: TopKLoss(t, fraction=0), "fraction: found 0"),
        (lambda t: TopKLoss(t, fraction=1.1), "fraction: found 1.1"),
    ],
)
def test_value_outside_its_range_is_refused(build: Callable[[Target], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(TARGETS["binary"])


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_logits_of_another_target_are_refused(name: str) -> None:
    loss = build_loss(Recipe.model_validate({"loss": name}), TARGETS["regions"])
    with pytest.raises(AssertionError, match="1, 4, 4"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64))


def test_weighted_sum_adds_each_part_times_its_weight() -> None:
    target = TARGETS["organs"]
    logits, mask = random_batch(target, seed=20)
    parts = [CrossEntropyLoss(target), FocalLoss(target, gamma=2.0)]
    both = WeightedSum(zip((0.25, 3.0), parts, strict=True))(logits, mask).item()
    wanted = 0.25 * parts[0](logits, mask).item() + 3 * parts[1](logits, mask).item()
    assert both == pytest.approx(wanted, rel=1e-12)
