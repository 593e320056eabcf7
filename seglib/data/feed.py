"""Feeds: the bytes of slices on their way to the device, by the way that fits it.

A CPU reads the mapped store. A GPU is faster than that: what fits lies in its own memory
(:class:`ResidentFeed`); more than fits is read by a thread into pinned memory and copied
while the batch before is worked on (:class:`PinnedFeed`). The bytes are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seglib.data.store import Store

__all__ = [
    "RESIDENT_SHARE",
    "Feed",
    "MappedFeed",
    "PinnedFeed",
    "ResidentFeed",
    "choose_feed",
    "resident_bytes",
]

RESIDENT_SHARE: Final = 1 / 8
"""Most of a GPU's free memory that slices may take: up to eight trials share one."""

_UPLOAD: Final = 2**28  # bytes at a time, so that the host needs no second copy of the store

Rows = npt.NDArray[np.int64]


class Feed(Protocol):
    """Hands out the slices of batches."""

    def read(self, batches: Sequence[Rows]) -> Iterator[tuple[Tensor, Tensor]]:
        """The bytes of some batches, in their order.

        Args:
            batches: Rows of the store.

        Returns:
            Images ``(B, H, W, C)`` and masks ``(B, H, W)``, uint8, on the device, which
            share no memory with the store or each other.
        """


