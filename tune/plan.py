"""`segtune check`: what a study file would run, told in under a second and without starting it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from seglib.cost import count_parameters, estimate_memory_gb
from seglib.data.spec import PHANTOM_LAYOUTS, DataSpec
from seglib.errors import Problem, StudyFileError
from seglib.recipe import Recipe
from tune.field_checks import read_model
from tune.run import DEMO, Request
from tune.study_file import StudyFile
from tune.study_layers import lay_overrides
from tune.yaml_lines import Node

if TYPE_CHECKING:
    from seglib.data.dataset import Dataset

__all__ = ["describe_data", "describe_plan"]

_MASKS_SAMPLED = 12
_NUM_CLASSES_GUESS = {"binary": 1, "organs": 3, "regions": 3}


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
        ("data", _data(request, study)),
        ("split", f"by {study.split.by}: {study.split.val:.0%} validation, "
                  f"{study.split.test:.0%} locked test, seed {study.split.seed}"),
        ("stopping", _stopping(study)),
        ("budget", _budget(study)),
        ("run directory", str((request.out / study.folder_name).resolve())),
    ]  # fmt: skip
    lines += [("note", note) for note in study.notes]
    if study.ignored:
        lines.append(("of no use here", ", ".join(study.ignored)))
    if request.data is not None:
        dataset = _find(study.data, request.data)
        lines[3:3] = [("found", _content(dataset)), *(("note", note) for note in dataset.notes)]
    for name, text in lines:
        console.print(f"{name + ':':15} {text}", markup=False, highlight=False, soft_wrap=True)
    console.print(_space_table(study))
    _describe_default(study, console)


def describe_data(folder: Path, settings: tuple[str, ...], console: Console) -> None:
    """Print what a data folder holds.

    Args:
        folder: The folder.
        settings: ``key=value`` for the data specification.
        console: Where to print.

    Raises:
        DataError: The folder is not understood.
    """
    found = _find(_read_data_spec(settings), folder)
    groups = {item.group for item in found.items}
    cases = {item.case for item in found.items}
    for name, text in (
        ("layout", found.layout),
        ("files", f"{len(found.items)} images or volumes with a mask"),
        ("patients", f"{len(groups)}"),
        ("cases", f"{len(cases)} (each scored as one)"),
        ("channels", ", ".join(found.channels)),
        ("classes", _classes(found)),
        ("mask values", _mask_values(found)),
        ("normalise", found.normalise),
    ):
        console.print(f"{name + ':':15} {text}", markup=False, highlight=False, soft_wrap=True)
    for note in found.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def _find(spec: DataSpec, folder: Path) -> Dataset:
    from seglib.data.layouts import find_dataset

    return find_dataset(spec, folder.resolve())


def _content(dataset: Dataset) -> str:
    groups = {item.group for item in dataset.items}
    files = f"{len(dataset.items)} images or volumes of {len(groups)} patients"
    return f"{files}, {', '.join(dataset.channels)} -> {_classes(dataset)}"


def _classes(dataset: Dataset) -> str:
    """Each class with the grey values it is expected to have in the masks."""
    target = dataset.target
    named = {
        name: sorted(value for value, label in target.values.items() if label in labels)
        for name, labels in zip(target.classes, target.members, strict=True)
    }
    said = [f"{name} = {' or '.join(map(str, values))}" for name, values in named.items()]
    return f"{', '.join(said)} ({target.kind})"


def _mask_values(dataset: Dataset) -> str:
    """What a sample of the masks really holds, and what of it no class is made of."""
    import numpy as np

    from seglib.data.readers import read_mask

    step = max(1, len(dataset.items) // _MASKS_SAMPLED)
    sample = dataset.items[::step][:_MASKS_SAMPLED]
    values = {
        int(value)
        for item in sample
        for path in item.masks
        for value in np.unique(read_mask(path).array)
    }
    text = f"{', '.join(map(str, sorted(values)))} in {len(sample)} of {len(dataset.items)} masks"
    unknown = sorted(values - set(dataset.target.values))
    if not unknown:
        return text
    hint = "say what they are with data.classes and data.background"
    return f"{text}; UNKNOWN: {', '.join(map(str, unknown))}: {hint}"


def _read_data_spec(settings: tuple[str, ...]) -> DataSpec:
    problems: list[Problem] = []
    laid = lay_overrides(Node({}), settings, problems)
    spec = read_model(DataSpec, laid.get("data"), problems)
    if problems or spec is None:
        raise StudyFileError("--set", problems)
    return spec


def _search(study: StudyFile) -> str:
    count = study.num_planned
    size = "unbounded" if count is None else f"{count} trials"
    if study.method == "grid":
        size = f"{count} grid points"
    points = f", {len(study.points)} given points first" if study.points else ""
    return f"{study.method}, {study.metric.goal} {study.metric.name}, {size}{points}"


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


def _describe_default(study: StudyFile, console: Console) -> None:
    point = study.default_point()
    recipe = Recipe(**point)
    moved = {
        name: (default, point[name])
        for name, default in Recipe().model_dump().items()
        if name in point and point[name] != default
    }
    channels = len(study.data.channels) if study.data.channels else 1
    logits = _NUM_CLASSES_GUESS[study.data.target]
    sizes = {"num_channels": channels, "num_logits": logits}
    memory = estimate_memory_gb(recipe, **sizes, image_size=study.data.image_size)
    first = "grid point 0" if study.method == "grid" else "trial 0, the default recipe"
    parameters = count_parameters(recipe, **sizes)
    text = f"{first}: {parameters:,} parameters, about {_size(memory)} of tensors a trial"
    console.print(text, markup=False, highlight=False)
    shown = {name: value for name, value in recipe.model_dump().items() if name in study.space}
    console.print(
        "  " + ", ".join(f"{k}={v}" for k, v in shown.items()), markup=False, highlight=False
    )
    for name, (default, value) in moved.items():
        console.print(f"  {name}: {default} is outside the space, {value} taken", markup=False,
                      highlight=False)  # fmt: skip
