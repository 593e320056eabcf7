from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seglib import surface
from seglib.surface import SurfaceDistances, hd95, surface_dice, surface_distances
from tests import references

Mask = NDArray[np.bool_]


def dots(shape: tuple[int, ...], *places: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, np.bool_)
    for place in places:
        mask[place] = True
    return mask


def blob(seed: int, shape: tuple[int, ...] = (9, 8), share: float = 0.5) -> Mask:
    return np.random.default_rng(seed).random(shape) < share


# by hand


def test_two_pixels_three_mm_apart() -> None:
    pred, true = dots((5, 5), (1, 1)), dots((5, 5), (1, 4))
    assert hd95(pred, true, (1.0, 1.0)) == 3.0
    assert surface_dice(pred, true, (1.0, 1.0), 2.999) == 0.0
    assert surface_dice(pred, true, (1.0, 1.0), 3.0) == 1.0


def test_each_axis_has_its_own_spacing() -> None:
    here, down, right = dots((4, 4), (0, 0)), dots((4, 4), (2, 0)), dots((4, 4), (0, 2))
    assert hd95(here, down, (5.0, 0.5)) == 10.0
    assert hd95(here, right, (5.0, 0.5)) == 1.0
    assert hd95(here, dots((4, 4), (3, 4 - 1)), (1.0, 4 / 3)) == pytest.approx(5.0)


def test_nearest_is_nearest_in_mm_not_in_pixels() -> None:
    pred = dots((1, 9, 9), (0, 0, 0))
    true = dots((1, 9, 9), (0, 1, 0), (0, 0, 3))
    assert surface_distances(pred, true, (1.0, 7.0, 2.0)).pred_to_true_mm.tolist() == [6.0]


def test_percentile_is_taken_over_both_directions_together() -> None:
    # prediction: 19 pixels on the truth and one 10 mm off; truth: the same 19
    true = np.zeros((20, 40), np.bool_)
    true[0, :19] = True
    pred = true.copy()
    pred[10, 0] = True
    # 39 distances, one of them 10: the 95th percentile lies among the zeros
    assert hd95(pred, true, (1.0, 1.0)) == 0.0
    distances = surface_distances(pred, true, (1.0, 1.0))
    assert distances.hausdorff_mm(100) == 10.0
    assert distances.pred_to_true_mm.max() == 10.0
    assert distances.true_to_pred_mm.max() == 0.0
    assert distances.surface_dice(1.0) == pytest.approx(38 / 39)


def test_surface_leaves_out_the_inside() -> None:
    square = np.zeros((7, 7), np.bool_)
    square[1:6, 1:6] = True
    hollow = square.copy()
    hollow[3, 3] = False  # its surface gains the 4 face neighbours of the hole
    distances = surface_distances(square, hollow, (1.0, 1.0))
    assert distances.pred_to_true_mm.size == 16
    assert distances.true_to_pred_mm.size == 16 + 4
    assert distances.surface_dice(0.5) == pytest.approx(32 / 36)


def test_edge_of_the_picture_is_surface() -> None:
    full = np.ones((4, 4), np.bool_)
    assert surface_distances(full, full, (1.0, 1.0)).pred_to_true_mm.size == 12


# empty masks


def test_both_empty_has_no_answer() -> None:
    empty = np.zeros((3, 3), np.bool_)
    assert math.isnan(hd95(empty, empty, (1.0, 1.0)))
    assert math.isnan(surface_dice(empty, empty, (1.0, 1.0), 1.0))


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_is_as_wrong_as_can_be(swap: bool) -> None:
    pair = [np.zeros((3, 3), np.bool_), dots((3, 3), (1, 1), (2, 2))]
    pred, true = reversed(pair) if swap else pair
    assert hd95(pred, true, (1.0, 1.0)) == math.inf
    assert surface_dice(pred, true, (1.0, 1.0), 1e6) == 0.0


# properties

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10_000)
spacings = st.tuples(st.floats(0.2, 5), st.floats(0.2, 5))


@few
@given(seeds, seeds, spacings, st.floats(0.1, 0.9))
def test_values_are_those_of_the_plain_reference(
    a: int, b: int, spacing_mm: tuple[float, float], share: float
) -> None:
    pred, true = blob(a, share=share), blob(b, share=0.4)
    pred[0, 0] = true[3, 3] = True  # neither is empty
    distances = surface_distances(pred, true, spacing_mm)
    for percentile in (50, 95, 100):
        wanted = references.hausdorff_mm(pred, true, spacing_mm, percentile)
        assert distances.hausdorff_mm(percentile) == pytest.approx(wanted)
    # half way between possible distances, so that rounding cannot tip one over
    tolerance_mm = 0.77 * min(spacing_mm)
    wanted = references.surface_share(pred, true, spacing_mm, tolerance_mm)
    assert distances.surface_dice(tolerance_mm) == pytest.approx(wanted)


