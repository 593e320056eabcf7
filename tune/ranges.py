"""Ranges of numbers: the domains that have a low and a high end.

What Optuna cannot sample is read off the inverse of its distribution, see
:class:`Quantile`. Importing this file loads neither Optuna nor SciPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from typing_extensions import override

from tune.curves import CURVES, clip
from tune.domains import Domain, Trial, Value, as_number

__all__ = ["FloatRange", "IntRange", "Quantile", "inner_counts", "multiple"]


def multiple(count: int, step: float) -> float:
    """``count * step`` as it would be written down: 3 * 0.1 is 0.3."""
    return float(f"{count * step:.12g}")


def inner_counts(low: float, high: float, step: float) -> tuple[int, int]:
    """The first and the last multiple of ``step`` in ``[low, high]``, counted in steps."""
    first, last = round(low / step), round(high / step)
    first += multiple(first, step) < low
    last -= multiple(last, step) > high
    return first, last


@dataclass(frozen=True)
class FloatRange(Domain):
    """Numbers from ``low`` to ``high``, both included; ``step`` leaves multiples of it only."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @override
    def suggest(self, trial: Trial, name: str) -> Value:
        value = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return self.nearest(value)

    @override
    def contains(self, value: Value) -> bool:
        number = as_number(value)
        if number is None or not self.low <= number <= self.high:
            return False
        return self.step is None or math.isclose(
            number, multiple(round(number / self.step), self.step), abs_tol=1e-9 * self.step
        )

    @override
    def nearest(self, value: Value) -> Value:
        number = as_number(value)
        number = self.low if number is None else clip(number, self.low, self.high)
        if self.step is None:
            return number
        return clip(multiple(round(number / self.step), self.step), self.low, self.high)

    @override
    def grid(self) -> tuple[Value, ...] | None:
        if self.step is None:
            return None
        first, last = round(self.low / self.step), round(self.high / self.step)
        return tuple(multiple(count, self.step) for count in range(first, last + 1))

    @override
    def fixed(self, name: str, value: Value) -> dict[str, Value]:
        return {name: value}

    @override
    def describe(self) -> str:
        steps = f", in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{steps}{', log scale' if self.log else ''}"

    @override
    def spec(self) -> dict[str, Any]:
        kind = "log_uniform_values" if self.log else "q_uniform" if self.step else "uniform"
        ends = {"distribution": kind, "min": self.low, "max": self.high}
        return {**ends, "q": self.step} if self.step else ends


