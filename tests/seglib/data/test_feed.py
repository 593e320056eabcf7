"""All feeds hand out the same bytes; on a GPU too, where there is one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from seglib.data.feed import (
    RESIDENT_SHARE,
    Feed,
    MappedFeed,
    PinnedFeed,
    ResidentFeed,
    choose_feed,
    resident_bytes,
)
from seglib.data.loader import iterate
from seglib.data.store import Store

DEVICES = [
    torch.device("cpu"),
    pytest.param(
        torch.device("cuda"),
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    ),
]
PLACES = [[0, 1, 2, 3], [2, 0]]
BUILDERS: dict[str, Callable[..., Feed]] = {
    "mapped": lambda store, rows, places, device: MappedFeed(store, places, device),
    "resident": ResidentFeed,
    "pinned": lambda store, rows, places, device: PinnedFeed(store, places, device),
}


def batches(store: Store) -> list[np.ndarray]:
    order = np.random.default_rng(1).permutation(np.arange(3, min(len(store), 40)))
    return [order[start : start + 5] for start in range(0, len(order), 5)] + [order[:2]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("kind", BUILDERS)
def test_bytes_are_those_of_the_rows_asked_for(
    kind: str, places: list[int], device: torch.device, store: Store
) -> None:
    wanted = batches(store)
    feed = BUILDERS[kind](store, np.concatenate(wanted), places, device)
    for _ in range(2):  # epochs
        found = [(images.cpu(), masks.cpu()) for images, masks in feed.read(wanted)]
        assert len(found) == len(wanted)
        for rows, (images, masks) in zip(wanted, found, strict=True):
            assert np.array_equal(images, store.images[rows][..., places])
            assert np.array_equal(masks, store.masks[rows])


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_batch_shares_no_memory_with_the_next(kind: str, store: Store) -> None:
    wanted = batches(store)
    feed = BUILDERS[kind](store, np.concatenate(wanted), [0], torch.device("cpu"))
    kept = list(feed.read(wanted))
    for images, masks in kept:
        images.zero_()
        masks.zero_()
    for rows, (images, _) in zip(wanted, feed.read(wanted), strict=True):
        assert np.array_equal(images, store.images[rows][..., [0]])


@pytest.mark.parametrize("kind", BUILDERS)
def test_reading_may_end_early_or_be_of_nothing(kind: str, store: Store) -> None:
    wanted = batches(store)
    feed = BUILDERS[kind](store, np.concatenate(wanted), [0], torch.device("cpu"))
    assert len(list(zip(range(2), feed.read(wanted), strict=False))) == 2
    assert list(feed.read([])) == []


@pytest.mark.parametrize("kind", BUILDERS)
def test_loader_gives_the_same_batches_from_each(kind: str, store: Store) -> None:
    rows = np.arange(2, 21)
    options = {"batch_size": 4, "seed": 3, "shuffle": True}
    feed = BUILDERS[kind](store, rows, range(store.num_channels), torch.device("cpu"))
    plain = list(iterate(store, rows, **options))
    for ours, other in zip(iterate(store, rows, **options, feed=feed), plain, strict=True):
        assert torch.equal(ours.image, other.image)
        assert torch.equal(ours.mask, other.mask)
        assert torch.equal(ours.rows, other.rows)


def test_rows_outside_a_resident_feed_are_noticed(store: Store) -> None:
    feed = ResidentFeed(store, np.arange(4), [0], torch.device("cpu"))
    with pytest.raises(AssertionError, match="rows that the feed was not made for"):
        list(feed.read([np.array([5])]))


def test_a_cpu_reads_the_mapped_store(store: Store) -> None:
    assert isinstance(choose_feed(store, np.arange(4), [0], torch.device("cpu")), MappedFeed)


@pytest.mark.parametrize("kind", ["resident", "pinned"])
def test_what_fits_lies_in_the_memory_of_the_gpu(
    kind: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arithmetic only: the feeds are built on the CPU."""
    needed = resident_bytes(4, image_size=store.image_size, num_channels=1)
    assert needed == 4 * 32 * 32 * 2
    free = int(needed / RESIDENT_SHARE) - (kind == "pinned")
    built: list[str] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
    for name in ("ResidentFeed", "PinnedFeed"):
        monkeypatch.setattr(
            f"seglib.data.feed.{name}", lambda *_, name=name: built.append(name) or name
        )
    choose_feed(store, np.array([0, 1, 2, 3, 3]), [0], torch.device("cuda"))
    assert built == [{"resident": "ResidentFeed", "pinned": "PinnedFeed"}[kind]]
