"""Space: the parameters of a search, which depend on which, and the points they span.

A *point* is a plain mapping from parameter to value that holds the active
parameters only; what it leaves out, the recipe's default decides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tune.domains import Choice, Constant, Domain, Trial, Value, Weighted, same, show
from tune.ranges import FloatRange, IntRange, Quantile

__all__ = [
    "GRID_LIMIT",
    "Choice",
    "Constant",
    "Domain",
    "FloatRange",
    "IntRange",
    "Parameter",
    "Point",
    "Quantile",
    "Space",
    "Trial",
    "Value",
    "Weighted",
    "show",
]

GRID_LIMIT = 100_000  # a larger grid is a slip of the pen


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, its values, and when it counts.

    Args:
        name: Field of the recipe.
        domain: Values it may take.
        when: Other parameter to the values of it that make this one active.
    """

    name: str
    domain: Domain
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def is_active(self, values: Mapping[str, Value]) -> bool:
        """Does this parameter count, given the active parameters before it?"""
        return all(
            name in values and any(same(values[name], one) for one in wanted)
            for name, wanted in self.when.items()
        )

    def spec(self) -> dict[str, Any]:
        """The parameter as a study file writes it."""
        when = {
            name: values[0] if len(values) == 1 else list(values)
            for name, values in self.when.items()
        }
        return self.domain.spec() | ({"when": when} if when else {})


@dataclass(frozen=True)
class Point:
    """A full point, and what had to be moved into its domain: name to (wanted, got)."""

    values: dict[str, Value]
    moved: dict[str, tuple[Value, Value]]


@dataclass(frozen=True)
class Space:
    """The parameters of a search, in the order of the study file.

    Args:
        parameters: No two of one name; each ``when`` names others of them, without a circle.

    Raises:
        ValueError: Two parameters share a name, or a ``when`` leads nowhere or in a circle.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.parameters):
            raise ValueError("two parameters share a name")
        if len(self.order) != len(self.parameters):
            raise ValueError("a `when` names an unknown parameter, or two wait for each other")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, each once."""
        return tuple(dict.fromkeys(parameter.name for parameter in self.parameters))

    @cached_property
    def order(self) -> tuple[Parameter, ...]:
        """The parameters, each after those that its ``when`` names."""
        done: dict[str, Parameter] = {}
        waiting = list(self.parameters)
        while True:
            ready = [one for one in waiting if set(one.when) <= set(done)]
            if not ready:
                return tuple(done.values())
            done.update((one.name, one) for one in ready)
            waiting = [one for one in waiting if one.name not in done]

    def __getitem__(self, name: str) -> Parameter:
        return next(one for one in self.parameters if one.name == name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def active(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Names of the parameters that count at ``values``, parents first.

        A parameter whose parent does not count does not count either.
        """
        kept: dict[str, Value] = {}
        for parameter in self.order:
            if parameter.name in values and parameter.is_active(kept):
                kept[parameter.name] = values[parameter.name]
        return tuple(kept)

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Ask ``trial`` for a point; parameters that do not count are not asked for."""
        values: dict[str, Value] = {}
        for parameter in self.order:
            if parameter.is_active(values):
                values[parameter.name] = parameter.domain.suggest(trial, parameter.name)
        return values

    def contains(self, point: Mapping[str, Value]) -> bool:
        """Could :meth:`suggest` answer ``point``?"""
        expected = {one.name for one in self.order if one.is_active(point)}
        return set(point) == expected and all(
            self[name].domain.contains(value) for name, value in point.items()
        )

    def point(self, partial: Mapping[str, Value], defaults: Mapping[str, Value]) -> Point:
        """Complete a partial point: ``partial``, then ``defaults``, moved into their domains.

        Args:
            partial: Some parameters' values; one that does not count is left out.
            defaults: A value for every parameter, usually of the default recipe.

        Returns:
            The full point, and what had to be moved.
        """
        values: dict[str, Value] = {}
        moved: dict[str, tuple[Value, Value]] = {}
        for parameter in self.order:
            if not parameter.is_active(values):
                continue
            name, domain = parameter.name, parameter.domain
            wanted = partial[name] if name in partial else defaults[name]
            values[name] = wanted if domain.contains(wanted) else domain.nearest(wanted)
            if not domain.contains(wanted):
                moved[name] = (wanted, values[name])
        return Point(values, moved)

    def row(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """The row of a grid that ``given`` names; its values may lie outside the domains.

        Args:
            given: Some parameters' values; one that does not count is left out.

        Returns:
            They, and the value of each other parameter that has only one. A parameter
            that has several and is not given is left out.
        """
        values: dict[str, Value] = {}
        for parameter in self.order:
            if not parameter.is_active(values):
                continue
            all_values = parameter.domain.grid() or ()
            if parameter.name in given:
                values[parameter.name] = given[parameter.name]
            elif len(all_values) == 1:
                values[parameter.name] = all_values[0]
        return values

    def to_fixed(self, point: Mapping[str, Value]) -> dict[str, Value]:
        """The Optuna parameters under which :meth:`suggest` answers ``point``.

        For ``study.enqueue_trial``. The point must be full.
        """
        fixed: dict[str, Value] = {}
        for name, value in point.items():
            fixed.update(self[name].domain.fixed(name, value))
        return fixed

    @property
    def continuous(self) -> tuple[str, ...]:
        """Names of the parameters that have no list of values."""
        return tuple(one.name for one in self.parameters if one.domain.grid() is None)

    @property
    def num_points(self) -> int | None:
        """Points of the grid; None with a continuous parameter; not exact above the limit."""
        if self.continuous:
            return None
        tied = {name for one in self.parameters for name in (one.name, *one.when) if one.when}
        free = math.prod(len(one.domain.grid() or ()) for one in self.order if one.name not in tied)
        walk = _walk(tuple(one for one in self.order if one.name in tied), {})
        return free * sum(1 for _ in itertools.islice(walk, GRID_LIMIT + 1))

    def expand(self) -> list[dict[str, Value]]:
        """All points of the grid, each once, the last parameter varying fastest.

        Returns:
            Full points, as many as ``num_points``.

        Raises:
            ValueError: A parameter is continuous, or there are more than ``GRID_LIMIT`` points.
        """
        count = self.num_points
        if count is None:
            raise ValueError(f"no grid over a continuum: {', '.join(self.continuous)}")
        if count > GRID_LIMIT:
            raise ValueError(f"a grid of more than {GRID_LIMIT} points")
        return list(_walk(self.order, {}))

    def describe(self) -> list[tuple[str, str, str]]:
        """One row for each parameter: name, domain and condition in words."""
        return [
            (
                one.name,
                one.domain.describe(),
                " and ".join(
                    f"{name} is {' or '.join(map(show, values))}"
                    for name, values in one.when.items()
                ),
            )
            for one in self.parameters
        ]

    def spec(self) -> dict[str, dict[str, Any]]:
        """The ``parameters:`` part of a study file."""
        return {one.name: one.spec() for one in self.parameters}


def _walk(order: tuple[Parameter, ...], values: dict[str, Value]) -> Iterator[dict[str, Value]]:
    if not order:
        yield values
        return
    first, rest = order[0], order[1:]
    if not first.is_active(values):
        yield from _walk(rest, values)
        return
    for value in first.domain.grid() or ():
        yield from _walk(rest, {**values, first.name: value})
