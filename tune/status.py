"""How a search stands, for a terminal, also while another process runs it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tune.entries import Entry
from tune.leaderboard import as_clock, count_states, say_older, show_leaderboard
from tune.pace import expect_seconds
from tune.report import best_row, older_entries
from tune.run_view import RunView, find_runs, view_run
from tune.study_file import StudyFile
from tune.suite_table import read_studies
from tune.trial_rows import say_rungs

__all__ = ["show_status"]


def show_status(
    run: Path, console: Console, storage: str | None = None, *, is_copy: bool = False
) -> None:
    """Print how a search stands. Nothing is written, so another process may be at it.

    Args:
        run: The run directory, or a suite's folder of them.
        console: Where to print.
        storage: The ledger's database, where its URL has a password in it.
        is_copy: Was the folder copied from where a process may be at work?

    Raises:
        RunError: It is not a run directory, or its ledger cannot be read.
        StudyFileError: Its study file is damaged.
    """
    begun = find_runs(run)
    for one in begun:
        _show_run(view_run(one, storage), console, is_copy=is_copy)
    names = {one.name.removesuffix("-demo") for one in begun}
    waiting = [name for name in read_studies(run) if name not in names]
    if waiting:
        console.print(f"not begun: {', '.join(waiting)}", markup=False, highlight=False)


def _show_run(view: RunView, console: Console, *, is_copy: bool) -> None:
    study, entries, place, held = view.study, view.entries, view.place, view.held
    head = _headline(study, entries, place, held=held)
    console.print(head, markup=False, highlight=False, soft_wrap=True)
    for entry in entries:
        if entry.state == "RUNNING":
            line = _running(study, entry, held=held)
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not (held or is_copy) and any(entry.state == "RUNNING" for entry in entries):
        console.print("no process is at it; the same command goes on from here", style="yellow")
    show_leaderboard(study, entries, console, held=held)


def _headline(study: StudyFile, entries: Sequence[Entry], place: Path | str, *, held: bool) -> str:
    older = older_entries(study, entries)
    present = [entry for entry in entries if entry not in older]
    ended = sum(entry.started and entry.state != "RUNNING" for entry in present)
    extended = sum(entry.extends is not None for entry in present)
    total = f" of {study.num_planned + extended}" if study.num_planned is not None else ""
    states = count_states(present, held=held) or "none yet"
    text = f"{study.name}: {ended}{total} trials ended ({states})"
    if older:
        text += f", {say_older(older)}"
    left = None
    if held and study.num_planned is not None:
        left = expect_seconds(present, study.num_planned + extended)
    if left is not None:
        text += f"; about {as_clock(left)} left"
    if isinstance(place, Path):
        text += f"; last written {as_clock(time.time() - place.stat().st_mtime)} ago"
    return text


def _running(study: StudyFile, entry: Entry, *, held: bool) -> str:
    best = best_row(study, entry)
    length = entry.recipe.get("epochs", "?")
    score = f", best {study.metric.name} {best['score']:.4f}" if best is not None else ""
    word = "in training" if held else "unfinished"
    text = f"  trial {entry.number} {word}: {len(entry.rows)} of {length} epochs{score}"
    if held and entry.rows:
        seconds = sum(row["seconds"] for row in entry.rows) / len(entry.rows)
        memory_gb = entry.rows[-1]["peak_memory_mb"] / 1024
        rungs = say_rungs(study, entry) if study.rungs() else ""
        text += f"; {rungs} rungs" if rungs else ""
        text += f"; {seconds:.1f} s an epoch, {memory_gb:.1f} GB"
    return text
