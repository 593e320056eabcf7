"""The `parameters:` part of a study file: W&B's ways to write a domain, checked and built."""

from __future__ import annotations

import math
from typing import get_args

from seglib.data.spec import DataSpec
from seglib.errors import Problem
from seglib.recipe import Recipe
from tune.distributions import DEFAULTS, DISTRIBUTIONS, KEYS, Distribution
from tune.domains import Choice, Constant, Domain, Value, Weighted, same
from tune.field_checks import check_value, did_you_mean, field_bounds, field_kind, list_words
from tune.ranges import FloatRange, IntRange, Quantile, inner_counts, multiple
from tune.yaml_lines import Node

__all__ = ["read_domain", "whole_domain"]


class _Reading:
    """One parameter being read; ``problems`` and ``notes`` are the caller's lists."""

    def __init__(self, name: str, spec: Node, problems: list[Problem], notes: list[str]) -> None:
        self.name, self.spec, self.problems, self.notes = name, spec, problems, notes

    def fault(self, node: Node, wanted: str, hint: str = "") -> None:
        self.problems.append(Problem(node.place, node.words, wanted, hint))

    def value(self, node: Node) -> Value:
        kept, wanted = check_value(self.name, node.value)
        if wanted:
            hint = "write none, the word" if node.value is None and "'none'" in wanted else ""
            self.fault(node, wanted, hint)
        return kept

    def number(self, key: str, default: float | None = None) -> float | None:
        node = self.spec.get(key)
        if node is None:
            if default is None:
                wanted = f"min and max, and here is no {key}"
                self.fault(self.spec, wanted)
            return default
        is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        if not is_number or not math.isfinite(node.value):
            self.fault(node, "a number")
            return None
        found: float = node.value
        return found

    def build(self) -> Domain | None:
        before = len(self.problems)
        row = self._row()
        if row is None:
            return None
        for key, node in self.spec.items():
            if key not in {"distribution", "when", *row.keys, *(["q"] if row.stepped else [])}:
                self._odd_key(key, node)
        domain: Domain | None
        if row.shape == "constant":
            value = self.spec.get("value")
            assert value is not None
            domain = Constant(self.value(value))
        elif row.shape == "choice":
            domain = self._choice()
        elif field_kind(self.name) not in ("int", "float"):
            known = check_value(self.name, 0.5)[1]
            self.fault(self.spec, f"values or a value; {self.name} takes {known}")
            return None
        else:
            domain = self._interval(row) if "min" in row.keys else self._curve(row)
        return domain if len(self.problems) == before else None

    def _odd_key(self, key: str, node: Node) -> None:
        if key == "parameters":
            self.fault(node, "no parameters inside a parameter", "recipe fields have no parts")
        elif key in KEYS:
            named = self.spec.get("distribution")
            other = f"distribution {named.value}" if named else "what else is given"
            problem = Problem(node.place, f"the key '{key}'", f"no such key beside {other}")
            self.problems.append(problem)
        else:
            wanted = list_words(KEYS)
            problem = Problem(node.place, "an unknown key", wanted, did_you_mean(key, KEYS))
            self.problems.append(problem)

    def _row(self) -> Distribution | None:
        """The distribution that is named, or that W&B infers from the keys."""
        node = self.spec.get("distribution")
        if node is not None:
            row = DISTRIBUTIONS.get(node.value) if isinstance(node.value, str) else None
            if row is None:
                hint = did_you_mean(str(node.value), DISTRIBUTIONS)
                self.fault(node, f"one of {', '.join(DISTRIBUTIONS)}", hint)
                return None
            needed = [key for key in row.keys if key not in DEFAULTS and not self.spec.get(key)]
            if needed:
                self.fault(self.spec, f"{list_words(needed)} for distribution {node.value}")
                return None
            return row
        if self.spec.get("values"):
            weighted = "_w_probabilities" if self.spec.get("probabilities") else ""
            return DISTRIBUTIONS["categorical" + weighted]
        if self.spec.get("value"):
            return DISTRIBUTIONS["constant"]
        ends = [self.spec.get("min"), self.spec.get("max")]
        if not any(ends):
            wanted = "value, values, min and max, or a distribution"
            for key, odd in self.spec.items():
                if key not in KEYS:
                    self._odd_key(key, odd)
            self.fault(self.spec, wanted)
            return None
        if self.spec.get("q"):
            return DISTRIBUTIONS["q_uniform"]
        whole = all(node is not None and isinstance(node.value, int) for node in ends)
        if whole and field_kind(self.name) == "float":
            self.notes.append(
                f"{self.spec.place}: min and max are whole numbers, so only whole numbers are "
                "tried, as W&B does; write 0.0 for 0 to try those between"
            )
        return DISTRIBUTIONS["int_uniform" if whole else "uniform"]

    def _choice(self) -> Domain | None:
        node = self.spec.get("values")
        assert node is not None
        if not node.is_list or not node.value:
            self.fault(node, "a list of one or more values")
            return None
        values: list[Value] = []
        for one in node.value:
            value = self.value(one)
            if any(same(value, other) for other in values):
                self.fault(one, "each value once")
            values.append(value)
        weights = self.spec.get("probabilities")
        return self._weighted(values, weights) if weights else Choice(tuple(values))

    def _weighted(self, values: list[Value], weights: Node) -> Domain | None:
        numbers = weights.plain() if weights.is_list else []
        numeric = all(isinstance(one, int | float) and one >= 0 for one in numbers)
        if len(numbers) != len(values) or not numeric or abs(math.fsum(numbers) - 1) > 1e-6:
            self.fault(weights, f"{len(values)} numbers of at least 0 that add up to 1")
            return None
        return Weighted(tuple(values), tuple(map(float, numbers)))

    def _ends(self, row: Distribution) -> tuple[float, float] | None:
        """Low and high end in the field's own terms, checked."""
        low, high = self.number("min"), self.number("max")
        if low is None or high is None:
            return None
        first, last = self.spec.get("min"), self.spec.get("max")
        assert first is not None
        assert last is not None
        if low >= high:
            self.fault(last, f"a number above min ({low:g})")
            return None
        if row.exponents:
            low, high = (-high, -low) if row.inverse else (low, high)
            if max(abs(low), abs(high)) > 700:
                self.fault(last, "an exponent, the natural logarithm of the value")
                return None
            low, high = math.exp(low), math.exp(high)
            if first.value > 0 and not row.inverse:
                self.notes.append(
                    f"{self.spec.place}: log_uniform takes exponents, so values from {low:g} to "
                    f"{high:g} are tried; log_uniform_values takes the values themselves"
                )
        elif row.shape == "log" and low <= 0:
            self.fault(first, "a number above 0, for the scale is logarithmic")
            return None
        return self._inside(row, (low, first), (high, last))

    def _inside(
        self, row: Distribution, low: tuple[float, Node], high: tuple[float, Node]
    ) -> tuple[float, float] | None:
        ends = (low, high) if not row.inverse else ((low[0], high[1]), (high[0], low[1]))
        whole = field_kind(self.name) == "int" or row.whole
        found = []
        for (number, node), towards in zip(ends, (math.ceil, math.floor), strict=True):
            rounded = towards(number) if whole else number
            wanted = check_value(self.name, rounded)[1]
            if wanted:
                as_value = f" (that is {number:g})" if row.exponents else ""
                self.problems.append(Problem(node.place, node.words + as_value, wanted))
            found.append(rounded)
        if found[0] > found[1]:
            self.fault(high[1], "a whole number between min and max")
            return None
        return found[0], found[1]

    def _step(self, row: Distribution) -> float | None:
        """The step, None for none; 0 when it is wrong."""
        whole = field_kind(self.name) == "int"
        if not row.stepped:
            return 1.0 if whole or row.whole else None
        step = self.number("q", 1.0)
        if step is None or step <= 0 or (whole and step != round(step)):
            node = self.spec.get("q")
            if step is not None and node is not None:
                self.fault(node, "a whole number above 0" if whole else "a number above 0")
            return 0.0
        return float(step)

    def _interval(self, row: Distribution) -> Domain | None:
        ends, step = self._ends(row), self._step(row)
        if ends is None or step == 0:
            return None
        low, high = ends
        whole = field_kind(self.name) == "int"
        log = row.shape == "log"
        if low == high:
            return Constant(check_value(self.name, low)[0])
        if step is None or (step == 1 and whole):
            return IntRange(int(low), int(high), log) if whole else FloatRange(low, high, log)
        first, last = inner_counts(low, high, step)
        if first > last:
            node = self.spec.get("q") or self.spec
            self.fault(node, f"a step with a multiple between {low:g} and {high:g}")
            return None
        low, high = multiple(first, step), multiple(last, step)
        if low == high:
            return Constant(check_value(self.name, low)[0])
        if log:
            return Quantile("log_uniform", math.log(low), math.log(high), low, high, step, whole)
        if whole:
            return IntRange(int(low), int(high), step=int(step))
        return FloatRange(low, high, step=step)

    def _curve(self, row: Distribution) -> Domain | None:
        numbers = [self.number(key, DEFAULTS[key]) for key in row.keys]
        step = self._step(row)
        if None in numbers or step == 0:
            return None
        a, b = (float(number or 0.0) for number in numbers)
        for key, number in zip(row.keys, (a, b), strict=True):
            if key != "mu" and number <= 0:
                self.fault(self.spec.get(key) or self.spec, "a number above 0")
                return None
        assert row.shape in ("normal", "log_normal", "beta")
        whole = field_kind(self.name) == "int"
        domain = Quantile(row.shape, a, b, *field_bounds(self.name), step, whole)
        if domain.mass() < 1e-6 or domain.cut().is_empty():
            ends = f"{domain.low:g} to {domain.high:g}"
            self.fault(self.spec, f"a distribution that gives values from {ends}")
            return None
        return domain.cut()


