"""`segtune data`: everything that a data folder holds, read, counted, judged and drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seglib.data.spec import DataSpec, SplitSpec
from seglib.errors import DataError, Problem, StudyFileError
from seglib.target import Target
from tune.field_checks import read_model
from tune.progress import progress_on
from tune.study_file import load_study
from tune.study_layers import lay_overrides
from tune.yaml_lines import Node

if TYPE_CHECKING:
    from seglib.data.dataset import Dataset
    from seglib.data.survey import Survey

__all__ = ["describe_data", "name_classes"]

_MOST_SHOWN = 3
_LABEL_WIDTH = 14


def describe_data(
    folder: Path,
    settings: tuple[str, ...],
    console: Console,
    *,
    sheet: Path | None = None,
    space: Path | None = None,
) -> None:
    """Read every file of a folder, print what it holds, draw the contact sheet.

    Counts come first, then notes; faults are raised when all is shown. A folder may
    hold several data sets.

    Args:
        folder: The folder.
        settings: ``key=value`` for the data specification.
        console: Where to print.
        sheet: The PNG to write; ``<folder name>-sheet.png`` here if not given.
        space: A study file whose data specification is meant, ``settings`` laid over it.

    Raises:
        DataError: The folder is not understood, or its files have faults.
        StudyFileError: A setting is none.
    """
    from seglib.data.survey import survey_dataset

    spec, root = _read_data_spec(settings, space), folder.resolve()
    problems: list[Problem] = []
    datasets = _find_all(spec, root, problems)
    several = len(datasets) > 1
    for dataset in datasets:
        name, path = root.name, sheet or Path(f"{root.name}-sheet.png")
        if several:
            inner = dataset.root.relative_to(root).as_posix()
            name, path = f"{name}/{inner}", path.with_stem(f"{path.stem}-{inner.replace('/', '-')}")
        with progress_on(console) as report:
            survey = survey_dataset(dataset, spec, progress=report)
        _print_survey(survey, name, console)
        if survey.facts:
            _draw(survey, name, path, console)
        of = f"{name}: " if several else ""
        problems += [replace(one, place=of + one.place) for one in survey.problems]
    if problems:
        raise DataError(str(root), problems)


def name_classes(target: Target) -> str:
    """Each class with the grey values that it is made of.

    Args:
        target: Grey values, labels and classes.

    Returns:
        One line.
    """
    named = {
        name: sorted(value for value, label in target.values.items() if label in labels)
        for name, labels in zip(target.classes, target.members, strict=True)
    }
    said = [f"{name} = {' or '.join(map(str, values))}" for name, values in named.items()]
    return f"{', '.join(said)} ({target.kind})"


def _read_data_spec(settings: tuple[str, ...], space: Path | None) -> DataSpec:
    if space is not None:
        return load_study(space, settings, demo=False).data
    problems: list[Problem] = []
    laid = lay_overrides(Node({}), settings, problems)
    spec = read_model(DataSpec, laid.get("data"), problems)
    if problems or spec is None:
        raise StudyFileError("--set", problems)
    return spec


def _find_all(spec: DataSpec, root: Path, problems: list[Problem]) -> list[Dataset]:
    """Every data set of a folder; masks of several values are organs, if nothing else was said."""
    from seglib.data.layouts import find_datasets

    faults: list[Problem] = []
    found = find_datasets(spec, root, faults)
    if faults and "target" not in spec.model_fields_set:
        others: list[Problem] = []
        organs = find_datasets(spec.model_copy(update={"target": "organs"}), root, others)
        if not others:
            note = "the masks hold several values, so they are shown as data.target: organs"
            known = {dataset.root: dataset for dataset in found}
            return [known.get(one.root) or replace(one, notes=(note, *one.notes)) for one in organs]
    problems += faults
    return found


def _print_survey(survey: Survey, name: str, console: Console) -> None:
    console.print(name, style="bold", markup=False, highlight=False, soft_wrap=True)
    for label, text in _counts(survey):
        _print_line(f"{label}:", text, console)
    if survey.facts and _has_masks(survey):
        console.print(_class_table(survey))
    for note in survey.findings.notes:
        console.print(f"note: {note}", markup=False, highlight=False)


def _print_line(label: str, text: str, console: Console) -> None:
    """A label and a text beside it, as wide as the console; no word is broken."""
    wrapped = textwrap.wrap(
        text,
        console.width,
        initial_indent=f"{label:{_LABEL_WIDTH}}",
        subsequent_indent=" " * _LABEL_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print("\n".join(wrapped), markup=False, highlight=False, soft_wrap=True)


def _has_masks(survey: Survey) -> bool:
    return any(item.masks for item in survey.dataset.items)


def _counts(survey: Survey) -> Iterator[tuple[str, str]]:
    """Labels and texts of the page, from the folder down to the grey values."""
    dataset, plan = survey.dataset, survey.plan
    unread = len(dataset.items) - len(survey.facts)
    yield "layout", dataset.layout
    yield "patients", str(len({item.group for item in dataset.items}))
    yield "cases", f"{len({item.case for item in dataset.items})} (each scored as one)"
    yield "content", _images(survey) + (f"; {unread} of them have faults" if unread else "")
    if survey.facts:
        yield "size", _sizes(survey)
        yield "spacing", _spacing(survey)
        yield "channels", _channels(survey)
    else:
        yield "channels", ", ".join(dataset.channels)
    if _has_masks(survey):
        yield "classes", name_classes(plan.target)
        yield "grey values", _greys(survey)
        yield "empty masks", f"{survey.num_unmarked} of {survey.num_slices} slices"
        yield "split", _split(survey)
    yield "prepared", f"{plan.image_size} x {plan.image_size} px, {_scaling(survey)}"


def _images(survey: Survey) -> str:
    """How many there are, as pictures or as volumes."""
    number, depths = len(survey.dataset.items), survey.depths().most_common()
    if all(depth == 1 for depth, _ in depths):
        return f"{number} image{'s' * (number > 1)}"
    deep = _listed(str(depth) for depth, _ in depths)
    return f"{number} volume{'s' * (number > 1)} of {deep} slices, {survey.num_slices} in all"


def _sizes(survey: Survey) -> str:
    sizes = survey.sizes().most_common()
    return f"{_listed(f'{height} x {width}' for (height, width), _ in sizes)} px"


def _listed(values: Iterable[str]) -> str:
    """The first few, the commonest first, and how many more there are."""
    texts = list(values)
    more = len(texts) - _MOST_SHOWN
    return ", ".join(texts[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _spacing(survey: Survey) -> str:
    spacings = survey.spacings()
    if not spacings:
        return "not known, distances will be in pixels"
    parts = []
    for steps in zip(*spacings, strict=True):
        low, high = (f"{step:.3g}" for step in (min(steps), max(steps)))
        parts.append(low if low == high else f"{low}...{high}")
    unknown = len(survey.facts) - len(spacings)
    return f"{' x '.join(parts)} mm (z, y, x){f', {unknown} without' if unknown else ''}"


def _channels(survey: Survey) -> str:
    named = zip(survey.dataset.channels, survey.ranges(), strict=True)
    return ", ".join(f"{name} ({low:g} to {high:g})" for name, (low, high) in named)


def _greys(survey: Survey) -> str:
    """Every grey value of the masks, with the number of masks that hold it."""
    return ", ".join(f"{grey} (in {count})" for grey, count in survey.greys().items()) or "none"


def _split(survey: Survey) -> str:
    """How the patients would be divided, if the study file does not say otherwise."""
    if survey.problems:
        return "not known before the faults are mended"
    try:
        splits = survey.splits(SplitSpec())
    except DataError as error:
        problem = error.problems[0]
        return f"by default not possible: {problem.found}; it takes {problem.wanted}"
    parts = f"{len(splits.train)} train, {len(splits.val)} validation, {len(splits.test)} test"
    return f"{parts} by default (patients){f'; {splits.warning}' if splits.warning else ''}"


def _scaling(survey: Survey) -> str:
    """What is made of the grey values."""
    low, high = survey.plan.window_hu
    return {
        "zscore": "z-score inside the body",
        "percentile": "grey values from 0.5 % to 99.5 % of each image",
        "window": f"window from {low:g} to {high:g}",
        "none": "grey values as they are",
    }[survey.plan.normalise]


def _class_table(survey: Survey) -> Table:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    table.add_column("grey values", overflow="fold")
    table.add_column("cases with it", justify="right")
    table.add_column("mean share of the image", justify="right")
    cases = len({item.case for item in survey.dataset.items})
    for one in survey.classes():
        greys = ", ".join(map(str, one.greys))
        table.add_row(Text(one.name), greys, f"{one.num_cases} of {cases}", f"{one.share:.2%}")
    return table


def _draw(survey: Survey, name: str, path: Path, console: Console) -> None:
    """Draw the sheet and say where it is."""
    from tune.contact_sheet import draw_sheet

    dataset = survey.dataset
    patients = len({item.group for item in dataset.items})
    counts = f"{patients} patient{'s' * (patients > 1)}, {_images(survey)}, {_sizes(survey)}"
    summary = f"{dataset.layout}: {counts}"
    try:
        draw_sheet(survey, path, title=name, summary=summary, scaling=_scaling(survey))
    except OSError as error:
        problem = Problem("--sheet", f"{path}, which cannot be written ({error.strerror})")
        raise DataError(name, [problem]) from None
    console.print(f"sheet: {path}", markup=False, highlight=False, soft_wrap=True)
