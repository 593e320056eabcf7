"""The points of a study file: what is tried first, and in a grid the rows with a name."""

from __future__ import annotations

from dataclasses import dataclass

from seglib.errors import Problem
from seglib.recipe import Recipe
from tune.domains import Value, show
from tune.field_checks import check_value, did_you_mean, list_words
from tune.study_space import SpacePart
from tune.yaml_lines import Node

__all__ = ["GivenPoint", "point_names", "read_points"]

_LONGEST_NAME = 40


@dataclass(frozen=True)
class GivenPoint:
    """One point as a study file gives it.

    Args:
        name: Of a row of a grid; empty if it has none.
        values: Some parameters' values, as their recipe fields keep them.
    """

    name: str
    values: dict[str, Value]


def read_points(
    node: Node | None, part: SpacePart | None, problems: list[Problem], notes: list[str], *,
    grid: bool,
) -> tuple[GivenPoint, ...]:  # fmt: skip
    """Read the points.

    A value outside its domain is a fault, but makes a row beside the product in a
    grid. Only where ``demo`` or ``--set`` replaced the domain under the point is it
    moved to the nearest value instead.

    Args:
        node: The ``points:`` part.
        part: The space; None when it has faults, and values are not checked then.
        problems: Faults are appended.
        notes: What was moved or left out is appended.
        grid: Is the method a grid? Then points may have names, and each says what it
            takes of every parameter that has several values.

    Returns:
        The points, each row of a grid once.
    """
    if node is None or node.value is None:
        return ()
    if not node.is_list:
        problems.append(Problem(node.place, node.words, "a list of mappings"))
        return ()
    points: list[GivenPoint] = []
    rows: list[tuple[Node, dict[str, Value]]] = []
    names: dict[str, Node] = {}
    for one in node.value:
        if not isinstance(one.value, dict):
            problems.append(Problem(one.place, one.words, "a mapping of parameters to values"))
            continue
        name = _read_name(one.get("name"), names, problems, grid=grid)
        if part is None:
            continue
        reading = _Reading(part, problems, notes, grid=grid)
        values = reading.values(one)
        row = part.space.row(values)
        if grid and (reading.faulty or reading.repeats(one, row, rows)):
            continue
        rows.append((one, row))
        points.append(GivenPoint(name, values))
    return tuple(points)


def point_names(node: Node | None) -> set[str]:
    """All names that a ``points:`` part gives, whatever else is wrong with it."""
    found = node.value if node is not None and node.is_list else []
    given = [one.get("name") for one in found]
    return {str(name.value).strip() for name in given if name is not None}


def _read_name(
    node: Node | None, names: dict[str, Node], problems: list[Problem], *, grid: bool
) -> str:
    if node is None:
        return ""
    name = str(node.value).strip()
    plain = isinstance(node.value, str | int | float) and not isinstance(node.value, bool)
    if not grid:
        hint = "only a row of a grid has a name"
        problems.append(Problem(node.place, "a name", "values of parameters only", hint))
    elif not plain or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        wanted = f"a printable name of at most {_LONGEST_NAME} characters"
        problems.append(Problem(node.place, node.words, wanted))
    elif name in names:
        found = f"the name '{name}' again; line {names[name].line} has it first"
        problems.append(Problem(node.place, found, "each name once"))
    names.setdefault(name, node)
    return name


class _Reading:
    """One point being read; ``problems`` and ``notes`` are the caller's lists."""

    def __init__(
        self, part: SpacePart, problems: list[Problem], notes: list[str], *, grid: bool
    ) -> None:
        self.part, self.grid = part, grid
        self.problems, self.notes = problems, notes
        self.moved = self.faulty = False

    def fault(self, node: Node, *texts: str) -> None:
        self.problems.append(Problem(node.place, *texts))
        self.faulty = True

    def values(self, row: Node) -> dict[str, Value]:
        point: dict[str, Value] = {}
        for name, node in row.items():
            if name == "name":
                continue
            if name in self.part.space:
                self._take(point, name, node)
            else:
                self._judge_stranger(name, node)
        self._keep_active(point, row)
        if self.grid and not self.faulty:
            self._require_choices(point, row)
        return point

    def repeats(
        self, node: Node, row: dict[str, Value], rows: list[tuple[Node, dict[str, Value]]]
    ) -> bool:
        """Is this row among those before? A fault, unless an overlay made them alike."""
        same = next((other for other, values in rows if values == row), None)
        if same is None:
            return False
        if self.moved:
            self.notes.append(f"{node.place} is left out: here it is the same as {same.path}")
        else:
            self.fault(node, f"the same row as {same.place}", "each row once")
        return True

    def _judge_stranger(self, name: str, node: Node) -> None:
        if name in self.part.dropped:
            self.moved = True
            return
        hint = did_you_mean(name, self.part.space.names)
        if name in Recipe.model_fields:
            hint = "give it under parameters too"
        self.fault(node, f"'{name}', which is no parameter here", "", hint)

    def _take(self, point: dict[str, Value], name: str, node: Node) -> None:
        value, wanted = check_value(name, node.value)
        domain = self.part.space[name].domain
        if not wanted and not domain.contains(value):
            if name in self.part.replaced and not node.overlay:
                self.moved = True
                point[name] = domain.nearest(value)
                self.notes.append(f"{node.place}: {show(value)} is moved to {show(point[name])}")
                return
            if not self.grid:
                wanted = f"a value of its domain: {domain.describe()}"
        if wanted:
            self.fault(node, node.words, wanted)
        else:
            point[name] = value

    def _keep_active(self, point: dict[str, Value], row: Node) -> None:
        """A value that cannot count is a fault, unless an overlay moved what it waits for."""
        space = self.part.space
        full = space.row(point) if self.grid else space.point(point, Recipe().model_dump()).values
        for name in [name for name in point if name not in full]:
            if not self.part.replaced & set(space[name].when):
                condition = space.describe()[space.names.index(name)][2]
                self.fault(row.value[name], f"'{name}', which does not count here", condition)
            self.moved = True
            del point[name]

    def _require_choices(self, point: dict[str, Value], row: Node) -> None:
        """Nothing is chosen silently: a row says which of several values it takes."""
        full = self.part.space.row(point)
        for parameter in self.part.space.order:
            if parameter.is_active(full) and parameter.name not in full:
                values = list_words(show(one) for one in parameter.domain.grid() or ())
                hint = "a row of a grid says what it takes of each parameter with several values"
                if self.part.replaced:
                    hint += "; --set points=[] leaves the given rows out"
                self.fault(row, f"no {parameter.name}", f"{parameter.name}: {values}", hint)
