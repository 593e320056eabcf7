from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seglib.legacy import LEGACY_FIGURES, LegacyTally
from seglib.metrics import Tally, mask_planes, predict_planes
from tests.contracts import TARGETS, perfect_logits, random_batch

BINARY = TARGETS["binary"]
each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def figures(*batches: tuple[Tensor, Tensor]) -> dict[str, float]:
    tally = LegacyTally(BINARY)
    for logits, mask in batches:
        tally.update(logits, mask)
    return tally.figures()


def row(probs: list[float], mask: list[int]) -> tuple[Tensor, Tensor]:
    """One picture of one row."""
    return torch.tensor(probs).logit().view(1, 1, 1, -1), torch.tensor(mask).view(1, 1, -1)


def test_figures_of_one_batch_by_hand() -> None:
    found = figures(row([0.9, 0.6, 0.2, 0.1], [1, 0, 1, 0]))
    # overlap 1.1, sizes 1.8 and 2; TP 1, FP 1, FN 1
    assert found["batch_dice"] == pytest.approx((2 * 1.1 + 1) / (1.8 + 2 + 1))
    assert (found["batch_precision"], found["batch_recall"]) == (0.5, 0.5)
    # every pixel's right class has 0.9, 0.4, 0.2 and 0.9; two of four pixels are right
    assert found["batch_dice_with_background"] == pytest.approx((2 * 2.4 + 1) / (4 + 4 + 1))
    assert found["batch_precision_with_background"] == 0.5
    assert found["batch_recall_with_background"] == 0.5
    assert tuple(found) == LEGACY_FIGURES


def test_pixels_of_a_batch_are_pooled_and_batches_averaged() -> None:
    large, small = row([0.9] * 4, [1] * 4), row([0.1, 0.9, 0.1, 0.1], [1, 0, 0, 0])
    apart = figures(large, small)
    together = figures(tuple(map(torch.cat, zip(large, small, strict=True))))  # type: ignore[arg-type]
    assert apart["batch_recall"] == pytest.approx((1 + 0) / 2)
    assert together["batch_recall"] == pytest.approx(4 / 5)


def test_all_empty_masks_and_no_prediction_look_perfect_here_and_are_refused_there() -> None:
    """How 0.9998 came about."""
    target = TARGETS["organs"]
    mask = torch.zeros(2, 64, 64, dtype=torch.int64)
    logits = perfect_logits(mask, target)
    legacy, honest = LegacyTally(target), Tally(target)
    legacy.update(logits, mask)
    honest.update(predict_planes(logits, target), mask_planes(mask, target), ["a", "b"])
    found = legacy.figures()
    for name in ("dice", "precision", "recall"):
        assert found[f"batch_{name}_with_background"] == pytest.approx(1.0)
    assert found["batch_dice"] == pytest.approx(1.0)
    assert (found["batch_precision"], found["batch_recall"]) == (0.0, 0.0)
    scores = honest.scores()
    assert all(math.isnan(one) for one in (scores.dice, scores.precision, scores.recall))


@pytest.mark.parametrize("marked", [1, 10, 1000])
def test_dice_of_a_batch_without_foreground_tells_only_how_much_was_marked(marked: int) -> None:
    """How 0.0052 came about: Dice near 0, precision and recall exactly 0."""
    mask = torch.zeros(1, 64, 64, dtype=torch.int64)
    logits = torch.full((1, 1, 64, 64), -60.0)
    logits.view(-1)[:marked] = 60.0
    found = figures((logits, mask))
    assert found["batch_dice"] == pytest.approx(1 / (1 + marked))
    assert (found["batch_precision"], found["batch_recall"]) == (0.0, 0.0)


def test_missing_a_small_organ_hardly_shows_with_background() -> None:
    mask = torch.zeros(1, 100, 100, dtype=torch.int64)
    mask[0, 0, :2] = 1
    found = figures((perfect_logits(torch.zeros_like(mask), BINARY), mask))
    assert found["batch_precision_with_background"] == 0.9998
    assert found["batch_recall_with_background"] == 0.9998
    assert (found["batch_precision"], found["batch_recall"]) == (0.0, 0.0)


@each_target
def test_perfect_prediction_is_one_in_every_figure(target) -> None:
    _, mask = random_batch(target, seed=1)
    tally = LegacyTally(target)
    tally.update(perfect_logits(mask, target), mask)
    assert tally.figures() == pytest.approx(dict.fromkeys(LEGACY_FIGURES, 1.0))


@pytest.mark.parametrize("name", ["organs", "organs_and_rest", "binary"])
def test_precision_and_recall_with_background_are_the_share_of_right_pixels(name: str) -> None:
    target = TARGETS[name]
    logits, mask = random_batch(target, seed=2)
    tally = LegacyTally(target)
    tally.update(logits, mask)
    pred, true = predict_planes(logits, target), mask_planes(mask, target)
    right = float((pred == true).all(dim=1).double().mean())
    found = tally.figures()
    assert found["batch_precision_with_background"] == pytest.approx(right)
    assert found["batch_recall_with_background"] == pytest.approx(right)


def test_half_precision_is_summed_in_full() -> None:
    logits, mask = random_batch(BINARY, seed=3, size=(1, 260, 260))
    half = logits.to(torch.float16)
    assert figures((half, mask)) == pytest.approx(figures((half.double(), mask)), rel=1e-6)


def test_no_batch_is_nan() -> None:
    assert all(math.isnan(value) for value in LegacyTally(BINARY).figures().values())
