"""Which networks of a run make a model: checkpoints that are still there, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglib.errors import Problem, RunError
from tune.entries import Entry, recipe_key
from tune.report import best_point, best_row
from tune.run_directory import RunDirectory
from tune.run_view import RunView, view_run
from tune.study_file import StudyFile, load_study
from tune.trial_files import BEST, LAST, trial_folder
from tune.urls import choose_ledger

__all__ = [
    "MODEL",
    "Kind",
    "Picked",
    "Picks",
    "pick_file",
    "pick_of_folder",
    "pick_retrained",
    "refuse_several",
    "trial_of",
]

MODEL = "model.pt"
Kind = Literal["trial", "top", "folds", "retrained"]


@dataclass(frozen=True)
class Picked:
    """One network.

    Args:
        checkpoint: Its file.
        trial: The trial that it is of; None for one of ``segtune fit``.
        fold: The fold that validated it: a number, ``all``, or None for the search's own part.
    """

    checkpoint: Path
    trial: int | None = None
    fold: int | str | None = None


@dataclass(frozen=True)
class Picks:
    """Networks of one run that make a model together.

    Args:
        kind: How they were picked.
        folder: The run directory.
        study: What was trained there.
        networks: One or more, best first.
        said: What the user should know of the choice, in sentences.
    """

    kind: Kind
    folder: RunDirectory
    study: StudyFile
    networks: tuple[Picked, ...]
    said: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For the model's file: ``trial-7``, ``top-3``, ``folds``."""
        if self.kind == "top":
            return f"top-{len(self.networks)}"
        first = self.networks[0]
        if self.kind == "trial" and first.trial is not None:
            last = "-last" if first.checkpoint.name == Path(LAST).name else ""
            return f"trial-{first.trial}{last}"
        return self.kind


def pick_of_folder(folder: Path, *, top: int = 1, folds: bool = False) -> Picks:
    """The networks of a run directory, or of one trial's folder.

    Args:
        folder: The one or the other.
        top: So many of the best trials, of a run directory.
        folds: The networks of all folds of the best recipe, of a confirmed run.

    Returns:
        The networks.

    Raises:
        RunError: The folder is neither, or what is wanted is not there.
    """
    if (trial := trial_of(folder)) is not None:
        run, number = trial
        refuse_several(folder, top=top, folds=folds)
        return pick_file(run, number, BEST)
    if (folder / BEST).exists() and (folder / "study.yaml").exists():  # of `segtune fit`
        refuse_several(folder, top=top, folds=folds)
        place = RunDirectory(folder)
        return Picks("trial", place, load_study(place.study, demo=False), (Picked(folder / BEST),))
    view = _view(folder)
    if folds:
        return _pick_folds(view)
    if view.study.folds == "all":
        hint = "segtune retrain goes on where it ended"
        problem = Problem(MODEL, "nothing", "the model that retraining ends with", hint)
        raise RunError(str(folder), [problem])
    return _pick_top(view, top)


def trial_of(folder: Path) -> tuple[Path, int] | None:
    """The run directory and the number, if this is a trial's folder.

    Args:
        folder: Any folder.

    Returns:
        Both, or None.
    """
    run = folder.parent.parent
    is_one = folder.parent.name == "trials" and folder.name.isdecimal()
    return (run, int(folder.name)) if is_one and (run / "study.yaml").exists() else None


def pick_file(run: Path, number: int, name: str) -> Picks:
    """One checkpoint of one trial.

    Args:
        run: The run directory.
        number: The trial.
        name: The checkpoint, from the trial's folder on.

    Returns:
        The network.

    Raises:
        RunError: The run or its ledger cannot be read, or the checkpoint is gone.
    """
    view = _view(run)
    checkpoint = trial_folder(view.folder.path, number) / name
    if not checkpoint.exists():
        hint = "of trials that have ended, the checkpoints of the best five are kept"
        problem = Problem(name, "nothing", "a checkpoint", hint)
        raise RunError(str(checkpoint.parents[1]), [problem])
    entry = next((one for one in view.entries if one.number == number), None)
    return Picks("trial", view.folder, view.study, (_picked(checkpoint, number, entry),))


def refuse_several(source: Path, *, top: int, folds: bool) -> None:
    """Say that one network is one.

    Args:
        source: A file, or a trial's folder.
        top: Value of ``--top``.
        folds: Value of ``--folds``.

    Raises:
        RunError: More than one was asked for.
    """
    wanted = "a run directory as MODEL: this is one model"
    asked = [("--top", str(top))] * (top > 1) + [("--folds", "given")] * folds
    if asked:
        raise RunError(str(source), [Problem(option, found, wanted) for option, found in asked])


def _view(run: Path) -> RunView:
    if run.is_dir() and not (run / "study.yaml").exists():
        inside = sorted(path.parent.name for path in run.glob("*/study.yaml"))
        wanted = "a run directory, a trial's folder, or a model.pt"
        hint = f"one of those in it: {', '.join(inside)}" if inside else ""
        raise RunError(str(run), [Problem("MODEL", "a folder without study.yaml", wanted, hint)])
    return view_run(run, choose_ledger(None))


