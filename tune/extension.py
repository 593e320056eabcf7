"""Extension: finished trials go on to more epochs, as trials of their own, when that is asked for.

A finished trial stays what it is. The new one has its epochs as its own first ones, its
seed, its values and a copy of its checkpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from seglib.checkpoint import CheckpointError, load_checkpoint
from seglib.errors import Problem, RunError
from seglib.files import replacing, write_whole
from seglib.optim import learning_rate_at
from seglib.recipe import Recipe
from tune.entries import Entry
from tune.ledger import Ledger
from tune.mirror import Mirror
from tune.report import best_row
from tune.trial_files import BEST, CASES, LAST, NOTES, trial_folder

__all__ = ["can_go_on", "extend_trials"]


def extend_trials(
    ledger: Ledger, run_dir: Path, count: int, mirror: Mirror | None = None
) -> list[str]:
    """Let the best complete trials go on to the study's horizon, until so many have.

    Asked again, nothing is done twice. What an earlier start was asked for and did not
    come to do is done first.

    Args:
        ledger: The memory of the search.
        run_dir: Where the trials keep their files.
        count: Trials that shall have gone on to this horizon, those of before among them.
        mirror: Of the run directory, if its place is a URL: the checkpoints lie there.

    Returns:
        One sentence for each trial that goes on.

    Raises:
        RunError: There are not as many, or one's checkpoint is gone; nothing was changed.
    """
    if mirror is not None:
        mirror.bring_checkpoints(_list_needed(ledger, count) & mirror.list_kept())
    said = _hand_over(ledger, run_dir)
    chosen = _choose(ledger, count) if count else []
    _require_checkpoints(chosen, run_dir, ledger.file.horizon)
    for entry in chosen:
        ledger.extend(entry.number, ledger.file.horizon)
    said += _hand_over(ledger, run_dir)
    if mirror is not None:
        mirror.give_checkpoints([e.number for e in _list_unfinished(ledger)])
    return said


def can_go_on(ledger: Ledger) -> bool:
    """Is there a complete trial that the study's horizon allows more epochs?"""
    return ledger.file.method != "grid" and bool(_list_able(ledger))


def _choose(ledger: Ledger, count: int) -> list[Entry]:
    """The best of those that can go on and have not."""
    file, entries = ledger.file, ledger.entries()
    done = sum(e.extends is not None and e.recipe["epochs"] == file.horizon for e in entries)
    if done >= count:
        return []
    able = _list_able(ledger)
    if len(able) < count - done:
        trials = "1 complete trial" if len(able) == 1 else f"{len(able)} complete trials"
        found = f"{count}, but {trials} of less than {file.horizon} epochs"
        hint = "raise epochs first: --set epochs=N" if not able else ""
        wanted = "no more than there are"
        raise RunError("command line", [Problem("--extend", found, wanted, hint)])
    sign = -1 if file.metric.goal == "maximize" else 1
    able.sort(key=lambda entry: sign * (best_row(file, entry) or {})["score"])
    return able[: count - done]


def _list_able(ledger: Ledger) -> list[Entry]:
    """Complete trials that are shorter than the study's horizon, and not gone on with yet."""
    entries = ledger.entries()
    taken = {entry.extends for entry in entries}
    return [
        entry
        for entry in entries
        if entry.state == "COMPLETE"
        and len(entry.rows) < ledger.file.horizon
        and entry.number not in taken
    ]


def _list_unfinished(ledger: Ledger) -> list[Entry]:
    """Trials that shall go on from others and have not ended."""
    return [e for e in ledger.entries() if e.extends is not None and e.state == "RUNNING"]


def _list_needed(ledger: Ledger, count: int) -> set[int]:
    """Trials whose checkpoints may be asked for."""
    begun = _list_unfinished(ledger)
    needed = {e.number for e in begun} | {e.extends for e in begun if e.extends is not None}
    return needed | {e.number for e in _list_able(ledger) if count}


def _require_checkpoints(chosen: Sequence[Entry], run_dir: Path, horizon: int) -> None:
    problems = []
    for entry in chosen:
        place = trial_folder(run_dir, entry.number) / LAST
        wanted, hint = "", "a search keeps the checkpoints of its 5 best trials only"
        try:
            num_epochs = len(load_checkpoint(place)[0]["rows"])
            if num_epochs == len(entry.rows):
                continue
            found, wanted = f"{num_epochs} epochs", f"the {len(entry.rows)} of the ledger"
        except CheckpointError as error:
            found = "; ".join(str(problem) for problem in error.problems)
        text = f"{found} in {place}"
        problems.append(Problem(f"trial {entry.number}", text, wanted or "its checkpoint", hint))
    if problems:
        raise RunError(f"cannot go on to {horizon} epochs", problems)


def _hand_over(ledger: Ledger, run_dir: Path) -> list[str]:
    """Give each trial that goes on what it goes on from; what it has is left alone."""
    said, entries = [], {entry.number: entry for entry in ledger.entries()}
    for entry in _list_unfinished(ledger):
        if entry.extends is None:
            continue
        source = trial_folder(run_dir, entry.extends)
        folder = trial_folder(run_dir, entry.number)
        if (folder / LAST).exists():
            continue
        sentence = _tell(entries[entry.extends], Recipe(**entry.recipe))
        if not (source / LAST).exists():
            reason = f"the checkpoint of trial {entry.extends}, from which it goes on, is gone"
            ledger.finish(entry.number, reason)
            continue
        notes = (source / NOTES).read_text(encoding="utf-8") if (source / NOTES).exists() else ""
        write_whole(folder / NOTES, f"{notes}{sentence}\n")
        for name in (CASES, BEST, LAST):  # with the last one all are there
            if (source / name).exists():
                with replacing(folder / name) as copy:
                    shutil.copyfile(source / name, copy)
        said.append(f"trial {entry.number}: {sentence}")
    ledger.take_up_unfinished()
    return said


def _tell(before: Entry, recipe: Recipe) -> str:
    """What its figures must be read with."""
    done = len(before.rows)
    last = learning_rate_at(Recipe(**before.recipe), done - 1)
    first = learning_rate_at(recipe, done)
    text = f"epochs 1 to {done} are those of trial {before.number}; "
    if recipe.schedule == "constant":
        text += "as the learning rate is constant, the rest is"
        return f"{text} what {recipe.epochs} epochs from the start would give"
    text += f"the learning rate, down to {last:.2g} there, goes on at {first:.2g}"
    return f"{text}: not the same as {recipe.epochs} epochs from the start"
