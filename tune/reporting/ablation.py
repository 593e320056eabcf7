"""Ablation: what each factor of a grid changed, from pairs of points that differ in it alone.

A *point* is one recipe, trained with one or more seeds. Figures are in Dice points,
that is hundredths. What a factor is, see :mod:`tune.reporting.factors`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from tune.reporting.factors import (
    describe_points,
    differ_in,
    in_words,
    order_levels,
    values_besides,
)
from tune.reporting.intervals import LEVEL, Interval, adjust_holm, mean_interval

__all__ = [
    "Ablation",
    "Effect",
    "Point",
    "case_scores",
    "correct",
    "find_effects",
    "signed",
]

POINTS_OF_DICE = 100.0


@dataclass(frozen=True, eq=False)
class Point:
    """One recipe and what it scored.

    Args:
        name: As the report calls it.
        recipe: All knobs.
        scores: Dice of the last epoch: a row per case, a column per seed.
        seconds: Mean time of its trials.
        memory_mb: Largest memory of its trials.
    """

    name: str
    recipe: Mapping[str, Any]
    scores: pd.DataFrame
    seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Effect:
    """What changed when one factor did, all else the same.

    Args:
        factor: What was changed.
        before: From which level.
        after: To which level.
        names: The points before and after; empty where pairs are pooled.
        setting: The other factors that vary in the grid, as they stood.
        interval: Change in Dice points, positive where ``after`` is better.
        num_seeds: Seeds that both have.
        num_cases: Cases that both have.
        seconds: Time of a trial before and after.
        memory_mb: Memory of a trial before and after.
        num_pairs: Pairs in the mean; 1 unless pooled.
        p_holm: The p value, corrected for all comparisons of the report.
    """

    factor: str
    before: str
    after: str
    names: tuple[str, ...]
    setting: str
    interval: Interval
    num_seeds: int
    num_cases: int
    seconds: tuple[float, float]
    memory_mb: tuple[float, float]
    num_pairs: int = 1
    p_holm: float = math.nan

    @property
    def holds(self) -> bool:
        """Does it differ from 0 also after the correction for all comparisons?"""
        return self.interval.separable and self.p_holm < 1 - LEVEL

    @property
    def verdict(self) -> str:
        """The finding in words."""
        found = self.interval
        if not found.known:
            return f"{signed(found.estimate)} Dice points, no interval from one case"
        if not found.separable:
            ends = f"[{signed(found.low)}, {signed(found.high)}]"
            return f"not separable: {signed(found.estimate)} {ends}"
        size, low, high = found.estimate, found.low, found.high
        if size < 0:  # what is worse is told without signs
            size, low, high = -size, -high, -low
        word = "better" if found.estimate > 0 else "worse"
        text = f"{word} by {size:.1f} Dice points [{low:.1f}, {high:.1f}]"
        return text if self.holds else f"{text}, not after Holm"


@dataclass(frozen=True)
class Ablation:
    """All effects of some comparable points, and what could not be compared.

    Args:
        effects: By factor; after the pairs of a change, their mean.
        notes: A sentence for whatever was left out.
    """

    effects: tuple[Effect, ...]
    notes: tuple[str, ...]


def signed(value: float) -> str:
    """A number with its sign, if it is not 0, a true minus, and one digit after the point."""
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def case_scores(final: pd.DataFrame) -> pd.Series[float]:
    """Dice of each case: the mean over the classes that its truth holds.

    Which classes count depends on the truth alone, so two networks are compared on
    the same ones. A case whose truth is empty has no score.

    Args:
        final: The columns ``case, class, tp, fn, dice`` of ``Scores.per_case``.

    Returns:
        One number per case.
    """
    held = final[final["tp"] + final["fn"] > 0]
    return held.groupby(held["case"].astype(str))["dice"].mean()


def find_effects(points: Sequence[Point], drawn: Collection[str] = ()) -> Ablation:
    """Compare every pair of points that differ in exactly one factor.

    Args:
        points: Scored on the same data and split; each recipe once.
        drawn: Factors that have no levels, as a sampler drew their values: not compared.

    Returns:
        The effects, p values corrected for all of them together.
    """
    recipes = [point.recipe for point in points]
    settings = describe_points(recipes)
    ranks = {
        name: order_levels(name, recipes, [one[name] for one in settings])
        for name in (settings[0] if settings else ())
    }
    found: dict[tuple[str, str, str], list[tuple[Effect, pd.DataFrame]]] = {}
    notes = _gaps(points)
    for first, second, factor in _pairs(points, list(ranks)):
        if factor in drawn:
            continue
        pair = [(points[place], settings[place]) for place in (first, second)]
        # told the same way round in all pairs, whatever order the points came in
        pair.sort(key=lambda end: ranks[factor].index(end[1][factor]))
        change = _change(*(point for point, _ in pair))
        if change.empty:
            names = f"{points[first].name} and {points[second].name}"
            notes.append(f"{names} share no seed or no case")
            continue
        effect = _effect(factor, pair, change)
        key = (factor, effect.before, effect.after)
        found.setdefault(key, []).append((effect, change))
    effects: list[Effect] = []
    for key in sorted(found, key=lambda key: list(ranks).index(key[0])):
        pairs = found[key]
        effects += [effect for effect, _ in pairs]
        if len(pairs) > 1:
            effects += _pool(pairs)
    return Ablation(correct(effects), tuple(notes))


def correct(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    """The same effects, their p values corrected for all of them by Holm's rule."""
    corrected = adjust_holm([effect.interval.p for effect in effects])
    return tuple(replace(e, p_holm=p) for e, p in zip(effects, corrected, strict=True))


