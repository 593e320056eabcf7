"""Study file: one search as YAML, in Weights & Biases' sweep format and a little more.

A sweep file written for W&B loads unchanged. All faults of a file are told at
once, each with its line. Loading imports neither torch, Ray, Optuna nor W&B.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from seglib.data.spec import DataSpec, SplitSpec
from seglib.errors import InfeasibleError, Problem, StudyFileError
from seglib.recipe import Recipe
from tune.field_checks import did_you_mean, list_words, read_model
from tune.space import GRID_LIMIT, Space
from tune.study import StudyFile, find_horizon
from tune.study_layers import IGNORED, KEYS, lay_demo, lay_overrides
from tune.study_parts import (
    RANKING,
    SCORES,
    Budget,
    Constraints,
    EarlyTerminate,
    Head,
    Metric,
    Published,
    Resources,
    Tracking,
)
from tune.study_points import GivenPoint, point_names, read_points
from tune.study_space import read_space
from tune.yaml_lines import Node, read_yaml

__all__ = ["PARTS", "StudyFile", "as_folder_name", "load_study"]

PARTS: dict[str, type[BaseModel]] = {
    "metric": Metric,
    "data": DataSpec,
    "split": SplitSpec,
    "early_terminate": EarlyTerminate,
    "constraints": Constraints,
    "budget": Budget,
    "resources": Resources,
    "tracking": Tracking,
    "published": Published,
}
_DEFAULT_RUNS = 30


def load_study(path: Path | str, overrides: Sequence[str] = (), *, demo: bool) -> StudyFile:
    """Read a study file.

    Without overrides both forms of the file, with and without its demo part, are
    checked, whichever is asked for.

    Args:
        path: The file.
        overrides: ``KEY=VALUE`` texts that are laid over it, in their order.
        demo: Lay the file's demo part over the rest? A file without one, as W&B's
            sweeps are, is read as it is.

    Returns:
        The study.

    Raises:
        StudyFileError: Anything is wrong with the file or an override; all faults are listed.
    """
    path = Path(path)
    root, problems = read_yaml(path)
    if suite := root.get("studies"):
        hint = "segtune run and segtune check take a suite; here give one of its files"
        problem = Problem(suite.place, "a suite of studies", "one study", hint)
        raise StudyFileError(str(path), [problem])
    part = root.get("demo")
    both = part is not None and isinstance(part.value, dict) and not overrides
    study: StudyFile | None = None
    for form in [not demo, demo] if both else [demo]:
        laid = lay_demo(root) if form else root
        laid = lay_overrides(laid, overrides, problems)
        study = _Reader(path, laid, problems).read(part, demo=form)
    if problems or study is None:
        raise StudyFileError(str(path), sorted(dict.fromkeys(problems), key=_line))
    return study


def as_folder_name(given: str | None, path: Path) -> tuple[str, str]:
    """A name that can be a folder's; spaces become dashes, slashes are a fault.

    Args:
        given: What the file says; None takes the file's own name.
        path: The file.

    Returns:
        The name, and what was wanted instead; empty if it is right.
    """
    if given is None:
        return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.")[:100] or "study", ""
    name = re.sub(r"\s+", "-", given.strip())
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        return name, ""
    wanted = "a folder name: letters, digits, '.', '_', '-', no dot or dash in front, at most 100"
    return name, wanted


def _line(problem: Problem) -> tuple[int, int]:
    found = re.search(r"line (\d+)\)?$", problem.place)
    return (0, int(found[1])) if found else (1, 0)


class _Reader:
    """Reads one form of a file; faults are appended to ``problems``."""

    def __init__(self, path: Path, root: Node, problems: list[Problem]) -> None:
        self.path, self.root, self.problems = path, root, problems
        self.notes: list[str] = []

    def fault(self, node: Node | None, key: str, *texts: str) -> None:
        self.problems.append(Problem(node.place if node else key, *texts))

    def read(self, part: Node | None, *, demo: bool) -> StudyFile | None:
        before = len(self.problems)
        root, problems = self.root, self.problems
        ignored = self._check_keys()
        plain = {key: node for key, node in root.items() if key in Head.model_fields}
        head = read_model(Head, Node(plain), problems)
        parts: dict[str, Any] = {
            key: read_model(model, root.get(key), problems) for key, model in PARTS.items()
        }
        found = read_space(root.get("parameters"), problems, self.notes)
        method = root.get("method")  # known even where another part of the head is wrong
        grid = method is not None and method.value == "grid"
        points = read_points(root.get("points"), found, problems, self.notes, grid=grid)
        names = tuple(point.name for point in points)
        used = self._check_demo(part, demo=demo)
        parts["metric"] = self._metric(parts["metric"], parts["data"])
        parts["published"] = self._published(parts["published"], names)
        if head is not None and not grid:
            self._refuse_grid_keys(head.method)
        if found is not None:
            rule = parts["early_terminate"] = self._settle(parts["early_terminate"], found.space)
            if head is not None and head.folds and rule is not None and rule.type in RANKING:
                self._refuse_ranking(rule.type)
            self._check_channels(found.space, points, parts["data"])
        name = self._name(head.name if head else None)
        run_cap = self._run_cap(head, parts["budget"], found.space if found else None)
        if len(problems) > before or head is None or found is None:
            return None
        return StudyFile(
            **{**head.model_dump(), **parts, "name": name, "run_cap": run_cap},
            space=found.space,
            points=tuple(point.values for point in points),
            point_names=names,
            demo=used,
            ignored=ignored,
            notes=tuple(self.notes),
            path=self.path,
        )

    def _check_keys(self) -> tuple[str, ...]:
        ignored = []
        for key, node in self.root.items():
            if key in IGNORED:
                ignored.append(key)
            elif key not in KEYS:
                hint = did_you_mean(key, (*KEYS, *IGNORED))
                if key in Recipe.model_fields or key in DataSpec.model_fields:
                    above = "data" if key in DataSpec.model_fields else "parameters"
                    hint = f"it belongs under {above}:"
                self.fault(node, key, "an unknown key", "", hint)
        return tuple(ignored)

    def _check_channels(
        self, space: Space, points: Sequence[GivenPoint], data: DataSpec | None
    ) -> None:
        """Channels that the network may see must be among those of the data, if those are named."""
        if data is None or data.channels is None or "channels" not in space:
            return
        wanted = [*(space["channels"].domain.grid() or ())]
        wanted += [point.values["channels"] for point in points if "channels" in point.values]
        specs = self.root.get("parameters")
        node = specs.get("channels") if specs else None
        for value in dict.fromkeys(map(str, wanted)):
            try:
                Recipe(channels=value).seen_channels(data.channels)
            except InfeasibleError:
                known = f"all, or some of {' + '.join(data.channels)}, as data.channels names them"
                self.fault(node, "parameters.channels", f"'{value}'", known)

    def _check_demo(self, part: Node | None, *, demo: bool) -> bool:
        """Is this the demo form? `demo: true` marks one that was resolved before."""
        if part is not None and not isinstance(part.value, dict | bool):
            self.fault(part, "demo", part.words, "a mapping, laid over the rest for a demo")
        if part is not None and isinstance(part.value, bool):
            return part.value
        return part is not None and demo

    def _name(self, given: str | None) -> str:
        name, wanted = as_folder_name(given, self.path)
        if wanted:
            self.fault(self.root.get("name"), "name", repr(given), wanted)
        elif given is not None and name != given:
            self.notes.append(f"name: {given!r} is written {name!r}")
        return name

    def _metric(self, metric: Metric | None, data: DataSpec | None) -> Metric | None:
        if metric is None:
            return None
        node = self.root.get("metric")
        name, goal = (node.get("name"), node.get("goal")) if node else (None, None)
        score, _, part = metric.name.partition("_")
        natural = "maximize" if score in SCORES else "minimize"
        if "goal" not in metric.model_fields_set:
            metric = metric.model_copy(update={"goal": natural})
        elif natural == "maximize" != metric.goal:
            self.fault(goal, "metric.goal", metric.goal, "maximize", f"a higher {score} is better")
        elif natural != metric.goal:
            self.notes.append(f"metric: a lower {metric.name} is better, but the goal is maximize")
        if score in SCORES and part and data is not None:
            regions = ("WT", "TC", "ET") if data.target == "regions" else ()
            classes = tuple(data.classes or regions)
            if classes and part not in classes:
                wanted = list_words(f"{score}_{one}" for one in classes)
                self.fault(name, "metric.name", f"'{metric.name}'", wanted)
        return metric

    def _published(self, published: Published | None, names: tuple[str, ...]) -> Published | None:
        """Scores of points that are there; a name that no point has is a fault."""
        node, points = self.root.get("published"), self.root.get("points")
        scores = node.get("scores") if node else None
        if published is None or scores is None:
            return published
        known = point_names(points)
        for name, one in scores.items():
            if name not in known and not (points and points.overlay):
                wanted = list_words(sorted(known)) if known else "points with names"
                self.fault(one, name, f"'{name}', which no point is called", wanted)
        kept = {name: text for name, text in published.scores.items() if name in names}
        return published.model_copy(update={"scores": kept})

    def _refuse_grid_keys(self, method: str) -> None:
        for key in ("seeds", "folds", "product", "published"):
            if node := self.root.get(key):
                wanted = "it only with the method grid"
                hint = f"leave out {key}: a {method} search proposes recipes of its own"
                self.fault(node, key, f"{key} with the method {method}", wanted, hint)

    def _refuse_ranking(self, rule: str) -> None:
        node = self.root.get("early_terminate")
        found = f"{rule}, which ranks trials"
        wanted = "none or patience, as with folds trials are scored on different patients"
        self.fault(node.get("type") if node else None, "early_terminate.type", found, wanted)

    def _run_cap(self, head: Head | None, budget: Budget | None, space: Space | None) -> int | None:
        """The trials in all: as given, the whole grid, what the budget allows, or a default."""
        if head is None:
            return None
        if head.method == "grid":
            if space is not None:
                self._check_grid(space)
            return head.run_cap
        return head.run_cap or (_DEFAULT_RUNS if budget == Budget() else None)

    def _check_grid(self, space: Space) -> None:
        specs = self.root.get("parameters")
        for one in space.continuous:
            node = specs.get(one) if specs else None
            found, wanted = space[one].domain.describe(), "values, for the method is grid"
            hint = "give values, or a step (q), or take the method random or bayes"
            self.fault(node, f"parameters.{one}", found, wanted, hint)
        if (space.num_points or 0) > GRID_LIMIT:
            found = f"a grid of {space.num_points} points"
            self.fault(specs, "parameters", found, f"at most {GRID_LIMIT}")

    def _settle(self, rule: EarlyTerminate | None, space: Space) -> EarlyTerminate | None:
        """Fill in the first rung, and check that it comes before the end."""
        if rule is None:
            return None
        horizon = find_horizon(space)
        rule = rule.settle(horizon)
        node = self.root.get("early_terminate")
        first = node.get("min_iter") if node else None
        end = min(horizon, rule.max_iter or horizon)
        if rule.type != "none" and rule.min_iter >= end:
            name = "epochs" if end == horizon else "max_iter"
            found = f"a first look at epoch {rule.min_iter}"
            self.fault(first or node, "early_terminate", found, f"one below {name} ({end})")
        return rule
