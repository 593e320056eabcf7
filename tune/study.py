"""StudyFile: one search as plain, checked data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from seglib.data.spec import DataSpec, SplitSpec
from seglib.recipe import Recipe
from seglib.seeds import derive_seed
from tune.space import Point, Space, Value
from tune.study_parts import (
    Budget,
    Constraints,
    EarlyTerminate,
    Fold,
    Method,
    Metric,
    Published,
    Resources,
    Tracking,
)

__all__ = ["GridRow", "StudyFile", "find_horizon"]


def find_horizon(space: Space) -> int:
    """Epochs of the longest training that a space allows."""
    if "epochs" not in space:
        return Recipe().epochs
    values = space["epochs"].domain.grid() or ()
    return max(value for value in values if isinstance(value, int))


@dataclass(frozen=True)
class GridRow:
    """One row of a grid: what is trained, once under each seed with each fold.

    Args:
        name: As a point of the study file names it; empty if none does.
        values: Of all parameters that count.
    """

    name: str
    values: dict[str, Value]


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """One search, checked: nothing in it contradicts anything else in it.

    ``point_names`` has one name for each of ``points``, empty where it has none.
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
    point_names: tuple[str, ...]
    published: Published
    early_terminate: EarlyTerminate
    run_cap: int | None
    budget: Budget
    constraints: Constraints
    resources: Resources
    tracking: Tracking
    project: str | None
    entity: str | None
    seed: int
    seeds: tuple[int, ...]
    folds: tuple[int, ...] | Literal["all"]
    product: bool
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

    @cached_property
    def rows(self) -> tuple[GridRow, ...]:
        """What a grid trains: the points as given, then the rest of the product.

        The product of the parameters' values is whole, or left out with ``product: false``.
        A point that is one of its rows names it; any other is a row beside it. Empty for
        other methods.
        """
        if self.method != "grid":
            return ()
        given = [self.space.row(point) for point in self.points]
        named = [GridRow(*pair) for pair in zip(self.point_names, given, strict=True)]
        product = self.space.expand() if self.product else ()
        rest = [values for values in product if values not in given]
        return (*named, *(GridRow("", values) for values in rest))

    @property
    def parts(self) -> tuple[Fold | None, ...]:
        """The divisions that each row is trained with; None is the split's own parts."""
        return ("all",) if self.folds == "all" else self.folds or (None,)

    @property
    def trainings(self) -> tuple[tuple[int | None, Fold | None], ...]:
        """Seed and division of each training of a row, in their order."""
        return tuple((seed, fold) for seed in self.seeds or (None,) for fold in self.parts)

    def trial_seed(self, number: int, seed: int | None) -> int:
        """The seed that a trial starts from.

        Args:
            number: The trial's number.
            seed: Which of ``seeds`` it is for; trials for the same one start from the same
                weights and see the data in the same order.

        Returns:
            A whole number in ``[0, 2**32)``.
        """
        return derive_seed(self.seed, *(("trial", number) if seed is None else ("seed", seed)))

    @property
    def architectures(self) -> tuple[str, ...]:
        """Every kind of network that may be trained."""
        default = (Recipe().architecture,)
        known = "architecture" in self.space
        values = (self.space["architecture"].domain.grid() or ()) if known else default
        given = [one["architecture"] for one in self.points if "architecture" in one]
        return tuple(dict.fromkeys(map(str, (*values, *given))))

    @property
    def horizon(self) -> int:
        """Epochs of the longest training that the space allows, or a row beside it asks for."""
        asked = [row.values["epochs"] for row in self.rows if "epochs" in row.values]
        return max(find_horizon(self.space), *(one for one in asked if isinstance(one, int)), 0)

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
        count = len(self.rows) * len(self.trainings)
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
            "points": [
                {**({"name": name} if name else {}), **point}
                for name, point in zip(self.point_names, self.points, strict=True)
            ],
            "published": self.published.model_dump() if self.published != Published() else None,
            "early_terminate": self.early_terminate.model_dump(mode="json"),
            "run_cap": self.run_cap,
            "budget": self.budget.model_dump(mode="json"),
            "constraints": self.constraints.model_dump(mode="json"),
            "resources": self.resources.model_dump(mode="json"),
            "tracking": self.tracking.model_dump(mode="json"),
            "project": self.project,
            "entity": self.entity,
            "seed": self.seed,
            "seeds": list(self.seeds) or None,
            "folds": "all" if self.folds == "all" else list(self.folds) or None,
            "product": None if self.product else False,
            "demo": self.demo,
        }
        return {key: value for key, value in parts.items() if value is not None}
