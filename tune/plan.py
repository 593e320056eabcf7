"""`segtune check`: what a study file would run, told in under a second and without starting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from seglib.cost import MEMORY_ERROR, count_parameters, estimate_memory_gb
from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.recipe import Recipe
from tune.feasibility import why_infeasible
from tune.preparing import DEMO
from tune.request import Request
from tune.space import Value, show
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from seglib.data.dataset import Dataset

__all__ = ["describe_plan"]

_NUM_CLASSES_GUESS = {"binary": 1, "organs": 2, "regions": 3}
_MOST_ROWS = 30
_NVIDIA = Path("/dev/nvidiactl")


def describe_plan(request: Request, console: Console) -> None:
    """Print the trials or grid size, the space, the rungs, the default recipe, the files.

    Args:
        request: What was asked for.
        console: Where to print.
    """
    study = request.load()
    if study.demo:
        console.print(DEMO, style="bold yellow", markup=False)
    lines = [
        ("study", f"{study.name} ({study.path})"),
        ("search", _search(study)),
        *_points(study),
        ("data", _data(request, study)),
        *_found(request, study),
        ("split", _split(study)),
        ("stopping", _stopping(study)),
        ("budget", _budget(study)),
        *_limits(study),
        ("run directory", str((request.out / study.folder_name).resolve())),
    ]  # fmt: skip
    lines += [("note", note) for note in study.notes]
    if study.ignored:
        lines.append(("of no use here", ", ".join(study.ignored)))
    for name, text in lines:
        console.print(f"{name + ':':15} {text}", markup=False, highlight=False, soft_wrap=True)
    console.print(_space_table(study), markup=False)
    if study.rows:
        _describe_rows(study, console)
    else:
        _describe_default(study, console)


def _split(study: StudyFile) -> str:
    split = study.split
    test = f"{split.test:.0%} locked test" if split.test else "no locked test part"
    return f"by {split.by}: {split.val:.0%} validation, {test}, seed {split.seed}"


def _found(request: Request, study: StudyFile) -> list[tuple[str, str]]:
    """What is in the data folder, if one is given."""
    if request.data is None:
        return []
    from seglib.data.layouts import find_dataset

    dataset = find_dataset(study.data, request.data.resolve())
    notes = [*dataset.notes, "what the files hold is read by `segtune data`, and by `run`"]
    return [("found", _content(dataset)), *(("note", note) for note in notes)]


def _content(dataset: Dataset) -> str:
    from tune.data_report import name_classes

    groups = {item.group for item in dataset.items}
    files = f"{len(dataset.items)} images or volumes of {len(groups)} patients"
    return f"{files}, {', '.join(dataset.channels)} -> {name_classes(dataset.target)}"


def _search(study: StudyFile) -> str:
    size = "unbounded" if study.num_planned is None else _count(study.num_planned, "trial")
    if study.method == "grid":
        parts = [_count(len(study.rows), "point")]
        parts += [_count(len(study.seeds), "seed")] if study.seeds else []
        parts += (
            [_count(len(study.folds), "fold")]
            if isinstance(study.folds, tuple) and study.folds
            else []
        )
        size = f"{' x '.join(parts)}: {size}"
    given = study.points and study.method != "grid"
    points = f", given points first: {len(study.points)}" if given else ""
    return f"{study.method}, {study.metric.goal} {study.metric.name}, {size}{points}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _points(study: StudyFile) -> list[tuple[str, str]]:
    """Of what the rows of a grid are made; seeds in the order in which they are gone through."""
    if not study.rows:
        return []
    count = (study.space.num_points or 0) if study.product else 0
    beside = len(study.rows) - count
    text = f"all {count} rows" if count > 1 else "the one row"
    text += " of the product" + (f", {beside} beside it" if beside else "")
    text = text if study.product else f"the {len(study.rows)} that are given, without the product"
    seeds = f"{', '.join(map(str, study.seeds))}; every point under one, then under the next"
    lines = [("points", text), *([("seeds", seeds)] if study.seeds else [])]
    return [*lines, ("folds", _folds(study))] if study.folds else lines


def _folds(study: StudyFile) -> str:
    if study.folds == "all":
        return "all: training and validation part train; scored on the latter, which is then seen"
    return f"{', '.join(map(str, study.folds))}; each validates once, the others train"


def _data(request: Request, study: StudyFile) -> str:
    where = "to be given with --data" if request.data is None else str(request.data)
    where = "generated" if study.data.layout in PHANTOM_LAYOUTS else where
    channels = ", ".join(study.data.channels) if study.data.channels else "all channels"
    size = f"{study.data.image_size} px"
    return f"{where} ({study.data.layout}), {channels}, {study.data.target}, {size}"


def _stopping(study: StudyFile) -> str:
    rule = study.early_terminate
    rungs = study.rungs()
    if rungs:
        return f"{rule.type}, one in {rule.eta} passes epoch {', '.join(map(str, rungs))}"
    return "none" if rule.type == "none" else f"{rule.type} after epoch {rule.min_iter}"


def _budget(study: StudyFile) -> str:
    parts = []
    if study.budget.hours is not None:
        parts.append(f"{study.budget.hours:g} h")
    if study.budget.epochs is not None:
        parts.append(f"{study.budget.epochs} epochs in all")
    if study.num_planned is not None:
        parts.append(f"at most {study.num_planned * study.horizon:,} epochs without early stopping")
    return ", ".join(parts) or "none"


def _limits(study: StudyFile) -> list[tuple[str, str]]:
    """What no trial, or all their files, may be more than."""
    said = {
        "memory": ("{:g} GB", study.constraints.memory_gb),
        "parameters": ("{:,}", study.constraints.parameters),
        "checkpoints": ("{:g} GB", study.constraints.disk_gb),
    }
    parts = [f"{name} {form.format(most)}" for name, (form, most) in said.items() if most]
    return [("limits", ", ".join(parts))] if parts else []


def _space_table(study: StudyFile) -> Table:
    rows = study.space.describe()
    names = ["parameter", "values", *(["when"] if any(row[2] for row in rows) else [])]
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row[: len(names)])
    return table


def _size(gigabytes: float) -> str:
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{gigabytes * 1000:.0f} MB"


def _describe_rows(study: StudyFile, console: Console) -> None:
    """Each row of a grid by its name: what differs, what it costs, what others reached."""
    published = study.published.scores
    named = any(row.name for row in study.rows)
    names = [*(["point"] if named else []), "what differs", "weights", "memory"]
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in [*names, *(["published"] if published else [])]:
        table.add_column(name, overflow="fold", justify="right" if name in names[-2:] else "left")
    for row in study.rows[:_MOST_ROWS]:
        table.add_row(
            *([row.name or "–"] if named else []),
            _differences(study, row.values) or "–",
            *_cost(study, Recipe(**row.values)),
            *([published.get(row.name, "–")] if published else []),
        )
    console.print(table, markup=False)
    console.print(f"memory: {_memory_means(study)}", markup=False, highlight=False, soft_wrap=True)
    if len(study.rows) > _MOST_ROWS:
        console.print(f"and {len(study.rows) - _MOST_ROWS} points more", markup=False)
    if published and study.published.note:
        text = f"published: {study.published.note}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _differences(study: StudyFile, values: Mapping[str, Value]) -> str:
    """What sets a row apart: one of several values, or one beside the product."""
    only = {one.name: one.domain.grid() for one in study.space.parameters}
    return ", ".join(
        f"{name}={show(value)}" for name, value in values.items() if only[name] != (value,)
    )


def _cost(study: StudyFile, recipe: Recipe) -> tuple[str, str]:
    """Weights, and memory of a trial."""
    sizes = _sizes(study, recipe)
    memory = estimate_memory_gb(
        recipe, **sizes, image_size=study.data.image_size, on_gpu=_on_gpu(study)
    )
    return f"{count_parameters(recipe, **sizes):,}", _size(memory)


def _sizes(study: StudyFile, recipe: Recipe) -> dict[str, int]:
    """Channels into the network and out of it, as far as the file alone tells them."""
    channels = len(recipe.seen_channels(_available(study, recipe)))
    named = len(study.data.classes or ()) or _NUM_CLASSES_GUESS[study.data.target]
    logits = {"binary": 1, "regions": named, "organs": named + 1}[study.data.target]
    return {"num_channels": channels, "num_logits": logits}


def _available(study: StudyFile, recipe: Recipe) -> Sequence[str]:
    return study.data.channels or recipe.channels.split("+")


def _memory_means(study: StudyFile) -> str:
    if _on_gpu(study):
        return "of the device, predicted; not compared with a measurement yet"
    return f"of the trial's process, predicted, +-{MEMORY_ERROR:.0%}"


def _on_gpu(study: StudyFile) -> bool:
    """Whether trials will have one, as far as can be told without loading torch."""
    wish = study.resources.gpus_per_trial
    return _NVIDIA.exists() if wish == "auto" else wish > 0


def _describe_default(study: StudyFile, console: Console) -> None:
    point = study.default_point()
    recipe = Recipe(**point)
    moved = {
        name: (default, point[name])
        for name, default in Recipe().model_dump().items()
        if name in point and point[name] != default
    }
    weights, memory = _cost(study, recipe)
    text = f"trial 0, the default recipe: {weights} parameters, memory {memory}"
    text += f" ({_memory_means(study)})"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    reason = why_infeasible(
        recipe,
        study.constraints,
        channels=_available(study, recipe),
        num_logits=_sizes(study, recipe)["num_logits"],
        image_size=study.data.image_size,
        on_gpu=_on_gpu(study),
    )
    if reason:
        text = f"  it will not be trained: {reason}; so nothing will say what tuning gained"
        console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
    shown = {name: value for name, value in recipe.model_dump().items() if name in point}
    console.print(
        "  " + ", ".join(f"{k}={v}" for k, v in shown.items()), markup=False, highlight=False
    )
    for name, (default, value) in moved.items():
        console.print(f"  {name}: {default} is outside the space, {value} taken", markup=False,
                      highlight=False)  # fmt: skip
