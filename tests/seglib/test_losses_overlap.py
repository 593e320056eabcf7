"""The overlap losses by themselves: what is left out, and the ends of their range."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.losses import FocalLoss, TverskyLoss, build_loss
from seglib.recipe import LOSS_NAMES, Recipe
from tests.contracts import TARGETS, perfect_logits, random_batch


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
