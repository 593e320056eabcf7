"""Comparisons: which runs may be held against each other, and what that shows.

Points of one run are comparable. Points of two runs are so only if both had the same
images, the same split and the same chance: then the tasks of a suite are one ablation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tune.reporting.ablation import Ablation, Effect, Point, correct, find_effects
from tune.reporting.evidence import PointData, RunData
from tune.reporting.factors import factor_of

__all__ = ["Block", "compare"]


@dataclass(frozen=True)
class Block:
    """Runs that may be compared, and the effects found among their points.

    Args:
        title: The runs' names.
        runs: The runs.
        ablation: What was found.
    """

    title: str
    runs: tuple[RunData, ...]
    ablation: Ablation

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The effects, by factor."""
        return self.ablation.effects


def compare(runs: Sequence[RunData]) -> tuple[Block, ...]:
    """Find the effects within each set of comparable runs.

    Args:
        runs: All runs of a report.

    Returns:
        The sets in the order of their first run; p values are corrected for all
        comparisons of all of them.
    """
    together: dict[str, list[RunData]] = {}
    for run in runs:
        together.setdefault(_conditions(run), []).append(run)
    several = len(runs) > 1
    blocks = [_compare_block(tuple(part), several=several) for part in together.values()]
    corrected = iter(correct([effect for block in blocks for effect in block.effects]))
    return tuple(
        replace(
            block,
            ablation=replace(block.ablation, effects=tuple(next(corrected) for _ in block.effects)),
        )
        for block in blocks
    )


def _compare_block(runs: tuple[RunData, ...], *, several: bool) -> Block:
    points: dict[str, Point] = {}
    notes = []
    for run in runs:
        for point in run.points:
            name = f"{run.name} {point.name}" if several and not _named(point) else point.name
            recipe = json.dumps(dict(point.recipe), sort_keys=True)
            known = points.get(recipe)
            if known is None or (known.scores.empty and point.complete):
                points[recipe] = _to_point(name, point)
            elif point.complete:
                notes.append(f"{name} is the same recipe as {known.name}: compared once")
    found = find_effects(list(points.values()), _drawn(runs))
    title = ", ".join(run.name for run in runs)
    return Block(title, runs, Ablation(found.effects, (*notes, *found.notes)))


def _drawn(runs: Sequence[RunData]) -> set[str]:
    """Factors of which a sampler drew values from a range: any two trials differ in them."""
    spaces = [run.study.space for run in runs if run.study.method != "grid"]
    return {
        factor_of(name)
        for space in spaces
        for name in space.names
        if space[name].domain.grid() is None
    }


def _conditions(run: RunData) -> str:
    """What must be the same: images, split, and where chance starts from."""
    if run.splits is None or not run.data.get("key"):
        return run.name
    same = (run.data["key"], run.splits.by, run.splits.train, run.splits.val, run.study.seed,
            run.study.parts, run.splits.folds if run.study.folds else ())  # fmt: skip
    return json.dumps(same)


def _named(point: PointData) -> bool:
    return any(trial.entry.point for trial in point.trials)


def _to_point(name: str, point: PointData) -> Point:
    done = point.complete
    seconds = [trial.seconds for trial in done]
    memory = [row["peak_memory_mb"] for trial in done for row in trial.entry.rows]
    return Point(
        name=name,
        recipe=point.recipe,
        scores=point.scores(),
        seconds=sum(seconds) / len(seconds) if seconds else math.nan,
        memory_mb=max(memory, default=math.nan),
    )
