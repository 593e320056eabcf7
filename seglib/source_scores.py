"""Scores at the source's own resolution: masks held against the truth, case by case.

Nothing is resized: what a model says was brought back to the grid of the image before it
came here. Counts and means are those of :mod:`seglib.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from seglib.evaluate import SURFACE_TOLERANCE
from seglib.metrics import Scores, Tally
from seglib.surface import surface_distances
from seglib.target import Target

__all__ = ["COLUMNS", "Grid", "SourceTally"]

COLUMNS = (
    *("case", "class", "dice", "iou", "precision", "recall", "hd95", "surface_dice", "unit"),
    *("true_volume", "pred_volume", "volume_unit", "empty", "tp", "fp", "fn", "voxels"),
)
"""Of the table of :meth:`SourceTally.table`."""


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    Args:
        spacing_mm: Along z, y, x.
        located: The file tells the spacing; if not, lengths are in pixels.
    """

    spacing_mm: tuple[float, float, float]
    located: bool


class SourceTally:
    """Gathers the images of each case; measures it when the next case begins.

    Args:
        target: The classes, in the order of the planes.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tally = Tally(target)
        self._case = ""
        self._waiting: list[tuple[NDArray[np.bool_], Grid]] = []
        self._found: list[dict[str, Any]] = []
        self._done: set[str] = set()

    def update(
        self, case: str, pred: NDArray[np.bool_], true: NDArray[np.bool_], grid: Grid
    ) -> None:
        """Add an image. All images of a case come one after another, in their order.

        Args:
            case: Name of the case.
            pred: Where each class was found.
            true: Where it is.
            grid: Of the image.

        Shape:
            - pred, true: ``(N, K, H, W)``

        Raises:
            ValueError: The case was closed before.
        """
        if case != self._case:
            self._close()
            if case in self._done:
                raise ValueError(f"images of case {case} come apart")
            self._case = case
            self._done.add(case)
        self._tally.update(torch.from_numpy(pred), torch.from_numpy(true), [case] * len(pred))
        self._waiting.append((np.stack([pred, true]), grid))

    def scores(self) -> tuple[Scores, pd.DataFrame]:
        """Means over all cases, and a row for each case and class.

        ``hd95`` and ``surface_dice`` are in ``unit``. They are NaN where a class is in
        neither mask, and where the images of a case differ in size or spacing, so that
        they are no stack; ``hd95`` is infinite where a class is in one mask only.
        Volumes are areas where the case is a single picture.

        Returns:
            The means, and the table with the columns ``COLUMNS``.
        """
        self._close()
        scores = self._tally.scores()
        table = scores.per_case.merge(pd.DataFrame(self._found), on=["case", "class"])
        true, pred = table["tp"] + table["fn"], table["tp"] + table["fp"]
        table["true_volume"] = true * table["voxel"]
        table["pred_volume"] = pred * table["voxel"]
        table["empty"] = np.select(
            [(true == 0) & (pred == 0), true == 0, pred == 0], ["both", "truth", "prediction"], ""
        )
        return scores, table[list(COLUMNS)]

    def _close(self) -> None:
        """Measure the case whose images are all there."""
        if not self._waiting:
            return
        grids = [grid for _, grid in self._waiting]
        located = all(grid.located for grid in grids)
        spacing = grids[0].spacing_mm if located else (1.0, 1.0, 1.0)
        stack = _stacked(self._waiting, located=located)
        depth = sum(planes.shape[1] for planes, _ in self._waiting)
        unit, axes = ("mm" if located else "px"), (2 if depth == 1 else 3)
        for number, name in enumerate(self._target.classes):
            pair = None if stack is None else stack[:, :, number]
            found = _distances(pair, spacing)
            self._found.append(
                {
                    "case": self._case,
                    "class": name,
                    "unit": unit,
                    "hd95": found[0],
                    "surface_dice": found[1],
                    "voxel": math.prod(spacing[-axes:]),
                    "volume_unit": f"{unit}{axes}",
                }
            )
        self._waiting.clear()


def _stacked(
    waiting: Sequence[tuple[NDArray[np.bool_], Grid]], *, located: bool
) -> NDArray[np.bool_] | None:
    """All slices of a case ``(2, N, K, H, W)``; None if they do not lie on each other."""
    shapes = {planes.shape[2:] for planes, _ in waiting}
    spacings = {grid.spacing_mm for _, grid in waiting} if located else set()
    if len(shapes) > 1 or len(spacings) > 1:
        return None
    return np.concatenate([planes for planes, _ in waiting], axis=1)


def _distances(
    pair: NDArray[np.bool_] | None, spacing_mm: tuple[float, float, float]
) -> tuple[float, float]:
    """HD95 and surface Dice of one class."""
    if pair is None:
        return math.nan, math.nan
    steps: tuple[float, ...] = spacing_mm
    if pair.shape[1] == 1:  # a picture, whose every pixel would be surface in a volume
        pair, steps = pair[:, 0], steps[1:]
    found = surface_distances(pair[0], pair[1], steps)
    return found.hausdorff_mm(), found.surface_dice(SURFACE_TOLERANCE)
