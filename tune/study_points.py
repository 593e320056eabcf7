"""The points of a study file: what is tried first."""

from __future__ import annotations

from seglib.errors import Problem
from seglib.recipe import Recipe
from tune.domains import Value, show
from tune.field_checks import check_value, did_you_mean
from tune.study_space import SpacePart
from tune.yaml_lines import Node

__all__ = ["read_points"]


def read_points(
    node: Node | None, part: SpacePart | None, problems: list[Problem], notes: list[str]
) -> tuple[dict[str, Value], ...]:
    """Read the points to try first.

    A value outside its domain is a fault; only where ``demo`` or ``--set`` replaced
    the domain under the point is it moved to the nearest value instead.

    Args:
        node: The ``points:`` part.
        part: The space; None when it has faults, and values are not checked then.
        problems: Faults are appended.
        notes: What was moved or left out is appended.

    Returns:
        The points, most of them partial; values as their recipe fields keep them.
    """
    if node is None or node.value is None:
        return ()
    if not node.is_list:
        problems.append(Problem(node.place, node.words, "a list of mappings"))
        return ()
    points = []
    for row in node.value:
        if not isinstance(row.value, dict):
            problems.append(Problem(row.place, row.words, "a mapping of parameters to values"))
        elif part is not None:
            point: dict[str, Value] = {}
            for name, one in row.items():
                if name not in part.space:
                    _judge_stranger(name, one, part, problems)
                else:
                    _take(point, (name, one), part, problems=problems, notes=notes)
            _keep_active(point, row, part, problems)
            points.append(point)
    return tuple(points)


def _judge_stranger(name: str, node: Node, part: SpacePart, problems: list[Problem]) -> None:
    if name in part.dropped:
        return
    hint = did_you_mean(name, part.space.names)
    if name in Recipe.model_fields:
        hint = "give it under parameters too"
    problems.append(Problem(node.place, f"'{name}', which is no parameter here", "", hint))


def _take(
    point: dict[str, Value],
    pair: tuple[str, Node],
    part: SpacePart,
    *,
    problems: list[Problem],
    notes: list[str],
) -> None:
    name, node = pair
    value, wanted = check_value(name, node.value)
    domain = part.space[name].domain
    if not wanted and not domain.contains(value):
        if name in part.replaced and not node.overlay:
            point[name] = domain.nearest(value)
            notes.append(f"{node.place}: {show(value)} is moved to {show(point[name])}")
            return
        wanted = f"a value of its domain: {domain.describe()}"
    if wanted:
        problems.append(Problem(node.place, node.words, wanted))
    else:
        point[name] = value


def _keep_active(
    point: dict[str, Value], row: Node, part: SpacePart, problems: list[Problem]
) -> None:
    """A value that cannot count is a fault, unless an overlay moved what it waits for."""
    space = part.space
    full = space.point(point, Recipe().model_dump()).values
    for name in [name for name in point if name not in full]:
        if not part.replaced & set(space[name].when):
            condition = space.describe()[space.names.index(name)][2]
            node = row.value[name]
            problems.append(Problem(node.place, f"'{name}', which does not count here", condition))
        del point[name]
