"""Field checks: what a recipe field accepts, and pydantic's answers as Problems."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from seglib.errors import Problem
from seglib.recipe import Recipe
from tune.domains import Value
from tune.yaml_lines import Node

__all__ = [
    "check_value",
    "did_you_mean",
    "field_bounds",
    "field_kind",
    "list_words",
    "read_model",
]

Model = TypeVar("Model", bound=BaseModel)
_WANTED = {
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "finite_number": "a finite number",
    "literal_error": "one of {expected}",
    "missing": "a value",
    "extra_forbidden": "",
    "value_error": "{error}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "string_type": "text",
}


_ALSO_CALLED = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "optim": "optimizer",
    "filters": "base_filters",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "loss_function": "loss",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest known word; empty when none is near."""
    if word.lower() in _ALSO_CALLED:
        return f"did you mean '{_ALSO_CALLED[word.lower()]}'?"
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else ""


def list_words(words: Iterable[str]) -> str:
    """``a, b or c``."""
    *head, last = words
    return f"{', '.join(head)} or {last}" if head else last


@cache
def field_kind(name: str) -> Literal["int", "float", "bool", "word"]:
    """What sort of value the recipe field ``name`` holds."""
    annotation = Recipe.model_fields[name].annotation
    if annotation is bool:
        return "bool"
    if annotation is int:
        return "int"
    return "float" if annotation is float else "word"


@cache
def field_bounds(name: str) -> tuple[float, float]:
    """Lowest and highest number that the recipe field ``name`` accepts."""
    low, high = -math.inf, math.inf
    for rule in Recipe.model_fields[name].metadata:
        low = max(low, getattr(rule, "ge", low))
        high = min(high, getattr(rule, "le", high))
        if (above := getattr(rule, "gt", None)) is not None:
            low = max(low, math.nextafter(above, math.inf))
        if (below := getattr(rule, "lt", None)) is not None:
            high = min(high, math.nextafter(below, -math.inf))
    return low, high


def check_value(name: str, value: Any) -> tuple[Value, str]:
    """Ask the recipe field ``name`` whether it accepts ``value``.

    Args:
        name: A recipe field.
        value: What the user wrote.

    Returns:
        The value as the field keeps it, and an empty text; or the value as it
        came, and what was wanted.
    """
    kind = field_kind(name)
    if kind in ("int", "float") and (isinstance(value, bool) or not isinstance(value, int | float)):
        return value, "a whole number" if kind == "int" else "a number"
    if kind == "bool" and not isinstance(value, bool | str):
        return value, "true or false"
    try:
        kept: Value = getattr(Recipe.model_validate({name: value}), name)
    except ValidationError as error:
        own = [one for one in error.errors() if one["loc"][:1] == (name,)]
        return (value, _wanted(own[0])) if own else (value, "")
    return kept, ""


def _wanted(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WANTED:
        return _WANTED[kind].format(**context)
    for word, text in (("int", "a whole number"), ("float", "a number"), ("bool", "true or false")):
        if kind.startswith(f"{word}_"):
            return text
    return str(error["msg"]).removeprefix("Input should be ").removeprefix("a valid ")


def read_model(model: type[Model], node: Node | None, problems: list[Problem]) -> Model | None:
    """Read a part of a study file into its model.

    Args:
        model: Class of the part.
        node: What the file says; None when the part is not there.
        problems: Faults are appended.

    Returns:
        The model, or None when there are faults.
    """
    if node is None or node.value is None:
        return model()
    try:
        return model.model_validate(node.plain())
    except ValidationError as error:
        found: dict[str, Problem] = {}
        for one in error.errors():
            problem = _problem(model, node, one)
            if problem.place in found:  # a value that may be of two kinds fails as both
                wanted = f"{found[problem.place].wanted} or {problem.wanted}"
                problem = replace(found[problem.place], wanted=wanted)
            found[problem.place] = problem
        problems.extend(found.values())
    return None


def _problem(model: type[BaseModel], node: Node, error: Mapping[str, Any]) -> Problem:
    here = node
    for step in error["loc"]:
        below = here.get(str(step))
        if below is None and here.is_list and isinstance(step, int) and step < len(here.value):
            below = here.value[step]
        if below is None:
            break
        here = below
    if error["type"] == "missing":
        key = str(error["loc"][-1])
        choices = get_args(model.model_fields[key].annotation) if key in model.model_fields else ()
        wanted = list_words(map(str, choices)) if choices else "a value"
        return Problem(f"{here.path}.{key}" if here.path else key, "nothing", wanted)
    if error["type"] == "extra_forbidden":
        if len(error["loc"]) > 1:  # of a part of this part
            return Problem(here.place, "an unknown key")
        hint = did_you_mean(str(error["loc"][-1]), model.model_fields)
        return Problem(here.place, "an unknown key", list_words(model.model_fields), hint)
    return Problem(here.place, here.words, _wanted(error))
