from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch

from seglib.augment import build_augment
from seglib.data.loader import epoch_order, iterate, num_steps
from seglib.data.store import Store, StoreInfo
from seglib.data.store_writer import write_store
from seglib.recipe import Recipe
from seglib.target import Target

SIZE, NUM = 16, 11


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Slice i is grey 10 + i, its channels 1 apart; slices 0 to 3 have a box of foreground."""
    images = np.empty((NUM, SIZE, SIZE, 2), dtype=np.uint8)
    images[..., 0] = (10 + np.arange(NUM))[:, None, None]
    images[..., 1] = images[..., 0] + 1
    masks = np.zeros((NUM, SIZE, SIZE), dtype=np.uint8)
    masks[:4, 4:9, 2:6] = 1
    images[masks == 1] += 100
    index = pd.DataFrame(
        {
            "case": [f"c{i}" for i in range(NUM)],
            "group": "p",
            "slice": 0,
            "px_foreground": (masks == 1).sum((1, 2)),
        }
    )
    info = StoreInfo(
        key="k",
        target=Target(kind="binary", classes=("foreground",), values={0: 0, 1: 1}, members=((1,),)),
        channels=("a", "b"),
        image_size=SIZE,
        scale=2 / 255,
        offset=-1.0,
        layout="pairs",
    )
    path = tmp_path_factory.mktemp("loader") / "store"
    return write_store(path, info, pieces=[(images, masks)], index=index)


ROWS = np.arange(NUM, dtype=np.int64)


def rows_seen(store: Store, **options: object) -> list[int]:
    batches = iterate(store, ROWS, batch_size=4, **options)  # type: ignore[arg-type]
    return [row for batch in batches for row in batch.rows.tolist()]


@pytest.mark.parametrize("batch_size", [1, 4, 11, 50])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_comes_exactly_once(store: Store, batch_size: int, shuffle: bool) -> None:
    batches = list(iterate(store, ROWS, batch_size=batch_size, seed=3, shuffle=shuffle))
    assert len(batches) == num_steps(NUM, batch_size) == int(np.ceil(NUM / batch_size))
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == ROWS.tolist()
    assert all(len(batch.rows) == batch_size for batch in batches[:-1])


def test_rows_left_out_never_come(store: Store) -> None:
    batches = iterate(store, np.array([2, 7, 9]), batch_size=2, seed=0, shuffle=True)
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == [2, 7, 9]


def test_pixels_belong_to_the_rows_named(store: Store) -> None:
    for batch in iterate(store, ROWS, batch_size=4, seed=1, shuffle=True):
        rows = batch.rows.numpy()
        wanted = store.images[rows].transpose(0, 3, 1, 2) * store.scale + store.offset
        assert np.allclose(batch.image.numpy(), wanted, atol=1e-6)
        assert np.array_equal(batch.mask.numpy(), store.masks[rows])


def test_tensors_have_the_promised_form(store: Store) -> None:
    batch = next(iterate(store, ROWS, batch_size=4))
    assert batch.image.shape == (4, 2, SIZE, SIZE)
    assert batch.image.is_contiguous(memory_format=torch.channels_last)
    assert batch.image.dtype == torch.float32
    assert batch.mask.shape == (4, SIZE, SIZE)
    assert batch.mask.dtype == batch.rows.dtype == torch.int64
    assert batch.mask.is_contiguous()


def test_order_depends_on_the_seed_alone(store: Store) -> None:
    first = rows_seen(store, seed=1, shuffle=True)
    np.random.seed(0)  # noqa: NPY002 - must be without effect
    assert rows_seen(store, seed=1, shuffle=True) == first
    assert rows_seen(store, seed=2, shuffle=True) != first
    assert rows_seen(store, seed=1) == ROWS.tolist()


def test_global_generators_are_left_alone(store: Store) -> None:
    before = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    augment = build_augment(Recipe(rotation_deg=10, noise=0.1))
    rows_seen(store, seed=1, shuffle=True, augment=augment, foreground_fraction=0.5)
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("fraction", [0.5, 0.9, 1.0])
def test_oversampling_gives_the_share_asked_for(fraction: float) -> None:
    has_foreground = np.zeros(1000, dtype=bool)
    has_foreground[:50] = True
    rows = np.arange(1000, dtype=np.int64)
    order = epoch_order(rows, has_foreground, fraction, np.random.default_rng(0))
    assert len(order) == 1000
    wanted = fraction * 1000 + (1 - fraction) * 50
    assert abs(has_foreground[order].sum() - wanted) < 20
    times = np.bincount(order, minlength=1000)
    assert times[:50].max() - times[:50].min() <= 2
    assert times[50:].max() <= 1


def test_oversampling_keeps_the_length_of_an_epoch(store: Store) -> None:
    seen = rows_seen(store, seed=0, shuffle=True, foreground_fraction=0.8)
    assert len(seen) == NUM
    assert sum(row < 4 for row in seen) >= round(0.8 * NUM)


def test_oversampling_of_nothing_changes_nothing(store: Store) -> None:
    rows = np.arange(4, NUM)
    batches = iterate(store, rows, batch_size=3, seed=0, shuffle=True, foreground_fraction=0.9)
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == rows.tolist()


def test_augmentation_moves_image_and_mask_and_repeats_with_the_seed(store: Store) -> None:
    augment = build_augment(Recipe(shift=0.2, flip_horizontal=0.5))

    def epoch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        batch = next(iterate(store, ROWS[:4], batch_size=4, seed=seed, augment=augment))
        return batch.image, batch.mask

    image, mask = epoch(1)
    plain = next(iterate(store, ROWS[:4], batch_size=4))
    assert not torch.equal(mask, plain.mask)
    bright = (image[:, 0] - store.offset) / store.scale > 60
    assert (bright != (mask == 1)).float().mean() < 0.05
    again = epoch(1)
    assert torch.equal(again[0], image)
    assert torch.equal(again[1], mask)
    assert not torch.equal(epoch(2)[0], image)
    assert torch.equal(next(iterate(store, ROWS[:4], batch_size=4)).image, plain.image)


@pytest.mark.parametrize("channels", [("b",), ("b", "a"), ("a", "b"), None])
def test_channels_come_in_the_order_asked_for(
    channels: tuple[str, ...] | None, store: Store
) -> None:
    rows = np.array([5, 2])
    batch = next(iterate(store, rows, batch_size=2, channels=channels))
    places = [store.channels.index(name) for name in channels or store.channels]
    wanted = store.images[rows][..., places].transpose(0, 3, 1, 2) * store.scale + store.offset
    assert np.allclose(batch.image.numpy(), wanted, atol=1e-6)
    assert batch.image.is_contiguous(memory_format=torch.channels_last)


def test_some_channels_are_augmented_like_all(store: Store) -> None:
    recipe = Recipe(shift=0.2, flip_horizontal=0.5)
    both, one = (
        next(
            iterate(
                store, ROWS[:4], batch_size=4, seed=1,
                augment=build_augment(recipe), channels=channels,
            )
        )
        for channels in (None, ("b",))
    )  # fmt: skip
    assert torch.equal(one.image, both.image[:, 1:])
    assert torch.equal(one.mask, both.mask)
