"""What a search found: the leaderboard as table, CSV and text, and the best recipe as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import yaml
from rich.table import Table

from seglib.recipe import Recipe
from seglib.data.spec import PHANTOM_LAYOUTS
from tune.ledger import Entry, Ledger, Order
from tune.run_directory import RunDirectory, write_text
from tune.study_file import StudyFile

__all__ = [
    "ReportWriter",
    "best_entry",
    "build_leaderboard",
    "list_failures",
    "render_leaderboard",
]

DEMO_COMMENT = "# Found on generated phantoms, not on patients.\n"

_FIRST = ["trial", "state", "origin", "data", "score", "last_score", "best_epoch", "epochs", "seconds"]


class ReportWriter:
    """Keeps ``leaderboard.csv`` and ``best.yaml`` current: made anew when a trial ends.

    Args:
        ledger: The memory of the search.
        folder: Where the files go.
    """

    def __init__(self, ledger: Ledger, folder: RunDirectory) -> None:
        self._ledger, self._folder = ledger, folder

    def started(self, order: Order) -> None:
        """Nothing to report yet."""

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Nothing to report yet."""

    def finished(self, number: int) -> None:
        """Write both files."""
        self.write()

    def write(self) -> None:
        """Write both files, each whole or not at all."""
        table = build_leaderboard(self._ledger)
        write_text(self._folder.leaderboard, table.to_csv(index=False))
        best = best_entry(self._ledger)
        if best is not None:
            study = _best_study(self._ledger, self._ledger.recipe(best.number))
            phantom = self._ledger.file.data.layout in PHANTOM_LAYOUTS
            text = yaml.safe_dump(study, sort_keys=False)
            write_text(self._folder.best, (DEMO_COMMENT if phantom else "") + text)


def build_leaderboard(ledger: Ledger) -> pd.DataFrame:
    """One row per trial that was started, best first; unscored trials last.

    ``score`` is the trial's best epoch, ``last_score`` its last; the figures per
    class belong to the best epoch. ``state`` is Optuna's word.

    Args:
        ledger: The memory of the search.
    """
    entries = [entry for entry in ledger.entries() if entry.state != "WAITING"]
    best = [_best_row(entry, ledger) for entry in entries]
    table = pd.DataFrame(
        [_row(entry, row, ledger) for entry, row in zip(entries, best, strict=True)]
    )
    if table.empty:
        return pd.DataFrame(columns=_FIRST)
    ascending = ledger.file.metric.goal == "minimize"
    table = table.sort_values(
        ["score", "trial"], ascending=[ascending, True], na_position="last", ignore_index=True
    )
    last = ["reason"]
    middle = [name for name in table.columns if name not in _FIRST + last]
    return table[_FIRST + middle + last]


def best_entry(ledger: Ledger) -> Entry | None:
    """The trial with the best epoch of all; None before any epoch.

    Args:
        ledger: The memory of the search.
    """
    scored = [entry for entry in ledger.entries() if entry.rows]
    if not scored:
        return None
    choose = max if ledger.file.metric.goal == "maximize" else min
    return choose(scored, key=lambda entry: (_best_row(entry, ledger) or {})["score"])


def render_leaderboard(table: pd.DataFrame, study: StudyFile, *, rows: int = 10) -> Table:
    """The leaderboard for a terminal: the first rows and the knobs that differ.

    Args:
        table: From :func:`build_leaderboard`.
        study: Names the searched parameters.
        rows: How many trials to show.
    """
    title = f"{study.name}: {study.metric.name} on validation cases"
    view = Table(title=title, title_justify="left", header_style="bold")
    knobs = [
        name
        for name in study.space.names
        if name in table.columns and table[name].nunique(dropna=False) > 1
    ]
    classes = [name for name in table.columns if name.startswith("dice_") and name != "dice_weight"]
    classes = classes if len(classes) > 1 else []
    view.add_column("trial", justify="right")
    view.add_column("state")
    view.add_column(study.metric.name, justify="right", style="bold")
    for name in [*classes, "epochs", "s"]:
        view.add_column(name, justify="right")
    for name in knobs:
        view.add_column(name, justify="right", style="cyan", overflow="fold")
    for row in table.head(rows).to_dict("records"):
        number = f"{row['trial']}" + (" default" if row["origin"] == "default" else "")
        view.add_row(
            number,
            str(row["state"]),
            _show(row["score"]),
            *(_show(row[name]) for name in classes),
            f"{row['best_epoch']:.0f}/{row['epochs']}" if row["epochs"] else "0",
            f"{row['seconds']:.0f}",
            *(_show(row[name]) for name in knobs),
        )
    return view


def _best_study(ledger: Ledger, recipe: Recipe) -> dict[str, Any]:
    """The best recipe as a study file of its own: one trial that trains it alone."""
    resolved = ledger.file.resolved()
    kept = ("metric", "data", "split", "seed", "resources", "tracking")
    return {
        "name": f"{ledger.file.name}-best",
        "description": f"The best recipe of the study {ledger.file.name}, to be trained alone.",
        "method": "grid",
        **{key: resolved[key] for key in kept if key in resolved},
        "parameters": {key: {"value": value} for key, value in recipe.model_dump().items()},
    }


def _row(entry: Entry, best: dict[str, float] | None, ledger: Ledger) -> dict[str, Any]:
    best = best or {}
    named = {name: value for name, value in best.items() if name.startswith("dice_")}
    extra = {
        name: best[name] for name in ("iou", "precision", "recall", "val_loss") if name in best
    }
    return {
        "trial": entry.number,
        "state": entry.state,
        "origin": entry.origin,
        "data": ledger.file.data.layout,
        "score": best.get("score"),
        "last_score": entry.rows[-1]["score"] if entry.rows else None,
        "best_epoch": best.get("epoch"),
        "epochs": len(entry.rows),
        "seconds": round(sum(row["seconds"] for row in entry.rows), 1),
        **named,
        **extra,
        "peak_memory_mb": max((row["peak_memory_mb"] for row in entry.rows), default=None),
        **entry.values,
        "reason": entry.reason,
    }


def _best_row(entry: Entry, ledger: Ledger) -> dict[str, float] | None:
    best: dict[str, float] | None = None
    for row in entry.rows:
        if best is None or ledger.is_better(row["score"], best["score"]):
            best = dict(row)
    return best


def _show(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if 0.01 <= abs(value) < 100 else f"{value:.2g}"
    return str(value)


def list_failures(entries: Sequence[Entry]) -> list[str]:
    """One sentence for each failed trial.

    Args:
        entries: All trials.
    """
    return [f"trial {entry.number}: {entry.reason}" for entry in entries if entry.state == "FAIL"]