@pytest.mark.parametrize("shape", [(30,), (9, 8), (5, 7, 6)])
def test_tree_and_field_give_the_same_distances(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pred, true = blob(8, shape, 0.2), blob(9, shape, 0.1)
    spacing_mm = (0.4, 1.3, 0.7)[: len(shape)]
    tree = surface_distances(pred, true, spacing_mm)
    monkeypatch.setattr(surface, "MOST_POINTS_IN_A_TREE", 0)
    field = surface_distances(pred, true, spacing_mm)
    np.testing.assert_allclose(tree.pred_to_true_mm, field.pred_to_true_mm, rtol=1e-14)
    np.testing.assert_allclose(tree.true_to_pred_mm, field.true_to_pred_mm, rtol=1e-14)
    assert len(tree.pred_to_true_mm) > 0


@pytest.mark.parametrize("start", range(20))
def test_five_steps_are_as_long_wherever_they_lie(start: int) -> None:
    pred, true = dots((40,), (start,)), dots((40,), (start + 5,))
    assert surface_dice(pred, true, (0.4,), 2.0) == 1.0


@few
@given(seeds, seeds)
def test_swapping_the_masks_changes_nothing(a: int, b: int) -> None:
    pred, true = blob(a), blob(b)
    assert hd95(pred, true, (2.0, 1.0)) == pytest.approx(hd95(true, pred, (2.0, 1.0)))
    there = surface_dice(pred, true, (2.0, 1.0), 1.0)
    assert there == pytest.approx(surface_dice(true, pred, (2.0, 1.0), 1.0))


@few
@given(seeds, st.integers(0, 5), st.integers(0, 5))
def test_empty_space_around_changes_nothing(seed: int, before: int, after: int) -> None:
    pred, true = blob(seed), blob(seed + 1)
    spacing_mm = (1.5, 1.0)
    wide_pred, wide_true = (np.pad(mask, (before, after)) for mask in (pred, true))
    assert hd95(wide_pred, wide_true, spacing_mm) == hd95(pred, true, spacing_mm)


@few
@given(seeds, st.floats(0.1, 10))
def test_distances_scale_with_the_spacing(seed: int, factor: float) -> None:
    pred, true = blob(seed), blob(seed + 1)
    scaled = hd95(pred, true, (factor * 1.0, factor * 2.0))
    assert scaled == pytest.approx(factor * hd95(pred, true, (1.0, 2.0)))


def test_same_mask_is_perfect_in_any_number_of_dimensions() -> None:
    for shape in ((12,), (6, 5), (4, 5, 6)):
        mask = blob(3, shape)
        spacing_mm = (1.0,) * len(shape)
        assert hd95(mask, mask, spacing_mm) == 0.0
        assert surface_dice(mask, mask, spacing_mm, 0.0) == 1.0


def test_volume_is_more_than_its_slices() -> None:
    # one slice apart, 2 mm thick: slice by slice both would have a side that is empty
    pred, true = dots((3, 4, 4), (0, 1, 1)), dots((3, 4, 4), (1, 1, 1))
    assert hd95(pred, true, (2.0, 1.0, 1.0)) == 2.0


def test_labels_are_read_as_inside() -> None:
    mask = blob(5)
    assert hd95(mask.astype(np.uint8) * 255, mask, (1.0, 1.0)) == 0.0


def test_input_is_left_unchanged() -> None:
    pred, true = blob(6), blob(7)
    before = pred.copy(), true.copy()
    surface_distances(pred, true, (1.0, 1.0))
    assert np.array_equal(pred, before[0])
    assert np.array_equal(true, before[1])


# faults


@pytest.mark.parametrize(
    ("true_shape", "spacing_mm", "words"),
    [
        ((3, 4), (1.0, 1.0), "wanted one shape, and a spacing for each axis"),
        ((3, 3), (1.0,), "wanted one shape, and a spacing for each axis"),
        ((3, 3), (1.0, 0.0), "spacing_mm: found .* wanted positive numbers"),
        ((3, 3), (1.0, math.nan), "spacing_mm: found .* wanted positive numbers"),
        ((3, 3), (math.inf, 1.0), "spacing_mm: found .* wanted positive numbers"),
    ],
)
def test_input_that_does_not_fit_is_refused(
    true_shape: tuple[int, ...], spacing_mm: tuple[float, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        surface_distances(np.ones((3, 3), np.bool_), np.ones(true_shape, np.bool_), spacing_mm)


@pytest.mark.parametrize("tolerance_mm", [-0.1, math.nan])
def test_tolerance_below_zero_is_refused(tolerance_mm: float) -> None:
    distances = SurfaceDistances(np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="tolerance_mm: found"):
        distances.surface_dice(tolerance_mm)
