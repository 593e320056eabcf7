"""Batches: rows of a store, in a seeded order, as tensors on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from seglib.augment import Augment
from seglib.augment_batch import BatchAugment
from seglib.data.feed import Feed, MappedFeed
from seglib.data.store import Store

__all__ = ["Batch", "epoch_order", "iterate", "num_steps", "to_real"]


@dataclass(frozen=True)
class Batch:
    """Some slices, ready for the network.

    Args:
        image: ``(B, C, H, W)``, float32, channels last in memory.
        mask: ``(B, H, W)``, int64 labels.
        rows: ``(B,)``, int64, rows of the store's index; on the CPU.
    """

    image: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor


def num_steps(num_rows: int, batch_size: int) -> int:
    """Batches of an epoch: all full but perhaps the last.

    Args:
        num_rows: Slices of the epoch.
        batch_size: Slices per batch.

    Returns:
        The quotient, rounded up.
    """
    return -(-num_rows // batch_size)


def iterate(
    store: Store,
    rows: npt.NDArray[np.int64],
    *,
    batch_size: int,
    seed: int = 0,
    shuffle: bool = False,
    augment: Augment | BatchAugment | None = None,
    foreground_fraction: float = 0.0,
    channels: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
    feed: Feed | None = None,
) -> Iterator[Batch]:
    """Go once through some rows of a store.

    Every row comes exactly once, unless ``foreground_fraction`` asks for more
    foreground (see :func:`epoch_order`). Order and augmentation depend on
    ``seed`` alone, so give each epoch another one. Bytes are moved to the device
    before they become floats. Validation passes neither ``shuffle`` nor ``augment``.

    Args:
        store: Where the slices are.
        rows: Rows of its index.
        batch_size: Slices per batch; the last batch may be smaller.
        seed: Of the order and the augmentation.
        shuffle: Random order; else as given.
        augment: Changes image and mask of each slice alike; on a device only
            :class:`seglib.augment_batch.BatchAugment` can.
        foreground_fraction: Share of the epoch drawn from slices with foreground.
        channels: Names of the channels wanted, in their order; all if not given.
        device: Where the tensors go.
        feed: Brings the bytes of those channels to the device; the mapped store if not given.

    Yields:
        Batches that share no memory with the store or each other.
    """
    order_seed, augment_seed = np.random.SeedSequence(seed).generate_state(2)
    order = rows
    if shuffle or foreground_fraction > 0:
        rng = np.random.default_rng(int(order_seed))
        order = epoch_order(rows, store.has_foreground(), foreground_fraction, rng)
    if augment is not None:
        augment.reseed(int(augment_seed))
    if feed is None:
        places = [store.channels.index(name) for name in channels or store.channels]
        feed = MappedFeed(store, places, "cpu" if isinstance(augment, Augment) else device)
    chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    for chosen, (images, masks) in zip(chunks, feed.read(chunks), strict=True):
        if augment is not None:
            images, masks = _changed(augment, images, masks)
        yield Batch(
            image=to_real(images.to(device), store.scale, store.offset),
            mask=masks.to(device).long(),
            rows=torch.from_numpy(np.array(chosen, dtype=np.int64)),
        )


def epoch_order(
    rows: npt.NDArray[np.int64],
    has_foreground: npt.NDArray[np.bool_],
    fraction: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Draw the order of one epoch, which always has as many slices as ``rows``.

    With a fraction of 0 it is a permutation. Else that share of the epoch is drawn
    from the rows with foreground, each as often as any other (give or take one),
    and the rest from all rows, without repeats. With no foreground at all the
    fraction is without effect.

    Args:
        rows: Rows to draw from.
        has_foreground: For every row of the store.
        fraction: Share of the epoch, 0 to 1.
        rng: Generator to draw with.

    Returns:
        Rows in the order in which they come.

    Shape:
        - rows: ``(n,)``
        - has_foreground: ``(N,)``
        - returns: ``(n,)``
    """
    permuted = rng.permutation(rows)
    wanted = permuted[has_foreground[permuted]]
    count = round(fraction * len(rows)) if len(wanted) else 0
    if count == 0:
        return permuted
    rounds = [rng.permutation(wanted) for _ in range(num_steps(count, len(wanted)))]
    chosen = np.concatenate(rounds)[:count]
    return rng.permutation(np.concatenate([chosen, permuted[: len(rows) - count]]))


def _changed(
    augment: Augment | BatchAugment, images: torch.Tensor, masks: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and masks after augmentation: all at once, or one after the other on a CPU."""
    if isinstance(augment, BatchAugment):
        return augment(images, masks)
    image_arrays, mask_arrays = images.numpy(), masks.numpy()
    for i in range(len(image_arrays)):
        image_arrays[i], mask_arrays[i] = augment(image_arrays[i], mask_arrays[i])
    return images, masks


def to_real(images: torch.Tensor, scale: float, offset: float) -> torch.Tensor:
    """Bytes to what the network sees; the memory is not rearranged.

    Args:
        images: As a store holds them.
        scale: Of the store.
        offset: Of the store.

    Returns:
        The floats.

    Shape:
        - images: ``(B, H, W, C)``
        - returns: ``(B, C, H, W)``
    """
    tensor = images.permute(0, 3, 1, 2)
    real = tensor.to(torch.float32, memory_format=torch.channels_last)
    return real.mul_(scale).add_(offset)
