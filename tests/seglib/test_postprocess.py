"""From probabilities to masks: by hand, on a few pixels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seglib.model import PostProcess
from seglib.postprocess import (
    find_labels,
    mark_planes,
    remove_small,
    restore_greys,
    truth_planes,
)
from seglib.target import Target
from tests.seglib.networks_of_chance import BINARY, LUNGS, REGIONS

FIRST = np.array([0, 1, 2, 3], np.uint8).reshape(1, 2, 2)


def volume(*planes):
    return np.stack([np.array(plane, bool)[None] for plane in planes])


@pytest.mark.parametrize("target", [REGIONS, LUNGS, BINARY], ids=lambda one: one.kind)
def test_labels_come_back_from_their_planes(target):
    labels = FIRST % target.num_labels
    np.testing.assert_array_equal(find_labels(truth_planes(labels, target), target), labels)


def test_classes_that_overlap_as_no_label_does_give_way_to_the_smallest():
    patterns = np.array(list(itertools.product([0, 1], repeat=3)), bool)
    found = find_labels(patterns.T.reshape(1, 3, 2, 4), REGIONS).ravel()
    # as nnU-Net paints: whole tumour, over it the core, over it the enhancing part
    assert found.tolist() == [(3 if et else 2 if tc else 1 if wt else 0) for wt, tc, et in patterns]


def test_many_classes_keep_their_labels_apart():
    names = tuple(f"class_{number}" for number in range(1, 20))
    values = {number: number for number in range(20)}
    members = tuple((number,) for number in range(1, 20))
    target = Target(kind="organs", classes=names, values=values, members=members)
    labels = np.arange(20, dtype=np.uint8).reshape(1, 4, 5)
    np.testing.assert_array_equal(find_labels(truth_planes(labels, target), target), labels)


def test_a_threshold_is_to_be_exceeded():
    probs = np.array([0.3, 0.30001, 0.5, 0.9], np.float32).reshape(1, 1, 2, 2)
    post = PostProcess(thresholds=(0.3,), smallest=(0.0,), note="")
    assert mark_planes(probs, post, BINARY).ravel().tolist() == [False, True, True, True]


def test_the_ground_of_organs_wins_a_tie_and_they_exclude_each_other():
    probs = np.array([[0.5, 0.34, 0.2, 0.6], [0.0, 0.35, 0.2, 0.4]], np.float32)
    planes = mark_planes(probs.reshape(1, 2, 2, 2), PostProcess.plain(LUNGS), LUNGS)
    assert planes[0, 0].ravel().tolist() == [False, False, False, True]
    assert planes[0, 1].ravel().tolist() == [False, True, False, False]


def test_a_part_of_a_volume_hangs_together_across_slices():
    above = [[1, 0, 0, 1], [0, 0, 0, 0]]
    below = [[0, 0, 0, 0], [0, 1, 0, 0]]  # touches the first corner to corner
    kept = remove_small(volume(above, below), [2.0], spacing_mm=(1, 1, 1), flat=False)
    np.testing.assert_array_equal(kept[0, 0], [[1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(kept[1, 0], below)


def test_slices_that_are_pictures_are_looked_at_one_by_one():
    lone = [[1, 0], [0, 0]]
    pair = [[1, 1], [0, 0]]
    kept = remove_small(volume(lone, pair), [2.0], spacing_mm=(9, 1, 1), flat=True)
    assert not kept[0].any()
    np.testing.assert_array_equal(kept[1, 0], pair)


def test_size_is_measured_in_millimetres():
    part = volume([[1, 1], [0, 0]])
    assert remove_small(part.copy(), [3.0], spacing_mm=(3, 0.5, 1), flat=False).any()
    assert not remove_small(part.copy(), [3.1], spacing_mm=(3, 0.5, 1), flat=False).any()


def test_grey_values_of_the_source_return():
    assert restore_greys(FIRST, REGIONS, picture=False).ravel().tolist() == [0, 2, 1, 4]
    assert restore_greys(FIRST % 3, LUNGS, picture=True).ravel().tolist() == [0, 156, 251, 0]


def test_of_several_grey_values_a_volume_gets_the_least_and_a_picture_the_greatest():
    target = BINARY.model_copy(update={"values": {0: 0, 1: 1, 255: 1}})
    assert restore_greys(FIRST % 2, target, picture=False).max() == 1
    assert restore_greys(FIRST % 2, target, picture=True).max() == 255


@pytest.mark.parametrize(
    ("grey", "dtype"), [(255, "uint8"), (-7, "int16"), (1000, "int16"), (70000, "int32")]
)
def test_the_type_holds_all_grey_values(grey, dtype):
    target = BINARY.model_copy(update={"values": {3: 0, grey: 1}})
    found = restore_greys(FIRST % 2, target, picture=False)
    assert found.dtype == dtype
    assert found.ravel().tolist() == [3, grey, 3, grey]
