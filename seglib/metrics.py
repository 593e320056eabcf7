"""Dice, IoU, precision and recall: exact counts per case and class, then means.

The unit is the case: a volume, or one X-ray. A :class:`Tally` adds up counts as
slices come by, in any order and any batch; :class:`Scores` turns them into figures.
Background is no class here, so it can enter no mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from seglib.target import Target

__all__ = ["METRICS", "EmptyPolicy", "Scores", "Tally", "mask_planes", "predict_planes"]

EmptyPolicy = Literal["skip", "one"]
METRICS: Final = ("dice", "iou", "precision", "recall")


def mask_planes(mask: Tensor, target: Target) -> Tensor:
    """The truth as one yes-or-no plane per foreground class.

    Planes of regions may overlap. Labels are compared, not looked up in a table:
    as fast on a CPU, and on a GPU it copies nothing from the host.

    Args:
        mask: Labels, any integer type.
        target: Which labels make up which class.

    Shape:
        - mask: ``(B, H, W)``

    Returns:
        Bool planes ``(B, C, H, W)``, ``C = target.num_classes``.
    """
    planes = [
        reduce(torch.logical_or, [mask == label for label in members]) for members in target.members
    ]
    return torch.stack(planes, dim=1)


def predict_planes(logits: Tensor, target: Target) -> Tensor:
    """What the network says, as one yes-or-no plane per foreground class.

    Binary and regions: probability above one half, that is a logit above 0. Organs:
    the likeliest channel; where that is background, no plane is set.

    Args:
        logits: Raw network output.
        target: What the channels mean.

    Shape:
        - logits: ``(B, L, H, W)``, ``L = target.num_logits``

    Returns:
        Bool planes ``(B, C, H, W)``, ``C = target.num_classes``.
    """
    assert logits.shape[1] == target.num_logits, (logits.shape, target.num_logits)
    if target.kind == "organs":
        # the same answer as argmax, which takes ten times as long here on a CPU
        return mask_planes(logits.max(dim=1).indices, target)
    return (logits > 0).contiguous()


@dataclass(frozen=True)
class Scores:
    """Figures of one evaluation, and the rule by which they were made.

    A figure is taken per case and class, averaged over cases, and then over
    foreground classes. What happens to a case in which a class is empty:

    =======  ==========  =============================================================
    truth    prediction  effect on the class mean
    =======  ==========  =============================================================
    some     any         the figure counts; a ratio 0/0 (precision of no prediction) is 0
    empty    some        0 in all four figures, listed under false positives
    empty    empty       ``skip``: not counted (NaN); ``one``: 1 in all four figures
    =======  ==========  =============================================================

    Under ``skip`` a class that no case's truth holds is NaN whatever was predicted and
    is left out of the mean over classes, so the classes behind a score depend on the
    truth alone and the score is the same statistic every epoch. When nothing is left,
    the score is NaN.

    Args:
        per_case: One row per case and class: ``case, class, tp, fp, fn, voxels, dice,
            iou, precision, recall``, sorted by case name. ``voxels`` is the size of
            the whole case.
        per_class: Class name -> metric name -> mean over cases.
        dice: Mean over classes of twice the overlap through the sum of sizes.
        iou: Mean over classes of intersection over union.
        precision: Mean over classes of the share of what was marked that is right.
        recall: Mean over classes of the share of what is there that was found.
        pooled_dice: The lab's figure: pixels of all cases thrown together, then averaged
            over foreground classes. Large cases rule it. Only for comparison with the lab.
        num_cases: Cases seen, empty ones too.
        empty_policy: The ``skip`` or ``one`` of the table above.
        false_positive_cases: Class -> cases that lack it and in which it was marked.
        false_positive_voxels: Class -> voxels so marked in those cases.
    """

    per_case: pd.DataFrame
    per_class: dict[str, dict[str, float]]
    dice: float
    iou: float
    precision: float
    recall: float
    pooled_dice: float
    num_cases: int
    empty_policy: EmptyPolicy
    false_positive_cases: dict[str, int]
    false_positive_voxels: dict[str, int]


class Tally:
    """Running counts of hits and errors per case and class, exact whole numbers.

    A case may come in many pieces, in any order, spread over batches: only the
    sums are kept, so the scores are those of the whole volume.

    Args:
        target: Names and number of the classes.
        empty: What a class empty in both truth and prediction counts as; see
            :class:`Scores`.

    Raises:
        ValueError: ``empty`` is neither ``skip`` nor ``one``.
    """

    def __init__(self, target: Target, empty: EmptyPolicy = "skip") -> None:
        if empty not in ("skip", "one"):
            raise ValueError(f"empty: found {empty!r}; wanted 'skip' or 'one'")
        self.target = target
        self.empty = empty
        # what update() found and nobody has looked at yet: counts, cases, pixels of a piece
        self._waiting: list[tuple[Tensor, Sequence[str], int]] = []
        self._row_of: dict[str, int] = {}
        self._voxels = np.zeros(0, np.int64)
        # [row of a case, class, what]: overlap, predicted, true
        self._counts = np.zeros((0, target.num_classes, 3), np.int64)

    def update(
        self,
        pred_planes: Tensor,
        true_planes: Tensor,
        cases: Sequence[str],
        only_if: Tensor | None = None,
    ) -> None:
        """Add pieces of cases. On a GPU nobody waits for the counts before the scores.

        Args:
            pred_planes: What was predicted, of :func:`predict_planes`.
            true_planes: What is there, of :func:`mask_planes`.
            cases: The case of each piece; names may repeat.
            only_if: Whether the pieces count at all; they do if not given.

        Shape:
            - pred_planes, true_planes: ``(B, C, H, W)``, bool, on one device; only_if: ``()``

        Raises:
            ValueError: The planes are not bool, or the sizes do not agree.
        """
        shape = pred_planes.shape
        if (
            pred_planes.dtype != torch.bool
            or true_planes.dtype != torch.bool
            or true_planes.shape != shape
            or shape[:2] != (len(cases), self.target.num_classes)
        ):
            raise ValueError(
                f"planes: found {pred_planes.dtype} {tuple(shape)} and {true_planes.dtype} "
                f"{tuple(true_planes.shape)}; wanted two of bool "
                f"({len(cases)}, {self.target.num_classes}, H, W)"
            )
        # channels-last planes would count several times slower
        pred, true = pred_planes.contiguous(), true_planes.contiguous()
        parts = (pred & true, pred, true)
        found = torch.stack([torch.count_nonzero(part, dim=(2, 3)) for part in parts], dim=-1)
        if only_if is not None:
            found = torch.where(only_if, found, -1)
        self._waiting.append((found, cases, shape[2] * shape[3]))
        if found.device.type == "cpu":
            self._settle()

    def scores(self) -> Scores:
        """The figures so far; the tally can go on afterwards."""
        self._settle()
        cases = sorted(self._row_of)  # so that sums, too, do not depend on the order seen
        rows = [self._row_of[case] for case in cases]
        counts, voxels = self._counts[rows], self._voxels[rows]
        hit, pred, true = counts[..., 0], counts[..., 1], counts[..., 2]
        keep_all = self.empty == "one"
        figures = _figures(hit, pred, true, empty=1.0 if keep_all else math.nan)
        classes = self.target.classes
        per_class = {
            name: {
                metric: _mean(values[:, i]) if keep_all or true[:, i].any() else math.nan
                for metric, values in figures.items()
            }
            for i, name in enumerate(classes)
        }
        means = {metric: _mean([row[metric] for row in per_class.values()]) for metric in METRICS}
        false_alarm = np.where(true == 0, pred, 0)
        pooled = _figures(hit.sum(0), pred.sum(0), true.sum(0), empty=math.nan)["dice"]
        return Scores(
            per_case=self._table(cases, counts, voxels, figures),
            per_class=per_class,
            dice=means["dice"],
            iou=means["iou"],
            precision=means["precision"],
            recall=means["recall"],
            pooled_dice=_mean(pooled),
            num_cases=len(cases),
            empty_policy=self.empty,
            false_positive_cases=_by_class(classes, np.count_nonzero(false_alarm, axis=0)),
            false_positive_voxels=_by_class(classes, false_alarm.sum(axis=0)),
        )

    def _settle(self) -> None:
        """Add up what is waiting, fetched from a GPU in one piece."""
        if not self._waiting:
            return
        counts, cases, pixels = zip(*self._waiting, strict=True)
        self._waiting.clear()
        found = torch.cat(counts).cpu().numpy()
        pieces = [(case, size) for some, size in zip(cases, pixels, strict=True) for case in some]
        kept = np.flatnonzero(found[:, 0, 0] >= 0)
        rows = [self._row_of.setdefault(pieces[i][0], len(self._row_of)) for i in kept]
        self._make_room()
        # a plain += would add only once for a case that repeats
        np.add.at(self._counts, rows, found[kept])
        np.add.at(self._voxels, rows, [pieces[i][1] for i in kept])

    def _make_room(self) -> None:
        """Double the tables when new cases need it, so that adding stays cheap."""
        needed, room = len(self._row_of), len(self._voxels)
        if needed > room:
            extra = max(needed, 2 * room) - room
            self._counts = np.pad(self._counts, ((0, extra), (0, 0), (0, 0)))
            self._voxels = np.pad(self._voxels, (0, extra))

    def _table(
        self,
        cases: list[str],
        counts: NDArray[np.int64],
        voxels: NDArray[np.int64],
        figures: dict[str, NDArray[np.float64]],
    ) -> pd.DataFrame:
        """One row per case and class."""
        num_classes = self.target.num_classes
        hit, pred, true = (counts[..., i].ravel() for i in range(3))
        columns = {
            "case": np.repeat(np.array(cases, dtype=object), num_classes),
            "class": np.tile(np.array(self.target.classes, dtype=object), len(cases)),
            "tp": hit,
            "fp": pred - hit,
            "fn": true - hit,
            "voxels": np.repeat(voxels, num_classes),
        }
        return pd.DataFrame(columns | {name: values.ravel() for name, values in figures.items()})


def _figures(
    hit: NDArray[np.int64], pred: NDArray[np.int64], true: NDArray[np.int64], *, empty: float
) -> dict[str, NDArray[np.float64]]:
    """All four metrics, elementwise; ``empty`` where there is neither truth nor prediction."""
    ratios = {
        "dice": (2 * hit, pred + true),
        "iou": (hit, pred + true - hit),
        "precision": (hit, pred),
        "recall": (hit, true),
    }
    nothing = (pred + true) == 0
    return {
        # the divisor is 0 only where the dividend is 0 too, and that ratio is to be 0
        name: np.where(nothing, empty, above / np.maximum(below, 1))
        for name, (above, below) in ratios.items()
    }


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Mean of the numbers among ``values``; NaN when there is none."""
    array = np.asarray(values, np.float64)
    numbers = array[~np.isnan(array)]
    return float(numbers.mean()) if numbers.size else math.nan


def _by_class(classes: Sequence[str], numbers: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(classes, numbers.tolist(), strict=True))