def _picked(checkpoint: Path, number: int, entry: Entry | None) -> Picked:
    return Picked(checkpoint, number, getattr(entry, "fold", None))


def _pick_top(view: RunView, top: int) -> Picks:
    """The best trials of which a checkpoint is left; those passed over are named."""
    ranked = rank(view.study, view.entries)
    there = [(one, trial_folder(view.folder.path, one.number) / BEST) for one in ranked]
    kept = [(entry, path) for entry, path in there if path.exists()]
    if len(kept) < top:
        raise _too_few(view, len(kept), top)
    chosen = kept[:top]
    last = ranked.index(chosen[-1][0])
    gone = [entry.number for entry, path in there[:last] if not path.exists()]
    said = [f"trial {number} scored better, but has no checkpoint any more" for number in gone]
    if view.held:
        said.append("the search is still at work: its best so far")
    return Picks(
        "trial" if top == 1 else "top",
        view.folder,
        view.study,
        tuple(_picked(path, entry.number, entry) for entry, path in chosen),
        tuple(said),
    )


def _too_few(view: RunView, found: int, wanted: int) -> RunError:
    url = (view.folder.starts() or [{}])[-1].get("url")
    hint = f"this folder is a working copy: the checkpoints lie at {url}/trials" if url else ""
    if wanted > 1 and found:
        hint = hint or "of trials that have ended, the checkpoints of the best five are kept"
    place = "--top" if wanted > 1 else "checkpoints"
    count = f"{found or 'none'} in {view.folder.path / 'trials'}"
    return RunError(str(view.folder.path), [Problem(place, count, f"{wanted}", hint)])


def rank(study: StudyFile, entries: Sequence[Entry]) -> list[Entry]:
    """Trials with a score, best first; with seeds, those of the best row before all others.

    Args:
        study: Says whether more or less is better.
        entries: All trials.

    Returns:
        Those that have finished an epoch.
    """
    sign = 1.0 if study.metric.goal == "minimize" else -1.0
    point = best_point(study, entries)
    best = None if point is None else recipe_key(point.recipe)

    def order(entry: Entry) -> tuple[bool, float, int]:
        score = (best_row(study, entry) or {})["score"]
        return recipe_key(entry.recipe) != best if best else False, sign * score, entry.number

    return sorted((entry for entry in entries if entry.rows), key=order)


def pick_retrained(run: Path) -> Picks:
    """The networks of ``segtune retrain``, each after its last epoch.

    Args:
        run: The run directory.

    Returns:
        One per seed, in the order of the study's seeds; those that failed are named.

    Raises:
        RunError: None is there.
    """
    view = _view(run)
    entries = [one for one in view.entries if one.fold == "all" and one.seed in view.study.seeds]
    entries.sort(key=lambda one: view.study.seeds.index(one.seed or 0))
    paths = {one.number: trial_folder(view.folder.path, one.number) / LAST for one in entries}
    good = [one for one in entries if one.state == "COMPLETE" and paths[one.number].exists()]
    if not good:
        hint = "segtune retrain goes on where it ended"
        problem = Problem("checkpoints", "none of a complete trial", "at least one", hint)
        raise RunError(str(run), [problem])
    said = [
        f"trial {one.number} (seed {one.seed}) is not in the model: {one.reason or one.state}"
        for one in entries
        if one not in good
    ]
    networks = tuple(_picked(paths[one.number], one.number, one) for one in good)
    return Picks("retrained", view.folder, view.study, networks, tuple(said))


def _pick_folds(view: RunView) -> Picks:
    """One network for each fold of the best recipe, after its last epoch."""
    confirmed = view if view.study.folds else _confirmation(view)
    best = rank(view.study, view.entries)
    keys = [recipe_key(one.recipe) for one in best[:1]]
    if confirmed is view:
        point = best_point(view.study, view.entries)
        keys = [] if point is None else [recipe_key(point.recipe)]
    found: dict[int, Picked] = {}
    for entry in confirmed.entries:
        path = trial_folder(confirmed.folder.path, entry.number) / LAST
        if (
            entry.state == "COMPLETE"
            and isinstance(entry.fold, int)
            and recipe_key(entry.recipe) in keys
            and path.exists()
        ):
            found.setdefault(entry.fold, _picked(path, entry.number, entry))
    wanted = confirmed.study.folds
    if len(found) < 2 or set(found) != set(wanted):
        hint = "segtune confirm trains them, and goes on where it ended"
        told = ", ".join(map(str, sorted(found))) or "none"
        problem = Problem("--folds", f"networks of folds: {told}", f"all of {wanted}", hint)
        raise RunError(str(confirmed.folder.path), [problem])
    networks = tuple(found[fold] for fold in sorted(found))
    return Picks("folds", confirmed.folder, confirmed.study, networks)


def _confirmation(view: RunView) -> RunView:
    """The run in which ``segtune confirm`` trained the best of a search again."""
    run = view.folder.path
    for folder in (run / "confirm", run.with_name(f"{run.name}-confirm")):
        if (folder / "study.yaml").exists():
            return _view(folder)
    hint = f"segtune confirm {run}"
    problem = Problem("--folds", "a run that was not confirmed", "a confirmed one", hint)
    raise RunError(str(run), [problem])
