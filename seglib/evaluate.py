"""How good is a network: scores over whole cases, while it trains and after its last epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from seglib.checkpoint import load_checkpoint
from seglib.data.feed import Feed
from seglib.data.loader import iterate
from seglib.data.store import Store
from seglib.device import build_autocast, choose_device
from seglib.legacy import LegacyTally
from seglib.memory import shrink_to_fit
from seglib.metrics import Scores, Tally, mask_planes, predict_planes
from seglib.micro_batch import finest_logits
from seglib.networks import build_network
from seglib.recipe import Recipe
from seglib.surface import surface_distances

__all__ = [
    "SURFACE_TOLERANCE",
    "Evaluation",
    "evaluate",
    "load_model",
    "predict_rows",
    "score_rows",
]

SURFACE_TOLERANCE = 2.0
"""Distance up to which a surface counts as found, in the store's unit: 2 mm or 2 pixels."""


Found = TypeVar("Found")


@dataclass(frozen=True)
class Evaluation:
    """What one pass over whole cases came to.

    ``per_case`` is the table of ``Scores.per_case`` with two more columns. ``hd95`` is the
    95th percentile of the surface distances, ``surface_dice`` the share of both surfaces
    that lies within ``SURFACE_TOLERANCE`` of the other one. Both are in the unit of the
    store (``StoreInfo.unit``): mm, or pixels of the source image where no file says how
    large one is; slices of such a stack count as one pixel apart. They are NaN where a
    class is in neither mask, and in a case of which some slices were left out.

    Args:
        scores: Means over cases and classes.
        per_case: One row per case and class.
        legacy: As the lab's notebooks scored, by the names in ``LEGACY_FIGURES``.
    """

    scores: Scores
    per_case: pd.DataFrame
    legacy: dict[str, float]


@torch.no_grad()
def score_rows(
    model: nn.Module,
    store: Store,
    rows: NDArray[np.int64],
    *,
    loss: nn.Module,
    batch_size: int,
    micro_batch: int,
    device: torch.device,
    autocast: AbstractContextManager[object],
    channels: Sequence[str] | None = None,
    feed: Feed | None = None,
) -> tuple[Scores, float]:
    """Scores per case and class, and the mean loss per slice.

    The slices of a case are added up before any ratio is taken, so the result does
    not depend on the batch size or on the order of the rows.

    Args:
        model: A network in evaluation mode.
        store: Where the slices are.
        rows: Which of them.
        loss: Called as ``loss(logits, mask)``.
        batch_size: Slices that share a loss.
        micro_batch: Slices that go through the network at once; changes no figure.
        device: Where the network is.
        autocast: Number format of the forward pass.
        channels: What the network sees; all channels if not given.
        feed: Brings the slices to the device; the mapped store if not given.

    Returns:
        The scores and the loss.
    """
    tally = Tally(store.target)
    cases = store.index["case"].to_numpy()
    total = torch.zeros((), dtype=torch.float64, device=device)
    for batch in iterate(
        store, rows, batch_size=batch_size, channels=channels, device=device, feed=feed
    ):
        logits = finest_logits(model, batch.image, micro_batch, autocast)
        total += loss(logits, batch.mask).double() * len(batch.rows)
        tally.update(
            predict_planes(logits, store.target),
            mask_planes(batch.mask, store.target),
            list(cases[batch.rows.numpy()]),
        )
    return tally.scores(), float(total) / max(len(rows), 1)


def load_model(checkpoint: Path, store: Store, device: torch.device) -> tuple[nn.Module, Recipe]:
    """The network of a checkpoint, ready to predict, and the recipe it was trained by.

    Args:
        checkpoint: A file written by ``Epoch.save``.
        store: Tells channels and classes.
        device: Where the network shall be.

    Returns:
        The network in evaluation mode, and its recipe.

    Raises:
        CheckpointError: The file cannot be read.
        InfeasibleError: The store lacks a channel that the network sees, or the library that
            it comes from is not here.
    """
    state, _ = load_checkpoint(checkpoint)
    recipe = Recipe.model_validate_json(state["recipe"])
    num_channels = len(recipe.seen_channels(store.channels))
    model = build_network(recipe, num_channels=num_channels, num_logits=store.target.num_logits)
    model.load_state_dict(state["model"])
    return model.to(device).eval(), recipe


@torch.no_grad()
def predict_rows(
    checkpoint: Path, store: Store, rows: NDArray[np.int64], *, device: torch.device | None = None
) -> NDArray[np.bool_]:
    """What a network marks on some slices, decided as :func:`evaluate` decides it.

    Args:
        checkpoint: A file written by ``Epoch.save``.
        store: Where the slices are.
        rows: Which of them.
        device: Where to run; the best there is if not given.

    Returns:
        A plane for each slice and class.

    Shape:
        - returns: ``(len(rows), K, H, W)``

    Raises:
        CheckpointError: The file cannot be read.
        InfeasibleError: The store lacks a channel that the network sees, or memory ran
            out with one slice at a time.
    """
    device = device or choose_device()
    model, recipe = load_model(checkpoint, store, device)
    autocast = build_autocast(recipe.precision, device)
    channels = recipe.seen_channels(store.channels)

    def attempt(size: int) -> NDArray[np.bool_]:
        planes = []
        for batch in iterate(store, rows, batch_size=size, channels=channels, device=device):
            logits = finest_logits(model, batch.image, size, autocast)
            planes.append(predict_planes(logits, store.target).cpu().numpy())
        return np.concatenate(planes)

    return _at_the_size_that_fits(attempt, recipe, store, rows, device=device)


