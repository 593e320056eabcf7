from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
from tests.contracts import TARGETS, LossContract, perfect_logits, random_batch

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
    "dice": lambda *a: references.tversky(*a, alpha=0.5, beta=0.5),
    "dice_bce": lambda *a: (
        0.3 * references.tversky(*a, alpha=0.5, beta=0.5) + 0.7 * references.cross_entropy(*a)
    ),
    "tversky": lambda *a: references.tversky(*a, alpha=0.2, beta=0.9),
    "focal": lambda *a: references.focal(*a, gamma=1.5),
    "focal_tversky": lambda *a: references.tversky(*a, alpha=0.2, beta=0.9, power=1 / 1.5),
    "topk_ce": lambda *a: references.topk(*a, fraction=0.25),
}
REFERENCES["dice_ce"] = REFERENCES["dice_bce"]


@pytest.mark.parametrize("name", LOSS_NAMES)
@each_target
def test_value_is_that_of_the_plain_reference(name: str, target: Target) -> None:
    knobs = {"dice_weight": 0.3, "tversky_alpha": 0.2, "tversky_beta": 0.9}
    knobs |= {"focal_gamma": 1.5, "topk_fraction": 0.25}
    recipe = Recipe.model_validate({"loss": name, **knobs})
    logits, mask = random_batch(target, seed=11)
    wanted = REFERENCES[name](logits.numpy(), mask.numpy(), target)
    assert build_loss(recipe, target)(logits, mask).item() == pytest.approx(wanted, rel=1e-10)


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


# what the overlap leaves out


def test_background_is_not_averaged_by_dice() -> None:
    target = TARGETS["organs"]
    mask = torch.zeros(1, 64, 64, dtype=torch.int64)
    mask[0, 0, :10] = 1
    mask[0, 1, :10] = 2
    nothing_found = perfect_logits(torch.zeros_like(mask), target)
    # with background in the mean, this would be about 0.6
    value = TverskyLoss(target, alpha=0.5, beta=0.5, smooth=1e-6)(nothing_found, mask)
    assert value.item() == pytest.approx(1)


def test_absent_class_costs_nothing() -> None:
    target = TARGETS["regions"]
    mask = torch.full((1, 32, 32), 2)  # whole tumour, neither core nor enhancing
    logits = perfect_logits(mask, target, sure=15.0)
    for name in ("dice", "tversky"):
        assert build_loss(Recipe.model_validate({"loss": name}), target)(logits, mask).item() < 2e-4


def test_absent_class_that_is_marked_costs_its_third() -> None:
    target = TARGETS["regions"]
    mask = torch.full((1, 64, 64), 2)
    logits = perfect_logits(mask, target)
    logits[:, 2] = 60.0
    value = build_loss(Recipe(loss="dice"), target)(logits, mask).item()
    assert value == pytest.approx(1 / 3, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(list(TARGETS)),
    alpha=st.floats(0, 1),
    beta=st.floats(0.01, 1),
    gamma=st.floats(0, 10),
    stretch=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
)
def test_overlap_cost_stays_between_zero_and_one(
    seed: int, kind: str, alpha: float, beta: float, gamma: float, stretch: float
) -> None:
    target = TARGETS[kind]
    logits, mask = random_batch(target, seed=seed)
    loss = TverskyLoss(target, alpha=alpha, beta=beta, gamma=gamma)
    logits = (stretch * logits).float().requires_grad_()
    value = loss(logits, mask)
    value.backward()
    assert logits.grad is not None
    assert 0 <= value.item() <= 1
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("gamma", [2.0, 10.0])
def test_focal_tversky_near_zero_is_a_straight_line_without_a_step(gamma: float) -> None:
    target = TARGETS["binary"]
    mask = torch.zeros(1, 1, 1000, dtype=torch.int64)
    loss = TverskyLoss(target, alpha=1.0, beta=0.0, gamma=gamma)

    def cost(soft_false_positives: float) -> float:
        logit = torch.full((1, 1, 1, 1000), soft_false_positives / 1000, dtype=torch.float64)
        return float(loss(logit.logit(), mask))

    # a cost of 0.001 is reached at 1/999 pixel
    below, above = cost(0.999999 / 999), cost(1.000001 / 999)
    assert below == pytest.approx(above, rel=1e-4)
    assert above == pytest.approx(0.001 ** (1 / gamma), rel=1e-4)
    # and half of it, 0.0005, costs half: a straight line, so the slope is bounded
    assert cost(0.5 / 999.5) == pytest.approx(below / 2, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.01, 0.5])
def test_focal_gradient_is_finite_where_pixels_are_perfect(gamma: float) -> None:
    for target in TARGETS.values():
        _, mask = random_batch(target, seed=18)
        for sure in (5.0, 20.0, 90.0, 200.0):
            logits = perfect_logits(mask, target, sure=sure).requires_grad_()
            FocalLoss(target, gamma=gamma)(logits, mask).backward()
            assert logits.grad is not None
            assert torch.isfinite(logits.grad).all()


def test_one_step_of_descent_lowers_every_loss() -> None:
    target = TARGETS["regions"]
    for name in LOSS_NAMES:
        loss = build_loss(Recipe.model_validate({"loss": name}), target)
        logits, mask = random_batch(target, seed=19)
        logits.requires_grad_()
        before = loss(logits, mask)
        (gradient,) = torch.autograd.grad(before, logits)
        after = loss(logits - 0.1 * gradient, mask)
        assert after.item() < before.item(), name


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
