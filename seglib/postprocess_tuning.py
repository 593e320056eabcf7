"""Tuning of what comes after the networks: thresholds, and parts too small to be believed.

On cases that the networks were not trained on, and only where it helps: a tie goes to the
plain setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from seglib.data.store import Store
from seglib.model import PostProcess
from seglib.postprocess import label_parts, mark_planes, pieces_of, truth_planes
from seglib.predict import Predictor
from seglib.target import Target

__all__ = ["Sample", "read_samples", "tune_postprocess"]

THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9)
"""Those that are tried, the plainest first."""

LEAST_GAIN = 1e-3
"""Mean Dice that a setting must bring to be taken: less is chance."""

_SIZES_PER_DECADE = 4


@dataclass(frozen=True)
class Sample:
    """One case to tune on.

    Args:
        probs: ``(N, K, H, W)``, of each class.
        truth: ``(N, K, H, W)``.
        spacing_mm: Along z, y, x.
    """

    probs: NDArray[np.float32]
    truth: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class _Found:
    """What one threshold marks in one case of one class.

    Args:
        true: Voxels of the truth.
        sizes: Of each part.
        voxels: Of each part.
        hits: Of each part, those that are right.
    """

    true: int
    sizes: NDArray[np.float64]
    voxels: NDArray[np.int64]
    hits: NDArray[np.int64]

    def dice(self, smallest: float) -> float:
        kept = self.sizes >= smallest
        marked = int(self.voxels[kept].sum())
        if not self.true and not marked:
            return np.nan
        return 2 * int(self.hits[kept].sum()) / (self.true + marked)


@dataclass
class _Class:
    """All cases of one class, by threshold."""

    found: dict[float, list[_Found]] = field(default_factory=dict)
    least_true: float = np.inf

    def score(self, threshold: float, smallest: float) -> float:
        figures = [one.dice(smallest) for one in self.found[threshold]]
        numbers = [figure for figure in figures if not np.isnan(figure)]
        return float(np.mean(numbers)) if numbers else np.nan


def read_samples(predictor: Predictor, store: Store, rows: NDArray[np.int64]) -> Iterator[Sample]:
    """The cases of a store with what a model says of them, to tune its masks on.

    Args:
        predictor: The model; trained on a store with these channels and classes.
        store: The prepared slices.
        rows: Which of them; whole cases.

    Yields:
        One case after the other.
    """
    index = store.index.iloc[rows]
    spacing = ["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]
    for _, case in index.assign(row=rows).groupby("case", sort=True):
        ordered = case.sort_values("slice")
        chosen = ordered["row"].to_numpy()
        z, y, x = (float(one) for one in ordered[spacing].to_numpy()[0])
        yield Sample(
            predictor.probabilities(store.images[chosen]),
            truth_planes(store.masks[chosen], store.target),
            (z, y, x),
        )


def tune_postprocess(
    samples: Iterable[Sample], target: Target, *, flat: bool, note: str
) -> PostProcess:
    """The thresholds and smallest parts that score best on cases not trained on.

    Class by class, by mean Dice over the cases. No part is removed that is as large as the
    class is in the case that has least of it. Cases are looked at once and forgotten.

    Args:
        samples: The cases; of validation, never of the test part.
        target: What the classes are.
        flat: See :func:`is_flat`.
        note: Where the cases come from, in words.

    Returns:
        The settings; plain for a class that no case has, or that gains nothing.
    """
    thresholds = THRESHOLDS if target.kind != "organs" else THRESHOLDS[:1]
    classes = [_Class({one: [] for one in thresholds}) for _ in target.classes]
    num_cases = 0
    for sample in samples:
        num_cases += 1
        for threshold in thresholds:
            plain = PostProcess.plain(target)
            post = plain.model_copy(update={"thresholds": (threshold,) * target.num_classes})
            planes = mark_planes(sample.probs, post, target)
            for number, one in enumerate(classes):
                truth = sample.truth[:, number]
                one.found[threshold].append(
                    _measure(planes[:, number], truth, sample.spacing_mm, flat=flat)
                )
        for number, one in enumerate(classes):
            size = _size_of(sample.truth[:, number], sample.spacing_mm, flat=flat)
            one.least_true = min(one.least_true, size) if size else one.least_true
    best = [_choose(one) for one in classes]
    gains = [
        f"{name} {one.score(0.5, 0):.3f} to {one.score(*chosen):.3f}"
        for name, one, chosen in zip(target.classes, classes, best, strict=True)
        if chosen != (0.5, 0.0)
    ]
    told = f"Dice {', '.join(gains)}" if gains else "nothing was better than plain"
    return PostProcess(
        thresholds=tuple(threshold for threshold, _ in best),
        smallest=tuple(size for _, size in best),
        note=f"tuned on {num_cases} {note}: {told}",
    )


def _choose(one: _Class) -> tuple[float, float]:
    """Threshold and smallest part; the plainest of those that score alike."""
    plain = one.score(0.5, 0.0)
    if not np.isfinite(one.least_true) or np.isnan(plain):
        return 0.5, 0.0
    candidates = [
        (threshold, size)
        for threshold, found in one.found.items()
        for size in _candidate_sizes(found, one.least_true)
    ]
    scores = [one.score(*candidate) for candidate in candidates]
    best = max(scores)
    if best < plain + LEAST_GAIN:
        return 0.5, 0.0
    return next(
        candidate
        for candidate, score in zip(candidates, scores, strict=True)
        if score > best - LEAST_GAIN
    )


def _candidate_sizes(found: Sequence[_Found], most: float) -> list[float]:
    """Rising from 0: round numbers between the smallest part there is and the largest allowed."""
    sizes = np.concatenate([one.sizes for one in found]) if found else np.zeros(0)
    sizes = sizes[sizes < most]
    if not sizes.size:
        return [0.0]
    low, high = np.log10([sizes.min(), most]) * _SIZES_PER_DECADE
    steps = 10 ** (np.arange(np.floor(low), np.ceil(high) + 1) / _SIZES_PER_DECADE)
    rounded = [float(f"{step:.2g}") for step in steps]
    return [0.0, *(size for size in rounded if sizes.min() < size <= most)]


def _measure(
    plane: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    *,
    flat: bool,
) -> _Found:
    sizes: list[NDArray[np.float64]] = [np.zeros(0)]
    voxels: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    hits: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for part, true in zip(pieces_of(plane, flat=flat), pieces_of(truth, flat=flat), strict=True):
        if not part.any():
            continue
        labelled, measured = label_parts(part, spacing_mm, flat=flat)
        sizes.append(measured[1:])
        voxels.append(np.bincount(labelled.ravel(), minlength=len(measured))[1:])
        hits.append(np.bincount(labelled[true], minlength=len(measured))[1:])
    return _Found(
        int(np.count_nonzero(truth)),
        np.concatenate(sizes),
        np.concatenate(voxels),
        np.concatenate(hits),
    )


def _size_of(plane: NDArray[np.bool_], spacing_mm: Sequence[float], *, flat: bool) -> float:
    """Size of all that is marked; of pictures, in the one that has least but some."""
    lengths = spacing_mm[1:] if flat else spacing_mm
    counts = [np.count_nonzero(piece) for piece in pieces_of(plane, flat=flat)]
    some = [count for count in counts if count]
    return min(some) * math.prod(lengths) if some else 0.0
