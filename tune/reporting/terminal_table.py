"""The main table of a report for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from tune.reporting.evidence import RunData
from tune.reporting.tables import NONE, point_rows

__all__ = ["render_points"]


def render_points(runs: Sequence[RunData], *, wide: bool) -> Table:
    """The main table for a terminal.

    Args:
        runs: All runs of a report.
        wide: Is there room for all columns?

    Returns:
        A line per point, and per class where there are several.
    """
    columns = {"Dice, last": "last", "Dice, best": "best"}
    if wide:
        columns |= {"precision": "precision", "recall": "recall", "HD95": "hd95"}
        columns |= {"no HD95": "missed", "surface Dice": "surface_dice"}
        if any(row.published not in ("", NONE) for run in runs for row in point_rows(run)):
            columns |= {"published": "published"}
    columns |= {"time": "seconds"}
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    view.add_column("point", overflow="fold", min_width=8)
    for name in columns:
        view.add_column(name, justify="right", no_wrap=True)
    view.add_column("trials complete")
    for run in runs:
        if len(runs) > 1:
            view.add_row(Text(run.name, style="bold"))
        for row in point_rows(run):
            label = Text(f"  {row.part}" if row.part else row.point)
            cells = [str(getattr(row, field)) for field in columns.values()]
            view.add_row(label, *cells, row.trials, style="dim" if row.part else "")
    return view
