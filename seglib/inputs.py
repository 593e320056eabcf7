"""Inputs: what one run reads, by the way that fits its device, and how it is augmented."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from seglib.augment import Augment, build_augment
from seglib.augment_batch import BatchAugment, build_batch_augment
from seglib.data.feed import Feed, choose_feed
from seglib.data.loader import Batch, iterate
from seglib.data.store import Store
from seglib.recipe import Recipe
from seglib.seeds import derive_seed

__all__ = ["Inputs"]


class Inputs:
    """The batches of a run.

    On a CPU slices are read and augmented one by one when a batch is asked for: that takes
    a hundredth of what the network does. On a GPU they lie in its memory, or are read ahead,
    and are augmented there in batches. The order is the same.

    Args:
        recipe: The knobs.
        store: The prepared slices.
        seed: Of the run.
        device: Where it trains.

    Raises:
        InfeasibleError: The data lack a channel.
    """

    def __init__(self, recipe: Recipe, store: Store, *, seed: int, device: torch.device) -> None:
        self._recipe, self._store = recipe, store
        self._seed, self._device = seed, device
        self.channels = recipe.seen_channels(store.channels)
        self._feeds: dict[bytes, Feed] = {}
        pairs = store.target.mirror_pairs()
        self._augment: Augment | BatchAugment | None
        if device.type == "cuda":
            self._augment = build_batch_augment(recipe, pairs, store.fill, device)
        else:
            self._augment = build_augment(recipe, pairs, store.fill)

    def feed(self, rows: NDArray[np.int64]) -> Feed:
        """What brings these rows to the device; made once, as it may lie there.

        Args:
            rows: Of the store.

        Returns:
            The feed.
        """
        key = rows.tobytes()
        if key not in self._feeds:
            places = [self._store.channels.index(name) for name in self.channels]
            self._feeds[key] = choose_feed(self._store, rows, places, self._device)
        return self._feeds[key]

    def training_batches(self, rows: NDArray[np.int64], number: int) -> Iterator[Batch]:
        """Batches of epoch ``number``, in its order and augmented.

        Args:
            rows: Of the training part.
            number: Of the epoch, counted from 1.

        Returns:
            The batches.
        """
        return iterate(
            self._store,
            rows,
            batch_size=self._recipe.batch_size,
            seed=derive_seed(self._seed, "order", number),
            shuffle=True,
            augment=self._augment,
            foreground_fraction=self._recipe.foreground_fraction,
            channels=self.channels,
            device=self._device,
            feed=self.feed(rows),
        )

    def plain_batches(
        self, rows: NDArray[np.int64], number: int, batch_size: int
    ) -> Iterator[Batch]:
        """Batches for statistics after epoch ``number``: in an order of their own, as they are.

        Args:
            rows: Of the training part.
            number: Of the epoch, counted from 1.
            batch_size: Slices per batch.

        Returns:
            The batches.
        """
        return iterate(
            self._store,
            rows,
            batch_size=batch_size,
            seed=derive_seed(self._seed, "statistics", number),
            shuffle=True,
            channels=self.channels,
            device=self._device,
            feed=self.feed(rows),
        )
