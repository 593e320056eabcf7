"""A trial in a line: what the live table and `segtune status` show of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from tune.entries import Entry
from tune.report import best_row
from tune.study_file import StudyFile

__all__ = ["build_table", "say_rungs", "training_of", "trial_cells"]

_WIDTH_OF_LABELS = 20
_COLUMNS = {
    "trial": 12, "state": 8, "epoch": 9, "rung": 4, "score": 7, "best": 7, "s/epoch": 7,
    "memory": 8,
}  # fmt: skip
_PLACES = {"GPU": 5, "node": 15}
_NARROWEST_NODE = 7


def build_table(
    study: StudyFile, entries: Sequence[Entry], places: Mapping[str, bool], *, width: int
) -> tuple[Table, dict[str, int]]:
    """The columns of a table of trials, as wide for all trials, so that nothing jumps.

    Args:
        study: What is searched.
        entries: All trials.
        places: Whether any trial is known to be on a ``GPU``, or on a ``node``.
        width: Of the terminal; what does not fit is left out, from the right.

    Returns:
        The table without rows, and the width of each column by its name.
    """
    labelled = any(training_of(entry) or entry.point for entry in entries)
    columns = _COLUMNS | ({"trial": _WIDTH_OF_LABELS} if labelled else {})
    for name, wanted in _PLACES.items():
        room = width - sum(columns.values()) - 2 * len(columns) - 3  # two between any two
        if places.get(name) and room >= min(wanted, _NARROWEST_NODE):
            columns[name] = min(wanted, room)
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name, wide in columns.items():
        table.add_column(
            study.metric.name[:wide] if name == "score" else name,
            justify="left" if name in ("trial", "state", "node") else "right",
            width=wide,
            no_wrap=True,
        )
    return table, columns


def trial_cells(
    study: StudyFile,
    entry: Entry,
    columns: Mapping[str, int],
    *,
    length: int | None = None,
    place: Mapping[str, str] | None = None,
) -> list[str]:
    """What stands in each column.

    Args:
        study: What is searched.
        entry: The trial.
        columns: From :func:`build_table`.
        length: Epochs that it may train; None for one that has ended.
        place: On which ``GPU`` and ``node`` it is.

    Returns:
        One text per column.
    """
    state = entry.state.lower() if entry.rows or length is None else "starting"
    epochs = entry.recipe.get("epochs", "?") if length is None else length
    cells = [_name(entry), state, f"{len(entry.rows)}/{epochs}", say_rungs(study, entry)]
    cells += _figures(study, entry) if entry.rows else ["–"] * 4
    for name in _PLACES:
        if wide := columns.get(name):
            text = (place or {}).get(name, "")
            # the end of an address tells nodes apart
            cells.append(text if len(text) <= wide else f"…{text[1 - wide :]}")
    return cells


def say_rungs(study: StudyFile, entry: Entry) -> str:
    """How many rungs a trial has passed, of how many.

    Args:
        study: Says where they are.
        entry: The trial.

    Returns:
        Such as ``1/2``; a dash for a search without.
    """
    rungs = study.rungs()
    # a trial that was stopped at a rung has not passed it
    reached = len(entry.rows) - (entry.state == "PRUNED")
    return f"{sum(rung <= reached for rung in rungs)}/{len(rungs)}" if rungs else "–"


def training_of(entry: Entry) -> list[str]:
    """The seed and the fold that a trial is for, in words.

    Args:
        entry: The trial.

    Returns:
        None, one or two words.
    """
    given: dict[str, Any] = {"seed": entry.seed, "fold": entry.fold}
    return [f"{name} {value}" for name, value in given.items() if value is not None]


def _name(entry: Entry) -> str:
    seed = "" if entry.seed is None else f"/{entry.seed}"
    fold = "" if entry.fold is None else f"/f{entry.fold}"
    name = f"{entry.number} {entry.point}{seed}{fold}".rstrip()
    name += " default" if entry.origin == "default" else ""
    return name if entry.extends is None else f"{name} < {entry.extends}"


def _figures(study: StudyFile, entry: Entry) -> list[str]:
    last, best = entry.rows[-1], best_row(study, entry) or {}
    seconds = sum(row["seconds"] for row in entry.rows) / len(entry.rows)
    memory = f"{last['peak_memory_mb'] / 1024:.1f} GB"
    return [f"{last['score']:.4f}", f"{best['score']:.4f}", f"{seconds:.1f}", memory]
