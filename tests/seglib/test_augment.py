from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from seglib.augment import Augment, build_augment
from seglib.recipe import Recipe
from tests.contracts import check_moves_alike

ALL_KNOBS = {
    "rotation_deg": 20.0,
    "shift": 0.1,
    "zoom": 0.2,
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "elastic": 0.5,
    "brightness": 0.2,
    "contrast": 0.2,
    "noise": 0.05,
}
SIZE = 48


def built(**knobs: float) -> Augment:
    augment = build_augment(Recipe(**knobs))
    assert augment is not None
    return augment


def some_slice(num_channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two boxes of labels 1 and 4, as bright as 50 times the label."""
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[10:20, 8:22], mask[26:40, 20:36] = 1, 4
    return np.repeat(mask[..., None] * 50, num_channels, axis=2).astype(np.uint8), mask


def test_default_recipe_augments_nothing() -> None:
    assert build_augment(Recipe()) is None


@pytest.mark.parametrize("knob", ALL_KNOBS)
def test_each_knob_alone_changes_something(knob: str) -> None:
    augment = built(**{knob: ALL_KNOBS[knob]})
    image, mask = some_slice()
    results = [augment(image, mask) for _ in range(10)]
    assert any(not np.array_equal(changed, image) for changed, _ in results)
    only_greys = knob in ("brightness", "contrast", "noise")
    assert all(np.array_equal(mask, other) for _, other in results) == only_greys


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4, 5, 7])
def test_any_number_of_channels_works(num_channels: int) -> None:
    augment = built(**{**ALL_KNOBS, "elastic": 1.0})
    image, mask = some_slice(num_channels)
    image.setflags(write=False)
    changed, moved = augment(image, mask)
    assert changed.shape == image.shape
    assert changed.dtype == moved.dtype == np.uint8
    assert moved.shape == mask.shape


@pytest.mark.parametrize("num_channels", [1, 2, 5])
@pytest.mark.parametrize("knob", ["rotation_deg", "shift", "zoom", "elastic", "flip_horizontal"])
def test_mask_moves_with_every_channel(knob: str, num_channels: int) -> None:
    check_moves_alike(built(**{knob: ALL_KNOBS[knob]}), num_channels=num_channels)


def test_no_label_is_invented() -> None:
    augment = built(**{**ALL_KNOBS, "elastic": 1.0})
    image, mask = some_slice()
    for _ in range(30):
        assert set(np.unique(augment(image, mask)[1])) <= {0, 1, 4}


def test_what_comes_in_from_outside_is_background() -> None:
    augment = built(shift=0.3)
    image, mask = np.full((SIZE, SIZE, 2), 200, np.uint8), np.ones((SIZE, SIZE), np.uint8)
    changed, moved = augment(image, mask)
    assert (moved == 0).any()
    assert (changed[moved == 0] <= 100).mean() > 0.9
    assert changed.min() == 0


def test_same_seed_gives_the_same_sequence() -> None:
    augment, other = built(**ALL_KNOBS), built(**ALL_KNOBS)
    image, mask = some_slice(2)
    augment(image, mask)
    augment.reseed(5)
    first = [augment(image, mask) for _ in range(6)]
    other.reseed(5)
    second = [other(image, mask) for _ in range(6)]
    for (a, b), (c, d) in zip(first, second, strict=True):
        assert np.array_equal(a, c)
        assert np.array_equal(b, d)
    assert not np.array_equal(first[0][0], first[1][0])
    augment.reseed(6)
    assert not np.array_equal(augment(image, mask)[0], first[0][0])


def test_global_generators_are_left_alone() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the point is that nobody touches it
    torch.manual_seed(1)
    before = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    augment = built(**{**ALL_KNOBS, "elastic": 1.0})
    augment.reseed(3)
    augment(*some_slice(2))
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_steps_do_not_share_their_luck() -> None:
    """Flip left-right and flip up-down must come in all four combinations."""
    augment = built(flip_horizontal=0.5, flip_vertical=0.5)
    image = np.zeros((16, 16, 1), dtype=np.uint8)
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[0, 0] = 1
    corners = []
    for seed in range(60):
        augment.reseed(seed)
        corners.append(tuple(np.argwhere(augment(image, mask)[1])[0].tolist()))
    counts = {corner: corners.count(corner) for corner in set(corners)}
    assert len(counts) == 4
    assert min(counts.values()) >= 5


def test_left_right_flip_swaps_left_and_right_organ() -> None:
    augment = build_augment(Recipe(flip_horizontal=1.0), swap=((1, 2),))
    assert augment is not None
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[5:30, 4:15], mask[5:30, 30:40], mask[40, 20] = 1, 2, 3
    image = mask[..., None] * 60
    changed, moved = augment(image, mask)
    assert np.array_equal(changed[..., 0], image[:, ::-1, 0])
    table = np.array([0, 2, 1, 3], dtype=np.uint8)
    assert np.array_equal(moved, table[mask[:, ::-1]])


def test_up_down_flip_swaps_nothing() -> None:
    augment = build_augment(Recipe(flip_vertical=1.0), swap=((1, 2),))
    assert augment is not None
    image, mask = some_slice()
    assert np.array_equal(augment(image, mask)[1], mask[::-1])
