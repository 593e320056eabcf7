"""Faults of training that were seen in the labs, planted; see ``data/test_lab_faults.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seglib.data.loader import iterate
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.fit import Epoch, fit
from seglib.recipe import Recipe
from tests.contracts import check_moves_alike

CPU = torch.device("cpu")


def turn_both(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image[::-1], mask[::-1]


def turn_image_only(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image[:, ::-1], mask


def shrink_both_smoothly(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    blurred = (mask.astype(float) + np.roll(mask, 1, axis=0)) / 2
    return image, np.rint(blurred).astype(np.uint8)


def test_augmentation_that_leaves_the_mask_behind_is_found_out() -> None:
    check_moves_alike(turn_both)
    with pytest.raises(AssertionError, match="image and mask do not lie on each other"):
        check_moves_alike(turn_image_only)
    with pytest.raises(AssertionError, match="the mask holds labels that it did not have"):
        check_moves_alike(shrink_both_smoothly)


def first_epoch(store: Store, split: Split, **knobs: Any) -> Epoch:
    """The step is too small to change the network: only what goes in can make a difference."""
    recipe = Recipe(base_filters=2, depth=1, epochs=1, learning_rate=1e-9, norm="none", **knobs)
    return next(fit(recipe, store, split, seed=1, device=CPU))


def test_validation_is_never_augmented(store: Store, split: Split) -> None:
    plain = first_epoch(store, split)
    moved = first_epoch(store, split, flip_vertical=1.0, zoom=0.3, brightness=0.3)
    figures = plain.figures["val_loss"], moved.figures["val_loss"]
    assert figures[0] == pytest.approx(figures[1], abs=1e-6)
    assert abs(plain.figures["train_loss"] - moved.figures["train_loss"]) > 1e-4


def test_each_epoch_is_every_slice_once_in_another_order(
    store: Store, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []

    def watched(*args: Any, **options: Any) -> Any:
        rows: list[int] = []
        for batch in iterate(*args, **options):
            rows += batch.rows.tolist()
            yield batch
        seen.append(rows)

    monkeypatch.setattr("seglib.inputs.iterate", watched)
    recipe = Recipe(base_filters=2, depth=1, epochs=3, rotation_deg=10.0)
    list(fit(recipe, store, split, seed=1, device=CPU))
    assert len(seen) == 3
    assert all(sorted(rows) == split.rows(store.index, "train").tolist() for rows in seen)
    assert len({tuple(rows) for rows in seen}) == 3
