"""StudyFile: one search as plain, checked data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seglib.data.spec import DataSpec, SplitSpec
from seglib.recipe import Recipe
from tune.space import Point, Space, Value
from tune.study_parts import (
    Budget,
    Constraints,
    EarlyTerminate,
    Method,
    Metric,
    Resources,
    Tracking,
)

__all__ = ["StudyFile", "find_horizon"]


def find_horizon(space: Space) -> int:
    """Epochs of the longest training that a space allows."""
    if "epochs" not in space:
        return Recipe().epochs
    values = space["epochs"].domain.grid() or ()
    return max(value for value in values if isinstance(value, int))


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """One search, checked: nothing in it contradicts anything else in it.

    ``ignored`` lists W&B's keys that mean nothing here, ``notes`` what is right but
    may surprise; neither these nor ``path`` count when two are compared.
    """

    name: str
    description: str
    method: Method
    metric: Metric
    data: DataSpec
    split: SplitSpec
    space: Space
    points: tuple[dict[str, Value], ...]
    early_terminate: EarlyTerminate
    run_cap: int | None
    budget: Budget
    constraints: Constraints
    resources: Resources
    tracking: Tracking
    project: str | None
    entity: str | None
    seed: int
    demo: bool
    ignored: tuple[str, ...] = field(compare=False)
    notes: tuple[str, ...] = field(compare=False)
    path: Path = field(compare=False)

    def complete(self, partial: Mapping[str, Value]) -> Point:
        """A partial point with the default recipe for the rest, and what had to be moved."""
        return self.space.point(partial, Recipe().model_dump())

    def full_point(self, partial: Mapping[str, Value]) -> dict[str, Value]:
        """The values of :meth:`complete`."""
        return self.complete(partial).values

    def default_point(self) -> dict[str, Value]:
        """The default recipe, moved into the space where it lies outside."""
        return self.full_point({})

    @property
    def horizon(self) -> int:
        """Epochs of the longest training that the space allows."""
        return find_horizon(self.space)

    @property
    def folder_name(self) -> str:
        """Name of the run directory; a demo has one of its own, beside the real search's."""
        return f"{self.name}-demo" if self.demo else self.name

    def rungs(self) -> list[int]:
        """Epochs after which a trial may be stopped, rising, all below the horizon."""
        return self.early_terminate.rungs(self.horizon)

    @property
    def num_planned(self) -> int | None:
        """Trials in all; None when only the budget ends the search."""
        if self.method != "grid":
            return self.run_cap
        # points and the default lie in the grid, so they add nothing
        count = self.space.num_points or 0
        return min(count, self.run_cap or count)

    def resolved(self) -> dict[str, Any]:
        """Everything as a plain mapping; written as YAML, it loads as an equal study."""
        parts = {
            "name": self.name,
            "description": self.description,
            "method": self.method,
            "metric": self.metric.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json"),
            "split": self.split.model_dump(mode="json"),
            "parameters": self.space.spec(),
            "points": [dict(point) for point in self.points],
            "early_terminate": self.early_terminate.model_dump(mode="json"),
            "run_cap": self.run_cap,
            "budget": self.budget.model_dump(mode="json"),
            "constraints": self.constraints.model_dump(mode="json"),
            "resources": self.resources.model_dump(mode="json"),
            "tracking": self.tracking.model_dump(mode="json"),
            "project": self.project,
            "entity": self.entity,
            "seed": self.seed,
            "demo": self.demo,
        }
        return {key: value for key, value in parts.items() if value is not None}
