"""Tuning of what comes after the networks: thresholds, and parts too small to be believed.

On cases that the networks were not trained on, and only where it helps patients that it was
not chosen on: each is left out once, and a gain must hold for those left out. Else the plain
setting stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

FEWEST_PATIENTS = 3
"""Patients that have a class, with fewer of whom nothing is tuned: of two, one is left out and
the other one chooses, and nobody can say how much that changes from patient to patient."""

_SIZES_PER_DECADE = 4


@dataclass(frozen=True)
class Sample:
    """One case to tune on.

    Args:
        probs: ``(N, K, H, W)``, of each class.
        truth: ``(N, K, H, W)``.
        spacing_mm: Along z, y, x.
        patient: Whose it is; one of its own if not given.
    """

    probs: NDArray[np.float32]
    truth: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    patient: str = ""


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
            return math.nan
        return 2 * int(self.hits[kept].sum()) / (self.true + marked)


@dataclass
class _Class:
    """All cases of one class.

    Args:
        found: By threshold, for each case.
        true_sizes: Of the class in each case, 0 where it is not there.
    """

    found: dict[float, list[_Found]] = field(default_factory=dict)
    true_sizes: list[float] = field(default_factory=list)


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
            str(ordered["group"].iloc[0]),
        )


def tune_postprocess(
    samples: Iterable[Sample], target: Target, *, flat: bool, note: str
) -> PostProcess:
    """The thresholds and smallest parts that score best on cases not trained on.

    Class by class, by mean Dice over the cases. No part is removed that is as large as the
    class is in the case that has least of it. Cases are looked at once and forgotten.

    With few patients the best of a hundred settings is the best by chance. So each patient
    is left out once, the setting chosen on the others, and its masks scored: over all of
    them this must gain ``LEAST_GAIN``, and more than the standard error of the gain.

    Args:
        samples: The cases; of validation, never of the test part.
        target: What the classes are.
        flat: See :func:`is_flat`.
        note: Where the cases come from, in words.

    Returns:
        The settings; plain for a class that fewer than ``FEWEST_PATIENTS`` have, or that
        gains nothing.
    """
    thresholds = THRESHOLDS if target.kind != "organs" else THRESHOLDS[:1]
    classes = [_Class({one: [] for one in thresholds}) for _ in target.classes]
    patients: list[str] = []
    for sample in samples:
        patients.append(sample.patient or f"#{len(patients)}")
        _look_at(sample, classes, target, flat=flat)
    chosen = [_choose(one, patients) for one in classes]
    return PostProcess(
        thresholds=tuple(one.threshold for one in chosen),
        smallest=tuple(one.smallest for one in chosen),
        note=_explain(dict(zip(target.classes, chosen, strict=True)), f"{len(patients)} {note}"),
    )


def _look_at(sample: Sample, classes: Sequence[_Class], target: Target, *, flat: bool) -> None:
    """Add a case to all classes."""
    plain = PostProcess.plain(target)
    for threshold in classes[0].found:
        post = plain.model_copy(update={"thresholds": (threshold,) * target.num_classes})
        planes = mark_planes(sample.probs, post, target)
        for number, one in enumerate(classes):
            truth = sample.truth[:, number]
            one.found[threshold].append(
                _measure(planes[:, number], truth, sample.spacing_mm, flat=flat)
            )
    for number, one in enumerate(classes):
        one.true_sizes.append(_size_of(sample.truth[:, number], sample.spacing_mm, flat=flat))


@dataclass(frozen=True)
class _Chosen:
    """What was chosen for a class, and why.

    Args:
        threshold: Of its probability.
        smallest: Size of the smallest part that stays.
        why: Its gain, in words; empty where the plain setting stays.
        is_rare: Too few patients have it.
    """

    threshold: float = 0.5
    smallest: float = 0.0
    why: str = ""
    is_rare: bool = False


def _explain(chosen: Mapping[str, _Chosen], cases: str) -> str:
    rare = [name for name, one in chosen.items() if one.is_rare]
    if len(rare) == len(chosen):
        few = f"fewer than {FEWEST_PATIENTS} patients have any class, and chance would choose"
        return f"not tuned on {cases}: {few}"
    gains = [f"{name} {one.why}" for name, one in chosen.items() if one.why]
    told = f"Dice {', '.join(gains)}" if gains else "nothing helps patients that are left out"
    return f"tuned on {cases}: {told}" + (f"; too few have {', '.join(rare)}" if rare else "")


def _choose(one: _Class, patients: Sequence[str]) -> _Chosen:
    """Threshold and smallest part, if they help patients that they are not chosen on."""
    names, whose = np.unique(patients, return_inverse=True)
    true_sizes = np.array(one.true_sizes)
    if len(np.unique(whose[true_sizes > 0])) < FEWEST_PATIENTS:
        return _Chosen(is_rare=True)
    least = np.where(true_sizes > 0, true_sizes, np.inf)
    parts = [whose != number for number in range(len(names))]
    most = max(least[kept].min() for kept in parts)
    candidates = [
        (threshold, size)
        for threshold, found in one.found.items()
        for size in _candidate_sizes(found, most)
    ]
    dice = np.array(
        [
            [case.dice(smallest) for case in one.found[threshold]]
            for threshold, smallest in candidates
        ]
    )
    sizes = np.array([size for _, size in candidates])

    def best_on(kept: NDArray[np.bool_]) -> int:
        return _best(dice[:, kept], sizes <= least[kept].min())

    apart = np.empty(len(patients))
    for kept in parts:
        apart[~kept] = dice[best_on(kept)][~kept]
    everybody = np.ones(len(patients), np.bool_)
    gain = _mean(apart) - _mean(dice[0])
    gains = np.array([_mean(apart[kept]) - _mean(dice[0, kept]) for kept in parts])
    error = math.sqrt((len(gains) - 1) * gains.var())  # the jackknife's
    best = best_on(everybody)
    if best == 0 or gain < LEAST_GAIN or gain <= error:
        return _Chosen()
    scores = f"{_mean(dice[0]):.3f} to {_mean(dice[best]):.3f}"
    return _Chosen(*candidates[best], f"{scores} ({_mean(apart):.3f} when left out)")


def _best(dice: NDArray[np.float64], allowed: NDArray[np.bool_]) -> int:
    """The plainest of the settings that score alike; the first is the plainest of all."""
    scores = np.array([_mean(row) for row in dice])
    scores[~allowed] = -np.inf
    best = float(np.nanmax(scores))
    if best < scores[0] + LEAST_GAIN:
        return 0
    return int(np.argmax(scores > best - LEAST_GAIN))


def _mean(figures: NDArray[np.float64]) -> float:
    """Of those that are there."""
    there = figures[~np.isnan(figures)]
    return float(there.mean()) if there.size else math.nan


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
