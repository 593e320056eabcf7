"""A folder of images with masks, read for a model: its layout, its channels, its classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seglib.data.dataset import Dataset
from seglib.data.layouts import find_dataset
from seglib.data.place import meant_instead
from seglib.data.source import Plan
from seglib.data.spec import DataSpec
from seglib.data.workers import convert_all, useful_workers
from seglib.errors import DataError, Problem, StudyFileError
from seglib.model import InputSpec
from seglib.postprocess import is_flat
from seglib.predict import Predictor
from seglib.target import Target
from tune.field_checks import read_model
from tune.study_layers import lay_overrides
from tune.yaml_lines import Node

__all__ = ["Labelled", "find_labelled", "read_settings", "require_readable"]

OF_THE_FOLDER = (
    *("layout", "channels", "classes", "background", "patient", "manifest", "case_by"),
)
"""What may be said of a folder; the rest is how the model sees, and is not to be changed."""

FIXED = ("window", "none")
"""Ways to normalise that treat a picture as they treat its volume."""

GENERIC = ("foreground",)
"""What a layout calls a class of which it knows no more than that it is there."""


@dataclass(frozen=True)
class Labelled:
    """A folder as a model sees it.

    Args:
        dataset: Its items, each with a mask; read with the folder's own target.
        plan: How they are read.
        channels: Names of the folder's channels that the model knows.
        order: For each class of the model, the place of the folder's class.
        said: How classes were matched, and what is doubtful.
    """

    dataset: Dataset
    plan: Plan
    channels: tuple[str, ...]
    order: tuple[int, ...]
    said: tuple[str, ...]


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """What ``--set`` says of the folder.

    Args:
        settings: Each ``KEY=VALUE``.

    Returns:
        Fields of :class:`seglib.data.spec.DataSpec`.

    Raises:
        StudyFileError: A setting is none, or is not of the folder but of the model.
    """
    problems: list[Problem] = []
    laid = lay_overrides(Node({}), settings, problems)
    spec = read_model(DataSpec, laid.get("data"), problems)
    fields = {} if spec is None else {name: getattr(spec, name) for name in spec.model_fields_set}
    for name in sorted(set(fields) - set(OF_THE_FOLDER)):
        found = f"{fields[name]}, which is the model's to say"
        problems.append(Problem(f"--set data.{name}", found, ", ".join(OF_THE_FOLDER)))
    problems += [
        Problem(f"--set {name}", "a part of a study", "a part of data, as data.layout=pairs")
        for name, _ in laid.items()
        if name != "data"
    ]
    if problems:
        raise StudyFileError("--set", problems)
    return fields


def find_labelled(predictor: Predictor, folder: Path, settings: Mapping[str, Any]) -> Labelled:
    """Recognise the layout, and find the model's channels and classes in it.

    Classes go by name where the folder names them as the model does, else by the grey
    values that the model learnt from. A single class is a single class.

    Args:
        predictor: The model.
        folder: The folder.
        settings: Of :func:`read_settings`.

    Returns:
        What is to be scored.

    Raises:
        DataError: Nothing is recognised, it has faults, or it lacks what the model needs.
    """
    inputs = predictor.model.inputs
    own = {
        "target": inputs.target.kind,
        "image_size": inputs.image_size,
        "normalise": inputs.normalise,
        "window_hu": inputs.window_hu,
    }
    try:
        given = {"channels": inputs.channels, **own, **settings}
        dataset, order, how = _matching(given, inputs.target, folder)
    except DataError as error:
        # a folder may lack what no network looks at
        if "channels" in settings or predictor.channels == inputs.channels:
            raise _of_the_model(error, settings) from None
        try:
            given = {"channels": predictor.channels, **own, **settings}
            dataset, order, how = _matching(given, inputs.target, folder)
        except DataError:
            raise _of_the_model(error, settings) from None
    bare = sum(not item.masks for item in dataset.items)
    if bare:
        found = f"none beside {bare} of {len(dataset.items)} images"
        hint = meant_instead(folder.resolve())
        raise DataError(str(folder), [Problem("masks", found, "a mask for each", hint)])
    lacking = [name for name in predictor.channels if name not in dataset.channels]
    if lacking:
        found = f"{', '.join(dataset.channels)}, without {', '.join(lacking)}"
        hint = f"--set data.channels=[{', '.join(inputs.channels)}] names them, in this order"
        raise DataError(str(folder), [Problem("data.channels", found, "all of the model's", hint)])
    said = [how, *dataset.notes]
    said += _doubts(inputs, dataset)
    plan = replace(predictor.plan(dataset.root, dataset.channels), target=dataset.target)
    return Labelled(dataset, plan, dataset.channels, order, tuple(said))


def require_readable(labelled: Labelled, folder: Path, progress: Any) -> None:
    """Read every file, before anything is predicted: all faults at once.

    Args:
        labelled: What is to be scored.
        folder: As the user named it.
        progress: Called with done, total and a text.

    Raises:
        DataError: Files have faults, or no mask holds any class.
    """
    items = labelled.dataset.items
    workers = useful_workers(path for item in items for path in item.files)
    jobs = [(item, labelled.plan, None) for item in items]
    pieces = convert_all(jobs, workers, progress, "reading files")
    problems = [problem for piece in pieces for problem in piece.problems]
    facts = [piece.facts for piece in pieces if piece.facts is not None]
    if not problems and not any(one.num_marked for one in facts):
        greys = sorted({grey for one in facts for grey in one.greys})
        found = f"nothing but grey values {', '.join(map(str, greys))}, which are background"
        problems = [Problem("masks", found, "at least one mask with a class")]
    if problems:
        raise DataError(str(folder), problems)


def _matching(
    given: Mapping[str, Any], target: Target, folder: Path
) -> tuple[Dataset, tuple[int, ...], str]:
    """The folder read by its own classes if they are the model's, else by the model's values."""
    named = _find(given, folder)
    if not isinstance(named, DataError):
        order = _order(target, named.target)
        if order is not None:
            return named, order, f"classes by name: {_listed(named.target)}"
        if "classes" in given:
            raise DataError(str(folder), [_other_classes(target, named.target)])
        if _is_single(target, named.target):
            own, other = target.classes[0], _listed(named.target)
            return named, (0,), f"the model's one class, {own}, is held against {other}"
    elif "classes" in given:
        raise named
    if not isinstance(named, DataError) and not _known(named.target, target):
        raise DataError(str(folder), [_other_classes(target, named.target)])
    greys = _greys(target)
    background = tuple(value for value, label in target.values.items() if label == 0)
    valued = _find({"background": background, **given, "classes": greys}, folder)
    if isinstance(valued, DataError):
        raise valued
    order = _order(target, valued.target)
    assert order is not None, (target, valued.target)
    return valued, order, f"classes by the grey values that the model learnt: {_listed(target)}"


def _find(given: Mapping[str, Any], folder: Path) -> Dataset | DataError:
    try:
        return find_dataset(DataSpec(**given), folder.resolve())
    except DataError as error:
        return error


def _order(target: Target, other: Target) -> tuple[int, ...] | None:
    """Where each class of the model is among the folder's; None if the names differ."""
    names = [_plain(name) for name in other.classes]
    wanted = [_plain(name) for name in target.classes]
    if sorted(names) != sorted(wanted):
        return None
    return tuple(names.index(name) for name in wanted)


