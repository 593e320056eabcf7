"""The model that a command names: a file, the best of a run, a trial, several together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

from rich.console import Console

from seglib.checkpoint import load_checkpoint, previous_of
from seglib.errors import Problem, RunError, UnwritableError
from seglib.model import Model
from tune.assembly import Assembly
from tune.picked import MODEL, Picks, refuse_several
from tune.picking import pick_file, pick_of_folder, trial_of
from tune.post_tuning import tune_post

__all__ = [
    "Choice",
    "find_model",
    "kept_model",
    "make_model",
    "require_order",
    "write_model",
]

FOLDER = "models"
"""Where a run directory keeps the models that were made of it."""


@dataclass(frozen=True)
class Choice:
    """What was asked for on the command line.

    Args:
        source: A model's file, a run directory, a trial's folder, or a checkpoint in one.
        top: Of a run: so many of the best trials together.
        folds: Of a confirmed run: the networks of all folds together.
    """

    source: Path
    top: int = 1
    folds: bool = False


def find_model(choice: Choice, console: Console) -> Model:
    """The model that was asked for, made of a run's checkpoints where it is no file yet.

    What is made is kept in ``RUN/models`` and used again while the checkpoints are the same.

    Args:
        choice: What was asked for.
        console: Where to say which networks it has.

    Returns:
        The model, post-processing tuned on the validation part if the prepared data are there.

    Raises:
        RunError: There is no such model; all that is wrong is listed.
    """
    source = choice.source.resolve()
    _require_kind(source, choice.source)
    file = source / MODEL if (source / MODEL).is_file() else source
    if not file.is_file():
        return make_model(pick_of_folder(source, top=choice.top, folds=choice.folds), console)
    refuse_several(choice.source, top=choice.top, folds=choice.folds)
    if "recipe" in load_checkpoint(file)[0]:
        return make_model(_pick_checkpoint(file), console)
    model = Model.load(file)
    _say(console, f"model: {file}")
    for one in model.members:
        _say(console, f"  {one.name}")
    _say(console, f"masks: {model.post.note}")
    return model


def require_order(source: Path) -> None:
    """Refuse a model where images are wanted: the two were given the other way round.

    Args:
        source: What was given as images.

    Raises:
        RunError: It is a model's file, a run directory or a trial's folder.
    """
    is_run = (source / "study.yaml").is_file() or trial_of(source.resolve()) is not None
    if is_run or (source.is_file() and source.suffix == ".pt"):
        found = "a run directory or a trial's folder" if is_run else "a model's file"
        hint = "MODEL comes first, then the images"
        problem = Problem("INPUT", found, "an image, or a folder of images", hint)
        raise RunError(str(source), [problem])


def _require_kind(source: Path, given: Path) -> None:
    """Something is there, and it is not the study file of a run that was meant."""
    found, hint = "", ""
    if not source.exists():
        found = "nothing there"
    elif not source.is_dir() and source.suffix != ".pt" and not is_zipfile(source):
        found = "a file that is no model"
        run = source.parent if (source.parent / "study.yaml").is_file() else None
        hint = f"the run directory is {run}" if run is not None else ""
    if found:
        wanted = "a model.pt, a run directory, or a trial's folder"
        raise RunError(str(given), [Problem("MODEL", found, wanted, hint)])


def _pick_checkpoint(file: Path) -> Picks:
    trial = trial_of(file.parents[1]) if file.parent.name == "checkpoint" else None
    if trial is None:
        hint = "what its input must be is written in study and environment of its run directory"
        found = "a checkpoint outside of trials/NUMBER/checkpoint"
        problem = Problem(file.name, found, "a model.pt, or a checkpoint where it was", hint)
        raise RunError(str(file), [problem])
    return pick_file(*trial, f"checkpoint/{file.name}")


def make_model(picks: Picks, console: Console, *, quiet: bool = False) -> Model:
    """The model of some checkpoints: from the last time, or made now and kept.

    Args:
        picks: The checkpoints.
        console: Where to say which networks it has.
        quiet: Say only what is amiss.

    Returns:
        The model.

    Raises:
        RunError: A checkpoint is damaged, or nobody knows any more what its input was.
    """
    for sentence in picks.said:
        _say(console, f"note: {sentence}")
    path = picks.folder.path / FOLDER / f"{picks.name}.pt"
    assembly = Assembly(picks)
    model = kept_model(path, assembly.key)
    if model is None or (assembly.can_tune and not model.card.get("tuned")):
        model = assembly.model()
        post = tune_post(assembly, model)
        model = assembly.with_post(model, post, tuned=assembly.can_tune)
        try:
            write_model(model, path)
        except UnwritableError as error:
            _say(console, f"note: the model is not kept: {error}")
    if not quiet:
        for one in model.members:
            _say(console, f"model: {one.name}")
        _say(console, f"masks: {model.post.note}")
    return model


def kept_model(path: Path, content: str) -> Model | None:
    """What was made before, if it is of the same checkpoints.

    Args:
        path: Where it may be.
        content: Key of its networks, see :class:`Assembly`.

    Returns:
        The model; None if it is not there, damaged, or of other networks.
    """
    if not path.exists():
        return None
    try:
        model = Model.load(path)
    except RunError:  # damaged: it is made again
        return None
    return model if model.card.get("content") == content else None


def write_model(model: Model, path: Path) -> None:
    """Write a model that can be made again: the one that stood there is not kept beside it.

    Args:
        model: The model.
        path: Its file.

    Raises:
        UnwritableError: The place takes no more files.
    """
    model.save(path)
    previous_of(path).unlink(missing_ok=True)


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