def _pairs(points: Sequence[Point], factors: Sequence[str]) -> list[tuple[int, int, str]]:
    """Places of the points that differ in one factor alone, and the factor; in their order.

    Only points alike in all else are held against each other: of ten thousand trials
    there are fifty million pairs, and nearly none is one.
    """
    scored = [place for place, point in enumerate(points) if not point.scores.empty]
    found = []
    for factor in factors:
        alike: dict[tuple[Any, ...], list[int]] = {}
        for place in scored:
            rest = values_besides(factor, factors, points[place].recipe)
            alike.setdefault(rest, []).append(place)
        found += [
            (first, second, factor)
            for places in alike.values()
            for first, second in combinations(places, 2)
            if differ_in(factor, points[first].recipe, points[second].recipe)
        ]
    return sorted(found)


def _change(before: Point, after: Point) -> pd.DataFrame:
    """The change in Dice points, case by seed, where both have both."""
    change = (after.scores - before.scores) * POINTS_OF_DICE
    return change.dropna(axis="columns", how="all").dropna(axis="index")


def _effect(
    factor: str, pair: Sequence[tuple[Point, Mapping[str, str]]], change: pd.DataFrame
) -> Effect:
    (before, one), (after, other) = pair
    rest = {name: level for name, level in one.items() if name != factor}
    return Effect(
        factor=in_words(factor),
        before=one[factor],
        after=other[factor],
        names=(before.name, after.name),
        setting=", ".join(f"{in_words(name)} {level}" for name, level in rest.items()),
        interval=_interval(change),
        num_seeds=change.shape[1],
        num_cases=change.shape[0],
        seconds=(before.seconds, after.seconds),
        memory_mb=(before.memory_mb, after.memory_mb),
    )


def _interval(change: pd.DataFrame) -> Interval:
    """Of the mean change; no mean can change by more than all there is."""
    found = mean_interval(change.to_numpy(np.float64).T)
    low, high = max(found.low, -POINTS_OF_DICE), min(found.high, POINTS_OF_DICE)
    return replace(found, low=low, high=high) if found.known else found


def _pool(pairs: Sequence[tuple[Effect, pd.DataFrame]]) -> list[Effect]:
    """The mean of several pairs with the same change, over the cases and seeds of all."""
    total = pairs[0][1]
    for _, change in pairs[1:]:
        total = total + change
    mean = (total / len(pairs)).dropna(axis="columns", how="all").dropna(axis="index")
    if mean.empty:
        return []
    first, effects = pairs[0][0], [effect for effect, _ in pairs]
    pooled = replace(
        first,
        names=(),
        setting=f"mean of {len(pairs)} pairs",
        interval=_interval(mean),
        num_seeds=mean.shape[1],
        num_cases=mean.shape[0],
        seconds=_mean_ends([effect.seconds for effect in effects]),
        memory_mb=_mean_ends([effect.memory_mb for effect in effects]),
        num_pairs=len(pairs),
    )
    return [pooled]


def _gaps(points: Sequence[Point]) -> list[str]:
    """What some points have and others lack."""
    cases = {case for point in points for case in point.scores.index}
    seeds = {seed for point in points for seed in point.scores.columns}
    empty = [point.name for point in points if point.scores.empty]
    notes = [f"no figures of a last epoch, so in no comparison: {', '.join(empty)}"] * bool(empty)
    for point in (point for point in points if not point.scores.empty):
        whole = set(point.scores.dropna().index)
        for word, missing in (
            ("case", sorted(cases - whole)),
            ("seed", sorted(seeds - set(point.scores.columns))),
        ):
            if missing:
                named = ", ".join(map(str, missing))
                plural = "s" if len(missing) > 1 else ""
                notes.append(f"{point.name} lacks {word}{plural} {named}: left out of its pairs")
    return notes


def _mean_ends(ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    before, after = (float(np.mean(side)) for side in zip(*ends, strict=True))
    return before, after
