"""Which networks of a run make a model: checkpoints that are still there, best first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seglib.errors import Problem, RunError
from tune.entries import Entry, recipe_key
from tune.picked import MODEL, Picked, Picks, look_at, refuse_several
from tune.report import best_point, best_row
from tune.reporting.confirmation import CONFIRM, load_finding
from tune.run_directory import RunDirectory
from tune.run_view import RunView
from tune.study_file import StudyFile, load_study
from tune.trial_files import BEST, LAST, trial_folder

__all__ = [
    "pick_file",
    "pick_folds",
    "pick_of_folder",
    "pick_retrained",
    "rank",
    "taken_recipe",
    "trial_of",
]


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
        return pick_file(run, number)
    if (folder / BEST).exists() and (folder / "study.yaml").exists():  # of `segtune fit`
        refuse_several(folder, top=top, folds=folds)
        place = RunDirectory(folder)
        return Picks("trial", place, load_study(place.study, demo=False), (Picked(folder / BEST),))
    view = look_at(folder)
    if folds or (view.study.folds and view.study.folds != "all" and top == 1):
        return pick_folds(folder)
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


def pick_file(run: Path, number: int, name: str | None = None) -> Picks:
    """One checkpoint of one trial.

    Args:
        run: The run directory.
        number: The trial.
        name: The checkpoint, from the trial's folder on; if not given, that of the best
            epoch, and for a fold, which no epoch is chosen on, that of the last.

    Returns:
        The network.

    Raises:
        RunError: The run or its ledger cannot be read, or the checkpoint is gone.
    """
    view = look_at(run)
    entry = next((one for one in view.entries if one.number == number), None)
    name = name or (LAST if entry is not None and entry.fold is not None else BEST)
    checkpoint = trial_folder(view.folder.path, number) / name
    if not checkpoint.exists():
        hint = "of trials that have ended, the checkpoints of the best five are kept"
        problem = Problem(name, "nothing", "a checkpoint", hint)
        raise RunError(str(checkpoint.parents[1]), [problem])
    return Picks("trial", view.folder, view.study, (_picked(checkpoint, number, entry),))


def _picked(checkpoint: Path, number: int, entry: Entry | None) -> Picked:
    return Picked(checkpoint, number, None if entry is None else entry.fold)


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
    if not any(entry.rows for entry in view.entries):
        count = "no trial has ended an epoch yet"
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
    view = look_at(run)
    keys = {recipe_key(row.values) for row in view.study.rows}
    entries = [
        one
        for one in view.entries
        if one.fold == "all"
        and one.seed in view.study.seeds
        and recipe_key(one.recipe or one.values) in keys
    ]
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


def pick_folds(run: Path) -> Picks:
    """One network for each fold of the recipe that a confirmation says to take.

    It is that of the first seed, after its last epoch: no epoch was chosen by the patients
    of the fold.

    Args:
        run: The run directory of the search, or of its confirmation.

    Returns:
        The networks, by fold.

    Raises:
        RunError: The run was not confirmed, or a network is gone.
    """
    view = look_at(run)
    if not view.study.folds:
        view = _confirmation(view)
    taken = taken_recipe(view.folder.path.parent)
    key = recipe_key(taken[1]) if taken else _best_key(view)
    found: dict[int, Picked] = {}
    for entry in view.entries:
        path = trial_folder(view.folder.path, entry.number) / LAST
        is_one = entry.state == "COMPLETE" and recipe_key(entry.recipe) == key
        if is_one and isinstance(entry.fold, int) and path.exists():
            found.setdefault(entry.fold, _picked(path, entry.number, entry))
    if lacking := [fold for fold in view.study.folds if fold not in found]:
        hint = "segtune confirm goes on where it ended"
        told = f"no network of fold {', '.join(map(str, lacking))}"
        problem = Problem("--folds", told, "one of each fold", hint)
        raise RunError(str(view.folder.path), [problem])
    networks = tuple(found[fold] for fold in sorted(found))
    said = (f"recipe: {taken[0]}, as segtune confirm found",) if taken else ()
    return Picks("folds", view.folder, view.study, networks, said)


def taken_recipe(run: Path) -> tuple[str, dict[str, Any]] | None:
    """What a confirmation says to take.

    Args:
        run: The run directory of the search.

    Returns:
        Its name, as ``winner``, and its knobs; None for a run that was not confirmed.

    Raises:
        RunError: The confirmation is damaged.
    """
    finding, study = load_finding(run), run / CONFIRM / "study.yaml"
    if finding is None or not study.exists():
        return None
    rows = load_study(study, demo=False).rows
    return next(((row.name, row.values) for row in rows if row.name == finding.take), None)


def _best_key(confirmed: RunView) -> str:
    """Key of the best recipe so far, where a confirmation has not ended."""
    point = best_point(confirmed.study, confirmed.entries)
    return "" if point is None else recipe_key(point.recipe)


def _confirmation(view: RunView) -> RunView:
    """The run in which ``segtune confirm`` trained the best of a search again."""
    run = view.folder.path
    if (run / CONFIRM / "study.yaml").exists():
        return look_at(run / CONFIRM)
    hint = f"segtune confirm {run}"
    problem = Problem("--folds", "a run that was not confirmed", "a confirmed one", hint)
    raise RunError(str(run), [problem])
