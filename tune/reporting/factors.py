"""Factors: the decisions in which recipes differ, and their levels in words.

A factor is a recipe field, or fields that make one decision together: all knobs of
augmentation, a loss and its own knobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "describe_points",
    "differ_in",
    "factor_of",
    "in_words",
    "is_augmented",
    "order_levels",
    "values_besides",
]

_GROUPS = {
    "augmentation": (
        *("rotation_deg", "shift", "zoom", "flip_horizontal", "flip_vertical"),
        *("elastic", "brightness", "contrast", "noise"),
    ),
    "loss": (
        *("loss", "dice_weight", "overlap_over", "tversky_alpha", "tversky_beta"),
        *("focal_gamma", "topk_fraction"),
    ),
    "optimizer": ("optimizer", "momentum", "weight_decay"),
    "schedule": ("schedule", "warmup_epochs"),
}
_FACTOR_OF = {name: factor for factor, names in _GROUPS.items() for name in names}


def describe_points(recipes: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The factors that differ among some recipes, in words.

    Args:
        recipes: All knobs of each.

    Returns:
        For each recipe, factor -> level; the same factors in all.
    """
    varying = _varying(recipes)
    told: dict[str, list[str]] = {}
    for name in varying:
        told.setdefault(factor_of(name), []).append(name)
    levels = {name: _levels(name, fields, recipes) for name, fields in told.items()}
    return [{name: levels[name][place] for name in told} for place in range(len(recipes))]


def _varying(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    return [name for name in names if len({str(recipe.get(name)) for recipe in recipes}) > 1]


def _fields(factor: str) -> tuple[str, ...]:
    return _GROUPS.get(factor, (factor,))


def factor_of(name: str) -> str:
    """The factor that a recipe's field belongs to."""
    return _FACTOR_OF.get(name, name)


def differ_in(factor: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Do two recipes differ in this factor?"""
    return any(one.get(name) != other.get(name) for name in _fields(factor))


def values_besides(
    factor: str, factors: Sequence[str], recipe: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The values of a recipe's fields in all factors but one."""
    others = [other for other in factors if other != factor]
    return tuple(recipe.get(name) for other in others for name in _fields(other))


def is_augmented(recipe: Mapping[str, Any]) -> bool:
    """Does a training see changed images?"""
    return any(recipe.get(name) for name in _fields("augmentation"))


def order_levels(
    factor: str, recipes: Sequence[Mapping[str, Any]], levels: Sequence[str]
) -> list[str]:
    """The levels of a factor in the order in which a change is told: from less to more.

    Numbers rise, switches go on, augmentation comes after none; other words keep the
    order in which the recipes first use them.

    Args:
        factor: One of those of :func:`describe_points`.
        recipes: All knobs of each.
        levels: The level of each recipe.

    Returns:
        Each level once.
    """
    first = {level: recipes[levels.index(level)] for level in dict.fromkeys(levels)}
    if factor == "augmentation":
        return sorted(first, key=lambda level: level != "none")
    numbers = {level: recipe.get(factor) for level, recipe in first.items()}
    if factor in _GROUPS or not all(isinstance(value, int | float) for value in numbers.values()):
        return list(first)
    return sorted(first, key=lambda level: float(numbers[level] or 0))


def _levels(factor: str, fields: Sequence[str], recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The level of a factor in each recipe, told by the fields that vary."""
    if factor == "augmentation":
        knobs = [
            ", ".join(f"{in_words(k)} {_value(r[k])}" for k in _fields(factor) if r.get(k))
            for r in recipes
        ]
        only = len({text for text in knobs if text}) == 1
        return [("on" if only else text) if text else "none" for text in knobs]
    told = []
    for recipe in recipes:
        values = [
            _value(recipe.get(name))
            if name == factor
            else f"{in_words(name)} {_value(recipe.get(name))}"
            for name in fields
        ]
        told.append(", ".join(values))
    return told


def in_words(name: str) -> str:
    """A field's or factor's name as people write it."""
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