def whole_domain(name: str) -> Domain | None:
    """All that a recipe field allows; None for free text."""
    kind = field_kind(name)
    if kind == "bool":
        return Choice((False, True))
    if kind == "word":
        return Choice(words) if (words := get_args(Recipe.model_fields[name].annotation)) else None
    low, high = field_bounds(name)
    return IntRange(int(low), int(high)) if kind == "int" else FloatRange(low, high)


def read_domain(name: str, spec: Node, problems: list[Problem], notes: list[str]) -> Domain | None:
    """Read the domain of one parameter.

    Args:
        name: What the study file calls it; a recipe field, else a fault.
        spec: Its mapping.
        problems: Faults are appended.
        notes: What is right but may surprise is appended.

    Returns:
        The domain, or None when there are faults.
    """
    if name not in Recipe.model_fields:
        hint = did_you_mean(name, Recipe.model_fields)
        if name in DataSpec.model_fields:
            hint = f"{name} belongs under data:"
        problems.append(Problem(spec.place, "an unknown recipe field", "", hint))
        return None
    if not isinstance(spec.value, dict):
        example = "{values: [...]}" if spec.is_list else f"{{value: {spec.value}}}"
        problems.append(Problem(spec.place, spec.words, "a mapping", f"write {name}: {example}"))
        return None
    return _Reading(name, spec, problems, notes).build()
