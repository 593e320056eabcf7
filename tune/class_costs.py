"""What each cost class of a study takes: as measured, or worked out from those that were."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Final

from seglib.recipe import Recipe
from tune.cost_classes import cost_class

if TYPE_CHECKING:
    from seglib.work import EpochCost

__all__ = ["ClassCost", "Paper", "settle_costs"]

_LEAST_ERROR: Final = 0.04
"""Standard deviation of a measurement that seems exact, as a share."""

_LEAST_INFERRED: Final = 0.15
_UNKNOWN: Final = 0.35
"""Of what is worked out, where too few classes were measured to see how well that goes."""

_FEWEST_TO_JUDGE: Final = 3


@dataclass(frozen=True)
class Paper:
    """What is known of a recipe without training it.

    Args:
        recipe: Which one.
        work: Of a step, for one image.
        memory_gb: Predicted for a trial.
        checkpoint_gb: Predicted for a checkpoint.
    """

    recipe: Recipe
    work: float
    memory_gb: float
    checkpoint_gb: float


@dataclass(frozen=True)
class ClassCost:
    """What a class costs.

    Args:
        cost: Of an epoch and of a trial.
        error: Standard deviation of its seconds, as a share.
        measured: Or was it worked out?
    """

    cost: EpochCost
    error: float
    measured: bool


def settle_costs(
    papers: Sequence[Paper], measured: Mapping[int, Sequence[EpochCost]]
) -> list[ClassCost] | None:
    """The costs of all classes.

    A class that was not measured takes as long as the measured one that is most like it,
    times the ratio of their work on paper. How far that errs is seen where both are measured.

    Args:
        papers: One for each class.
        measured: By number of the class; several measurements of one are averaged.

    Returns:
        One for each class; None where none was measured.
    """
    if not measured:
        return None
    known = {number: _average(costs) for number, costs in measured.items()}
    error = _judge(papers, known)
    found = []
    for number, paper in enumerate(papers):
        if number in known:
            found.append(ClassCost(known[number], _error_of(measured[number]), True))
        else:
            found.append(ClassCost(_infer(paper, papers, known), error, False))
    return found


def _average(costs: Sequence[EpochCost]) -> EpochCost:
    names = [one.name for one in fields(costs[0])]
    return replace(costs[0], **{name: fmean(getattr(one, name) for one in costs) for name in names})


def _error_of(costs: Sequence[EpochCost]) -> float:
    """From the parts of each measurement, and from how far several of them agree."""
    within = fmean(one.spread for one in costs) / math.sqrt(len(costs))  # pieces err together
    seconds = [one.train_s for one in costs]
    between = stdev(seconds) / fmean(seconds) / math.sqrt(len(costs)) if len(costs) > 1 else 0.0
    return max(_LEAST_ERROR, within, between)


def _judge(papers: Sequence[Paper], known: Mapping[int, EpochCost]) -> float:
    """Standard error of what is worked out, seen on each measured class as if it were not."""
    if len(known) < _FEWEST_TO_JUDGE:
        return _UNKNOWN
    errors = []
    for number, cost in known.items():
        others = {other: one for other, one in known.items() if other != number}
        errors.append(math.log(_infer(papers[number], papers, others).train_s / cost.train_s))
    return max(_LEAST_INFERRED, math.sqrt(fmean(error**2 for error in errors)))


def _infer(paper: Paper, papers: Sequence[Paper], known: Mapping[int, EpochCost]) -> EpochCost:
    nearest = min(known, key=lambda number: _distance(paper, papers[number]))
    other, cost = papers[nearest], known[nearest]
    ratio = paper.work / other.work
    return replace(
        cost,
        train_s=cost.train_s * ratio,
        score_s=cost.score_s * ratio,
        memory_mb=cost.memory_mb * paper.memory_gb / other.memory_gb,
        checkpoint_gb=paper.checkpoint_gb,
    )


def _distance(one: Paper, other: Paper) -> float:
    """In how many knobs two classes differ, a network of another kind counting most."""
    left, right = (json.loads(cost_class(paper.recipe)) for paper in (one, other))
    differing = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    kind = 10.0 * ("architecture" in differing)
    return len(differing) + kind + abs(math.log(one.work / other.work))