@dataclass(frozen=True)
class IntRange(Domain):
    """Whole numbers from ``low`` to ``high``, both included; with ``log`` the step is 1."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    @override
    def suggest(self, trial: Trial, name: str) -> Value:
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    @override
    def contains(self, value: Value) -> bool:
        number = as_number(value)
        return number is not None and number in range(self.low, self.high + 1, self.step)

    @override
    def nearest(self, value: Value) -> Value:
        number = as_number(value)
        number = self.low if number is None else clip(number, self.low, self.high)
        return min(self.low + round((number - self.low) / self.step) * self.step, self.high)

    @override
    def grid(self) -> tuple[Value, ...]:
        return tuple(range(self.low, self.high + 1, self.step))

    @override
    def fixed(self, name: str, value: Value) -> dict[str, Value]:
        return {name: value}

    @override
    def describe(self) -> str:
        steps = f"steps of {self.step}" if self.step > 1 else "whole numbers"
        return f"{self.low} to {self.high}, {steps}{', log scale' if self.log else ''}"

    @override
    def spec(self) -> dict[str, Any]:
        kind = "log_uniform_values" if self.log else "q_uniform" if self.step > 1 else "int_uniform"
        ends = {"distribution": kind, "min": self.low, "max": self.high}
        return {**ends, "q": self.step} if self.step > 1 else ends


@dataclass(frozen=True)
class Quantile(Domain):
    """A distribution that Optuna lacks, cut off at ``low`` and ``high``.

    ``a`` and ``b`` are mean and deviation (of the logarithm for ``log_normal``),
    the two exponents of ``beta``, or the two ends' logarithms for ``log_uniform``.
    ``step`` leaves multiples of it only, and ``whole`` makes them integers.
    """

    kind: Literal["normal", "log_normal", "beta", "log_uniform"]
    a: float
    b: float
    low: float
    high: float
    step: float | None = None
    whole: bool = False

    def is_empty(self) -> bool:
        """Is there nothing between ``low`` and ``high``?"""
        if self.step is None:
            return self.low >= self.high
        first, last = self._counts()
        return first > last

    def cut(self, tail: float = 1e-6) -> Quantile:
        """The same without its far tails, so that its ends say what is likely."""
        ends = [CURVES[self.kind].value(share, self.a, self.b) for share in (tail, 1.0 - tail)]
        if self.step is not None:
            ends = [multiple(round(end / self.step), self.step) for end in ends]
        return replace(self, low=max(self.low, ends[0]), high=min(self.high, ends[1]))

    def mass(self) -> float:
        """Share of the uncut distribution that lies between ``low`` and ``high``."""
        return self._below(self.high + self._half) - self._below(self.low - self._half)

    def at(self, quantile: float) -> Value:
        """The value that a share ``quantile`` of the cut distribution lies below."""
        share = self._below(self.low - self._half) + quantile * self.mass()
        return self.nearest(CURVES[self.kind].value(share, self.a, self.b))

    @property
    def _half(self) -> float:
        """Half a step: a multiple stands for all that is rounded to it."""
        return self.step / 2 if self.step else 0.0

    def _below(self, value: float) -> float:
        return CURVES[self.kind].share(value, self.a, self.b)

    def _counts(self) -> tuple[int, int]:
        assert self.step is not None
        return inner_counts(self.low, self.high, self.step)

    @override
    def suggest(self, trial: Trial, name: str) -> Value:
        return self.at(trial.suggest_float(f"{name}:quantile", 0.0, 1.0))

    @override
    def contains(self, value: Value) -> bool:
        number = as_number(value)
        if number is None or not self.low <= number <= self.high:
            return False
        closest = as_number(self.nearest(value))
        return self.step is None or math.isclose(number, closest or 0.0, abs_tol=1e-9 * self.step)

    @override
    def nearest(self, value: Value) -> Value:
        number = as_number(value)
        number = self.low if number is None else clip(number, self.low, self.high)
        if self.step is None:
            return clip(float(f"{number:.12g}"), self.low, self.high)
        first, last = self._counts()
        snapped = multiple(int(clip(round(number / self.step), first, last)), self.step)
        return round(snapped) if self.whole else snapped

    @override
    def grid(self) -> tuple[Value, ...] | None:
        if self.step is None:
            return None
        first, last = self._counts()
        return tuple(self.nearest(count * self.step) for count in range(first, last + 1))

    @override
    def fixed(self, name: str, value: Value) -> dict[str, Value]:
        number = as_number(value) or 0.0
        share = (self._below(number - self._half) + self._below(number + self._half)) / 2
        share -= self._below(self.low - self._half)
        return {f"{name}:quantile": clip(share / self.mass(), 0.0, 1.0)}

    @override
    def describe(self) -> str:
        shape = (
            "log scale" if self.kind == "log_uniform" else f"{self.kind} ({self.a:g}, {self.b:g})"
        )
        steps = f", in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{steps}, {shape}"

    @override
    def spec(self) -> dict[str, Any]:
        name = f"q_{self.kind}" if self.step else self.kind
        if self.kind == "log_uniform":
            found = {"distribution": f"{name}_values", "min": self.low, "max": self.high}
        else:
            keys = ("a", "b") if self.kind == "beta" else ("mu", "sigma")
            found = {"distribution": name, keys[0]: self.a, keys[1]: self.b}
        return {**found, "q": self.step} if self.step else found