def _plain(name: str) -> str:
    """Left Lung, left-lung and left_lung are one name."""
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def _is_single(target: Target, other: Target) -> bool:
    """One class each, of which at least one has no name of its own."""
    names = {*target.classes, *other.classes}
    return target.num_classes == other.num_classes == 1 and bool(names & set(GENERIC))


def _doubts(inputs: InputSpec, dataset: Dataset) -> list[str]:
    """Where the images are of another kind than those that the model was trained on."""
    if is_flat(dataset.layout) == is_flat(inputs.layout) or inputs.normalise in FIXED:
        return []
    kinds = ("volumes", "single pictures")
    trained, here = kinds[is_flat(inputs.layout)], kinds[is_flat(dataset.layout)]
    of = f"the model was trained on {trained}, each scaled by its own greys"
    return [f"{of}, and these are {here}: they look different to it"]


def _known(other: Target, target: Target) -> bool:
    """Whether a layout knows of its classes only grey values, and the model knows those."""
    generic = all(name in GENERIC or re.fullmatch(r"class_\d+", name) for name in other.classes)
    values = {value for value, label in other.values.items() if label}
    return generic and values <= set(target.values)


def _of_the_model(error: DataError, settings: Mapping[str, Any]) -> DataError:
    """The same faults; names of channels that nobody gave are the model's."""
    if "channels" in settings:
        return error
    hint = "the names are those of the channels that the model was trained on"
    problems = [
        replace(one, hint=one.hint or hint) if one.place == "data.channels" else one
        for one in error.problems
    ]
    return DataError(error.source, problems)


def _greys(target: Target) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(value for value, label in sorted(target.values.items()) if label in labels)
        for name, labels in zip(target.classes, target.members, strict=True)
    }


def _listed(target: Target) -> str:
    named = _greys(target).items()
    return ", ".join(f"{name} = {' or '.join(map(str, values))}" for name, values in named)


def _other_classes(target: Target, other: Target) -> Problem:
    shown = ", ".join(f"{name}: [GREY, ...]" for name in target.classes)
    return Problem(
        "data.classes",
        f"{_listed(other)} in the folder",
        f"the model's classes, {', '.join(target.classes)}",
        f"--set 'data.classes={{{shown}}}' says which grey values they have in this folder",
    )
