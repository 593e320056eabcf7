"""Layers of a study file: the file itself, its demo part, and each ``--set`` over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seglib.data.spec import DataSpec
from seglib.errors import Problem
from seglib.recipe import Recipe
from tune.field_checks import did_you_mean
from tune.yaml_lines import Node, parse_yaml

__all__ = ["IGNORED", "KEYS", "lay_demo", "lay_overrides"]

KEYS = (
    *("name", "description", "method", "metric", "data", "split", "parameters", "points"),
    *("published", "early_terminate", "constraints", "run_cap", "budget", "resources"),
    *("tracking", "project", "entity", "seed", "seeds", "folds", "product", "demo"),
)
IGNORED = ("program", "command", "controller", "job", "settings", "version")


def _overlaid(node: Node) -> Node:
    """The node and all below it, marked as laid over another."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _overlaid(below) for key, below in value.items()}
    elif node.is_list:
        value = [_overlaid(below) for below in value]
    return replace(node, value=value, overlay=True)


def _merge(under: Node | None, over: Node, *, depth: int) -> Node:
    """Lay mappings over each other down to ``depth`` levels; anything else replaces."""
    if under is None or depth == 0:
        return over
    if not isinstance(under.value, dict) or not isinstance(over.value, dict):
        return over
    merged = dict(under.value)
    for key, below in over.items():
        merged[key] = _merge(merged.get(key), below, depth=depth - 1)
    return replace(under, value=merged)


def lay_demo(root: Node) -> Node:
    """Lay the demo part over the rest; a parameter is replaced as a whole.

    The result has no demo part.
    """
    demo = root.get("demo")
    rest = replace(root, value={key: node for key, node in root.items() if key != "demo"})
    if demo is None or not isinstance(demo.value, dict):
        return rest
    merged = dict(rest.value)
    for key, node in _overlaid(demo).items():
        depth = 1 if key == "parameters" else 10
        merged[key] = _merge(merged.get(key), node, depth=depth)
    return replace(rest, value=merged)


def lay_overrides(root: Node, overrides: Sequence[str], problems: list[Problem]) -> Node:
    """Lay ``KEY=VALUE`` texts over a file, in their order.

    The key is a path with dots, and may start at a parameter or a field of the
    data part. ``learning_rate=1e-3`` fixes a parameter, a list gives its choices.

    Args:
        root: The file.
        overrides: What followed each ``--set``.
        problems: Faults are appended.

    Returns:
        The file with the values laid over it.
    """
    for text in overrides:
        key, equals, written = text.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            wanted = "KEY=VALUE, as in learning_rate.max=3e-3"
            problems.append(Problem("--set", repr(text), wanted))
            continue
        option = f"--set {key}"
        node, faults = parse_yaml(written, option=option)
        path = _address(root, key.split("."))
        if isinstance(path, Problem):
            faults.append(path)
        problems.extend(faults)
        if not faults and not isinstance(path, Problem):
            root = _put(root, path, _as_spec(root, path, _overlaid(node)), problems)
    return root


def _address(root: Node, keys: list[str]) -> list[str] | Problem:
    """The path from the top of the file that a key means."""
    first, option = keys[0], f"--set {'.'.join(keys)}"
    parameters = root.get("parameters")
    if first == "demo":
        hint = "--set is laid over whichever form runs; leave out 'demo.'"
        return Problem(option, "the demo part", "a part of the study itself", hint)
    if first in KEYS or first in IGNORED:
        return keys
    if parameters and parameters.get(first):
        return ["parameters", *keys]
    if first in DataSpec.model_fields:  # before the recipe: channels are in both
        return ["data", *keys]
    if first in Recipe.model_fields:
        return ["parameters", *keys]
    known = (*KEYS, *Recipe.model_fields, *DataSpec.model_fields)
    return Problem(option, "an unknown key", "", did_you_mean(first, known))


def _as_spec(root: Node, path: list[str], node: Node) -> Node:
    """A bare value for a parameter as the parameter's mapping; its `when` stays."""
    parameters = root.get("parameters")
    if len(path) != 2 or path[0] != "parameters" or isinstance(node.value, dict):
        return node
    spec = {"values" if node.is_list else "value": node}
    old = parameters.get(path[1]) if parameters else None
    when = old.get("when") if old else None
    return replace(node, value={**spec, **({"when": when} if when else {})})


def _put(root: Node, path: list[str], node: Node, problems: list[Problem]) -> Node:
    """The tree with ``node`` at ``path``; the mappings on the way are made if needed."""
    if not path:
        return node
    if root.value is not None and not isinstance(root.value, dict):
        wanted = f"a mapping that could hold '{path[0]}'"
        problems.append(Problem(node.place, root.words, wanted))
        return root
    below = root.get(path[0]) or Node(None, option=node.option, overlay=True)
    value = {**dict(root.items()), path[0]: _put(below, path[1:], node, problems)}
    if path[0] in ("value", "values") and len(path) == 1:
        # a fixed value or a list takes the place of a range, it does not stand beside it
        value = {key: one for key, one in value.items() if key in (path[0], "when")}
    # all that leads to it counts as laid over, so that what hangs on it gives way
    return replace(root, value=value, overlay=True)
