"""The section on false alarms: what was marked in cases that hold nothing of a class."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tune.reporting.evidence import PointData, RunData

__all__ = ["Empties", "EmptyRow", "view_empties"]

MOST_POINTS = 12


@dataclass(frozen=True)
class EmptyRow:
    """One class of one point.

    Args:
        point: Its name.
        part: Name of the class.
        alarms: In how many of the cases without it it was marked, as ``2 of 7``.
        share: The same in per cent.
        typical: Pixels marked in the middling of those cases; a dash where there are none.
        worst: The case with most, and how many.
    """

    point: str
    part: str
    alarms: str
    share: str
    typical: str
    worst: str


@dataclass(frozen=True)
class Empties:
    """All of a run.

    Args:
        note: Why there is no table, or which points are in it; may be empty.
        rows: By point, as the table of results has them; then by class.
    """

    note: str
    rows: tuple[EmptyRow, ...]


def view_empties(run: RunData) -> Empties | None:
    """Count false alarms of the networks after their last epoch, over all seeds of a point.

    Args:
        run: The run.

    Returns:
        The counts, or a sentence where no case is without a class; None before any trial is
        complete.
    """
    tables = [(point, _scored(point)) for point in run.points]
    scored = [(point, table) for point, table in tables if not table.empty]
    if not scored:
        return None
    with_empties = [(point, table[table["tp"] + table["fn"] == 0]) for point, table in scored]
    if all(table.empty for _, table in with_empties):
        text = "Every validation case holds every class, so that there was no false alarm to raise."
        return Empties(text, ())
    best = sorted(scored, key=lambda one: -float(one[1]["dice"].mean()))[:MOST_POINTS]
    shown = {point.name for point, _ in best}
    rows = [
        _row(point.name, str(part), of_class)
        for point, table in with_empties
        if point.name in shown
        for part, of_class in table.groupby("class", sort=False)
    ]
    note = ""
    if len(scored) > MOST_POINTS:
        note = f"The {MOST_POINTS} of {len(scored)} points with the highest mean Dice."
    return Empties(note, tuple(rows))


def _scored(point: PointData) -> pd.DataFrame:
    tables = [trial.final for trial in point.complete if trial.final is not None]
    tables = [table for table in tables if "fp" in table]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _row(point: str, part: str, empty: pd.DataFrame) -> EmptyRow:
    alarms = empty[empty["fp"] > 0]
    typical = worst = "–"
    if len(alarms):
        typical = f"{alarms['fp'].median():,.0f}"
        case, most = max(zip(alarms["case"], alarms["fp"], strict=True), key=lambda one: one[1])
        worst = f"{case} ({most:,.0f})"
    count = f"{len(alarms)} of {len(empty)}"
    share = f"{100 * len(alarms) / len(empty):.0f}\u00a0%"
    return EmptyRow(point, part, count, share, typical, worst)
