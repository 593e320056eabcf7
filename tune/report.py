"""What a search found: the leaderboard as table, CSV and text, and the best recipe as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from seglib.recipe import Recipe
from seglib.data.spec import PHANTOM_LAYOUTS
from tune.ledger import Entry, Ledger, Order
from tune.run_directory import RunDirectory, write_text
from tune.study_file import StudyFile
from tune.yaml_lines import write_yaml

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
            text = write_yaml(study)
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
    """The leaderboard for a terminal: the first rows, and the settings that differ.

    Args:
        table: From :func:`build_leaderboard`.
        study: Names the searched parameters.
        rows: How many trials to show.
    """
    demo = ", PHANTOMS" if study.data.layout in PHANTOM_LAYOUTS else ""
    title = f"{study.name}: best {study.metric.name} per trial, validation cases{demo}"
    view = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    classes = [name for name in table.columns if name in _class_columns(table)]
    classes = classes if len(classes) > 1 else []
    for name in ("trial", "state"):
        view.add_column(name, no_wrap=True)
    view.add_column(study.metric.name, justify="right", style="bold", no_wrap=True)
    for name in [*(name.removeprefix("dice_") for name in classes), "epoch", "time"]:
        view.add_column(name, justify="right", no_wrap=True)
    view.add_column("settings that differ", style="cyan")
    knobs = _differing(table, study)
    for row in table.head(rows).to_dict("records"):
        settings = ", ".join(f"{name} {_show(row[name])}" for name in knobs if _known(row[name]))
        view.add_row(
            f"{row['trial']}" + (" default" if row["origin"] == "default" else ""),
            str(row["state"]),
            _show(row["score"]),
            *(_show(row[name]) for name in classes),
            f"{row['best_epoch']:.0f} of {row['epochs']}" if row["epochs"] else "–",
            _clock(row["seconds"]),
            settings,
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


def _class_columns(table: pd.DataFrame) -> set[str]:
    names = {name for name in table.columns if name.startswith("dice_")}
    return names - set(Recipe.model_fields)


def _differing(table: pd.DataFrame, study: StudyFile) -> list[str]:
    return [
        name
        for name in study.space.names
        if name in table.columns and table[name].nunique(dropna=False) > 1
    ]


def _known(value: Any) -> bool:
    return value is not None and value == value


def _show(value: Any) -> str:
    if not _known(value):
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4f}" if 0.1 <= abs(value) < 100 else f"{value:.2g}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def list_failures(entries: Sequence[Entry]) -> list[str]:
    """One sentence for each failed trial.

    Args:
        entries: All trials.
    """
    return [f"trial {entry.number}: {entry.reason}" for entry in entries if entry.state == "FAIL"]
