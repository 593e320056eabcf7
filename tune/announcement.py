"""What a search says before it starts: what goes on, what is searched, on which data."""

from __future__ import annotations

from rich.console import Console

from seglib.data.store import Store
from tune.executor import Job
from tune.extension import can_go_on
from tune.leaderboard import say_older
from tune.ledger import Ledger
from tune.report import older_entries

__all__ = ["announce", "say_kept", "say_nothing_left"]


def announce(ledger: Ledger, store: Store, job: Job, *, num_locked: int, console: Console) -> None:
    """What is kept, what is searched, on which data, and where.

    Args:
        ledger: The memory of the search.
        store: The prepared data.
        job: What all trials share.
        num_locked: Groups that nothing here reads.
        console: Where to show it.
    """
    study = ledger.file
    say_kept(ledger, console)
    unit = "patients" if job.split.by == "patient" else "SLICES"
    lines = [
        f"{study.name}: {study.method}, {study.metric.name} ({study.metric.goal}), "
        f"{study.num_planned or 'unbounded'} trials of up to {study.horizon} epochs",
        f"data: {store.info.num_slices} slices of {store.info.num_cases} cases "
        f"({store.info.num_groups} patients), {store.image_size} px, "
        f"{', '.join(store.channels)} -> {', '.join(store.target.classes)}",
        f"split: {len(job.split.train)} train, {len(job.split.val)} validation, "
        f"{num_locked} locked for testing ({unit})",
        *(f"fold {fold}: {len(part.train)} train, {len(part.val)} validation"
          + ", which are seen in training" * (fold == "all") for fold, part in job.folds.items()),
    ]  # fmt: skip
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    where = f"{job.url}, with a working copy in {job.run_dir}" if job.url else str(job.run_dir)
    console.print(f"run directory: {where}", markup=False, highlight=False, soft_wrap=True)


def say_kept(ledger: Ledger, console: Console) -> None:
    """What goes on, and what an edit of the study file did to the trials that stood there."""
    if older := older_entries(ledger.file, ledger.entries()):
        console.print(f"{say_older(older)}: kept, and not trained again", markup=False)
    going_on = [e for e in ledger.entries() if e.state == "RUNNING" and e.rows]
    if going_on:
        trials = ", ".join(f"trial {e.number} after epoch {len(e.rows)}" for e in going_on)
        console.print(f"goes on where it ended: {trials}", markup=False, highlight=False)
    if outside := ledger.num_outside:
        which = "1 trial lies" if outside == 1 else f"{outside} trials lie"
        console.print(f"{which} outside the new space: kept, but they guide the search no longer")


def say_nothing_left(ledger: Ledger, console: Console) -> None:
    """Every trial has ended; how to ask for more."""
    text = "nothing is left to train"
    if ledger.file.method != "grid":
        text += "; --trials with a higher number asks for more"
    if can_go_on(ledger):
        text += f", --extend N trains the best N on to epoch {ledger.file.horizon}"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