class MappedFeed:
    """Reads from the mapped store when a batch is asked for.

    Args:
        store: The prepared slices.
        places: Which image channels, in their order.
        device: Where the batches go.
    """

    def __init__(
        self, store: Store, places: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        self._store, self._places, self._device = store, list(places), device

    def read(self, batches: Sequence[Rows]) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`Feed.read`."""
        for rows in batches:
            images, masks = _read(self._store, rows, self._places), self._store.masks[rows]
            yield (
                torch.from_numpy(images).to(self._device),
                torch.from_numpy(masks).to(self._device),
            )


class ResidentFeed:
    """Keeps the slices in the device's memory.

    Args:
        store: The prepared slices.
        rows: All that will ever be asked for.
        places: Which image channels, in their order.
        device: Where they shall lie.
    """

    def __init__(
        self, store: Store, rows: Rows, places: Sequence[int], device: torch.device
    ) -> None:
        kept = np.unique(rows)
        self._place_of = np.full(len(store), -1, np.int64)
        self._place_of[kept] = np.arange(len(kept))
        self._device = device
        shape = (len(kept), store.image_size, store.image_size)
        self._images = torch.empty((*shape, len(places)), dtype=torch.uint8, device=device)
        self._masks = torch.empty(shape, dtype=torch.uint8, device=device)
        step = max(1, _UPLOAD // (store.image_size**2 * store.num_channels))
        for start in range(0, len(kept), step):
            some = kept[start : start + step]
            images = torch.from_numpy(_read(store, some, list(places)))
            self._images[start : start + step] = images.to(device)
            self._masks[start : start + step] = torch.from_numpy(store.masks[some]).to(device)

    def read(self, batches: Sequence[Rows]) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`Feed.read`."""
        if not batches:
            return
        places = self._place_of[np.concatenate(list(batches))]
        assert (places >= 0).all(), "rows that the feed was not made for"
        # the whole epoch's order goes over at once: a copy per batch would be waited for
        order = torch.from_numpy(places).to(self._device)
        for some in torch.split(order, [len(rows) for rows in batches]):
            yield self._images.index_select(0, some), self._masks.index_select(0, some)


class PinnedFeed:
    """Reads the next batch while the device works on this one.

    Two buffers take turns. A thread fills one, numpy reads without Python's lock, and the
    copy goes its own way beside the work of the device.

    Args:
        store: The prepared slices.
        places: Which image channels, in their order.
        device: Where the batches go.
    """

    def __init__(self, store: Store, places: Sequence[int], device: torch.device) -> None:
        self._store, self._places, self._device = store, list(places), device
        self._on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self._on_gpu else None  # type: ignore[no-untyped-call]

    def read(self, batches: Sequence[Rows]) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`Feed.read`."""
        if not batches:
            return
        buffers = [self._buffers(max(map(len, batches))) for _ in range(2)]
        copied: list[torch.cuda.Event | None] = [None, None]
        with ThreadPoolExecutor(1, "segtune-feed") as thread:
            filling = thread.submit(self._fill, buffers[0], batches[0], copied[0])
            for i, rows in enumerate(batches):
                filling.result()
                images, masks, copied[i % 2] = self._send(buffers[i % 2], len(rows))
                if i + 1 < len(batches):
                    other = (i + 1) % 2
                    filling = thread.submit(
                        self._fill, buffers[other], batches[i + 1], copied[other]
                    )
                yield images, masks

    def _buffers(self, num: int) -> tuple[Tensor, Tensor]:
        shape = (num, self._store.image_size, self._store.image_size)
        images, masks = (
            torch.empty(size, dtype=torch.uint8, pin_memory=self._on_gpu)
            for size in ((*shape, len(self._places)), shape)
        )
        return images, masks

    def _fill(
        self, buffers: tuple[Tensor, Tensor], rows: Rows, copied: torch.cuda.Event | None
    ) -> None:
        """Runs in the thread; what lay in the buffers must have been copied before."""
        if copied is not None:
            copied.synchronize()
        assert ((rows >= 0) & (rows < len(self._store))).all(), "rows that the store lacks"
        images, masks = (buffer.numpy()[: len(rows)] for buffer in buffers)
        if self._places == list(range(self._store.num_channels)):
            np.take(self._store.images, rows, axis=0, out=images, mode="clip")
        else:
            images[:] = _read(self._store, rows, self._places)
        np.take(self._store.masks, rows, axis=0, out=masks, mode="clip")

    def _send(
        self, buffers: tuple[Tensor, Tensor], num: int
    ) -> tuple[Tensor, Tensor, torch.cuda.Event | None]:
        """Have the buffers copied; the device's next work waits for it, the host does not."""
        beside: AbstractContextManager[object] = nullcontext()
        if self._stream is not None:
            beside = torch.cuda.stream(self._stream)
        with beside:
            images, masks = (
                buffer[:num].to(self._device, non_blocking=True, copy=True) for buffer in buffers
            )
            copied = self._stream.record_event() if self._stream is not None else None
        if copied is not None:
            work = torch.cuda.current_stream(self._device)
            work.wait_event(copied)
            for tensor in (images, masks):
                tensor.record_stream(work)  # else its memory could be given away too soon
        return images, masks, copied


def choose_feed(store: Store, rows: Rows, places: Sequence[int], device: torch.device) -> Feed:
    """The way that fits the device and its free memory.

    Args:
        store: The prepared slices.
        rows: All that will be asked for.
        places: Which image channels, in their order.
        device: Where the batches go.

    Returns:
        The feed.
    """
    if device.type != "cuda":
        return MappedFeed(store, places, device)
    free, _ = torch.cuda.mem_get_info(device)
    needed = resident_bytes(
        len(np.unique(rows)), image_size=store.image_size, num_channels=len(places)
    )
    if needed <= RESIDENT_SHARE * free:
        try:
            return ResidentFeed(store, rows, places, device)
        except torch.OutOfMemoryError:  # another process was faster
            torch.cuda.empty_cache()
    return PinnedFeed(store, places, device)


def resident_bytes(num_slices: int, *, image_size: int, num_channels: int) -> int:
    """Memory that slices take on a device.

    Args:
        num_slices: How many.
        image_size: Side of the square image in pixels.
        num_channels: Image channels.

    Returns:
        Bytes, masks included.
    """
    return num_slices * image_size**2 * (num_channels + 1)


def _read(store: Store, rows: Rows, places: list[int]) -> npt.NDArray[np.uint8]:
    """Some channels of some slices ``(B, H, W, C)``; the other channels are not copied."""
    if places == list(range(store.num_channels)):
        return store.images[rows]
    return np.stack([store.images[row][..., places] for row in rows])
