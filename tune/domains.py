"""Domain: the values one parameter may take, and how Optuna is asked for one of them.

Optuna knows flat and log ranges and plain choices. Every other distribution is
asked for as a number in [0, 1] under the name ``<parameter>:quantile``, and that
share of the distribution is looked up. Ranges of numbers are in :mod:`tune.ranges`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from typing_extensions import override

__all__ = [
    "Choice",
    "Constant",
    "Domain",
    "Trial",
    "Value",
    "Weighted",
    "as_number",
    "same",
    "show",
]

Value = bool | int | float | str | None


class Trial(Protocol):
    """The three questions that are put to an Optuna trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number between two others."""
        ...

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number between two others."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        ...


def same(left: Value, right: Value) -> bool:
    """Are two values equal, and is neither a truth value that only looks like a number?"""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def show(value: Value) -> str:
    """A value as a person would write it in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_number(value: Value) -> float | None:
    """The value as a number; None for text, truth values and null."""
    return None if isinstance(value, bool | str) or value is None else float(value)


class Domain(ABC):
    """The values that one parameter may take."""

    @abstractmethod
    def suggest(self, trial: Trial, name: str) -> Value:
        """Ask ``trial`` for a value of the parameter ``name``."""

    @abstractmethod
    def contains(self, value: Value) -> bool:
        """May the parameter take this value?"""

    @abstractmethod
    def nearest(self, value: Value) -> Value:
        """The value of the domain that is closest; the first one where nothing is close."""

    @abstractmethod
    def grid(self) -> tuple[Value, ...] | None:
        """All values, or None when there is a continuum of them."""

    @abstractmethod
    def fixed(self, name: str, value: Value) -> dict[str, Value]:
        """The Optuna parameters that make :meth:`suggest` answer ``value``."""

    @abstractmethod
    def describe(self) -> str:
        """The domain in words."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """The domain as a study file writes it."""


@dataclass(frozen=True)
class Constant(Domain):
    """One value; Optuna never hears of it."""

    value: Value

    @override
    def suggest(self, trial: Trial, name: str) -> Value:
        return self.value

    @override
    def contains(self, value: Value) -> bool:
        return same(value, self.value)

    @override
    def nearest(self, value: Value) -> Value:
        return self.value

    @override
    def grid(self) -> tuple[Value, ...]:
        return (self.value,)

    @override
    def fixed(self, name: str, value: Value) -> dict[str, Value]:
        return {}

    @override
    def describe(self) -> str:
        return show(self.value)

    @override
    def spec(self) -> dict[str, Any]:
        return {"value": self.value}


@dataclass(frozen=True)
class Choice(Domain):
    """One of several values, each as likely."""

    values: tuple[Value, ...]

    @override
    def suggest(self, trial: Trial, name: str) -> Value:
        answer: Value = trial.suggest_categorical(name, self.values)
        return answer

    @override
    def contains(self, value: Value) -> bool:
        return any(same(value, one) for one in self.values)

    @override
    def nearest(self, value: Value) -> Value:
        if self.contains(value):
            return value
        wanted = as_number(value)
        numbers = [one for one in self.values if as_number(one) is not None]
        if wanted is None or not numbers:
            return self.values[0]
        return min(numbers, key=lambda one: abs((as_number(one) or 0.0) - wanted))

    @override
    def grid(self) -> tuple[Value, ...]:
        return self.values

    @override
    def fixed(self, name: str, value: Value) -> dict[str, Value]:
        return {name: value}

    @override
    def describe(self) -> str:
        return "one of " + ", ".join(map(show, self.values))

    @override
    def spec(self) -> dict[str, Any]:
        return {"values": list(self.values)}


@dataclass(frozen=True)
class Weighted(Choice):
    """One of several values, some more likely than others; ``weights`` add up to 1."""

    weights: tuple[float, ...]

    @override
    def suggest(self, trial: Trial, name: str) -> Value:
        left = trial.suggest_float(f"{name}:quantile", 0.0, 1.0)
        for value, weight in zip(self.values, self.weights, strict=True):
            left -= weight
            if left < 0:
                return value
        likely = [value for value, weight in zip(self.values, self.weights, strict=True) if weight]
        return likely[-1]

    @override
    def fixed(self, name: str, value: Value) -> dict[str, Value]:
        place = next(i for i, one in enumerate(self.values) if same(one, value))
        return {f"{name}:quantile": min(1.0, sum(self.weights[:place]) + self.weights[place] / 2)}

    @override
    def describe(self) -> str:
        pairs = zip(self.values, self.weights, strict=True)
        return "one of " + ", ".join(f"{show(value)} ({weight:.0%})" for value, weight in pairs)

    @override
    def spec(self) -> dict[str, Any]:
        return {"values": list(self.values), "probabilities": list(self.weights)}