@torch.no_grad()
def evaluate(
    checkpoint: Path, store: Store, rows: NDArray[np.int64], *, device: torch.device | None = None
) -> Evaluation:
    """Overlap, surface distances and the lab's figures, from one pass over the slices.

    Measured on the prepared slices, at the store's resolution and with its spacing. The
    lab's figures are pooled over batches of the recipe's size, the rows as they come.

    Args:
        checkpoint: A file written by ``Epoch.save``.
        store: Where the slices are.
        rows: Which of them; whole cases.
        device: Where to run; the best there is if not given.

    Returns:
        All three.

    Raises:
        CheckpointError: The file cannot be read.
        InfeasibleError: The store lacks a channel that the network sees, or memory ran
            out with one slice at a time.
    """
    device = device or choose_device()
    model, recipe = load_model(checkpoint, store, device)

    def attempt(micro_batch: int) -> Evaluation:
        return _evaluate(model, recipe, store, rows, micro_batch=micro_batch, device=device)

    return _at_the_size_that_fits(attempt, recipe, store, rows, device=device)


def _at_the_size_that_fits(
    attempt: Callable[[int], Found],
    recipe: Recipe,
    store: Store,
    rows: NDArray[np.int64],
    *,
    device: torch.device,
) -> Found:
    """What ``attempt`` gives for as many slices at once as memory has room for."""
    return shrink_to_fit(
        attempt,
        recipe.batch_size,
        most=len(rows),
        recipe=recipe,
        image_size=store.image_size,
        device=device,
    )


def _evaluate(
    model: nn.Module,
    recipe: Recipe,
    store: Store,
    rows: NDArray[np.int64],
    *,
    micro_batch: int,
    device: torch.device,
) -> Evaluation:
    autocast = build_autocast(recipe.precision, device)
    tally, legacy, surfaces = Tally(store.target), LegacyTally(store.target), _Surfaces(store, rows)
    cases = store.index["case"].to_numpy()
    channels = recipe.seen_channels(store.channels)
    for batch in iterate(
        store, rows, batch_size=recipe.batch_size, channels=channels, device=device
    ):
        logits = finest_logits(model, batch.image, micro_batch, autocast)
        pred, true = predict_planes(logits, store.target), mask_planes(batch.mask, store.target)
        tally.update(pred, true, list(cases[batch.rows.numpy()]))
        legacy.update(logits, batch.mask)
        surfaces.update(pred.cpu().numpy(), true.cpu().numpy(), batch.rows.tolist())
    scores = tally.scores()
    per_case = scores.per_case.merge(surfaces.table(), on=["case", "class"], how="left")
    return Evaluation(scores, per_case, legacy.figures())


class _Surfaces:
    """Gathers the planes of each whole case; measures and forgets them with its last slice."""

    def __init__(self, store: Store, rows: NDArray[np.int64]) -> None:
        self._classes = store.target.classes
        index = store.index
        self._cases, self._slices = index["case"].tolist(), index["slice"].tolist()
        self._spacing = index[["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]].to_numpy()
        self._size = Counter(self._cases)
        given = Counter(self._cases[row] for row in rows.tolist())
        self._whole = {case for case, size in given.items() if size == self._size[case]}
        self._waiting: dict[str, list[tuple[int, NDArray[np.bool_]]]] = {}
        self._found: list[tuple[str, str, float, float]] = []

    def update(self, pred: NDArray[np.bool_], true: NDArray[np.bool_], rows: list[int]) -> None:
        for row, both in zip(rows, np.stack([pred, true], axis=1), strict=True):
            case = self._cases[row]
            if case not in self._whole:
                continue
            planes = self._waiting.setdefault(case, [])
            planes.append((self._slices[row], both))
            if len(planes) == self._size[case]:
                self._measure(case, self._spacing[row])
                del self._waiting[case]

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self._found, columns=["case", "class", "hd95", "surface_dice"])

    def _measure(self, case: str, spacing: NDArray[np.float64]) -> None:
        in_order = sorted(self._waiting[case], key=lambda one: one[0])
        stack = np.stack([both for _, both in in_order], axis=2)  # 2, class, slice, y, x
        if len(in_order) == 1:  # a picture, whose every pixel would be surface in a volume
            stack, spacing = stack[:, :, 0], spacing[1:]
        for name, pred, true in zip(self._classes, stack[0], stack[1], strict=True):
            found = surface_distances(pred, true, spacing.tolist())
            dice = found.surface_dice(SURFACE_TOLERANCE)
            self._found.append((case, name, found.hausdorff_mm(), dice))
