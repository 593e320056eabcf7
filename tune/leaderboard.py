"""The leaderboard for a terminal, at the end of a search and while another process runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from seglib.data.spec import PHANTOM_LAYOUTS
from tune.entries import Entry
from tune.report import (
    PointScore,
    best_entry,
    best_point,
    best_row,
    build_leaderboard,
    class_columns,
    parameter_columns,
)
from tune.study_file import StudyFile

__all__ = [
    "as_clock",
    "count_states",
    "render_leaderboard",
    "say_older",
    "show_leaderboard",
]

MEANING = "Mean over the cases that have a class, then over classes; background never counts."

_MOST_FAILURES_SHOWN = 5
_WIDTH_FOR_SETTINGS = 100
_WIDEST_NAME = 16


def show_leaderboard(
    study: StudyFile, entries: Sequence[Entry], console: Console, *, held: bool = False
) -> bool:
    """Print the best trials, the winner's settings and the failures.

    Args:
        study: What was searched.
        entries: All its trials.
        console: Where to print.
        held: Is a process at work? Without one, nothing is running.

    Returns:
        Is there a best trial?
    """
    best = best_entry(study, entries)
    if best is None:
        console.print("no epoch is in the ledger yet", style="bold yellow")
    else:
        table = build_leaderboard(study, entries)
        if not held:
            table["state"] = table["state"].replace("RUNNING", "UNFINISHED")
        settings = console.width >= _WIDTH_FOR_SETTINGS
        console.print(render_leaderboard(study, table, settings=settings), markup=False)
        point = best_point(study, entries)
        said = _winner(study, best, entries) if point is None else _winning_point(study, point)
        if study.folds != "all":  # networks that have seen the patients are not ranked by them
            console.print(said, markup=False, highlight=False)
    for line in _refusals(entries):
        console.print(line, markup=False, highlight=False, style="yellow", soft_wrap=True)
    failed = [entry for entry in entries if entry.state == "FAIL" and entry.started]
    for entry in failed[-_MOST_FAILURES_SHOWN:]:
        line = f"trial {entry.number} failed: {entry.reason}"
        console.print(line, markup=False, highlight=False, style="red", soft_wrap=True)
    if len(failed) > _MOST_FAILURES_SHOWN:
        console.print(f"{len(failed)} trials failed in all", style="red")
    return best is not None


def render_leaderboard(
    study: StudyFile, table: pd.DataFrame, *, rows: int = 10, settings: bool = True
) -> Table:
    """The first rows of the leaderboard, a line each.

    Args:
        study: What was searched.
        table: From :func:`tune.report.build_leaderboard`.
        rows: How many trials to show.
        settings: Show those that differ, too? They take what room the figures leave.

    Returns:
        A table as wide as the terminal, or as the figures if they stand alone.
    """
    view = Table(
        title=_title(study, table), title_justify="left", title_style="bold", header_style="bold",
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=settings,
    )  # fmt: skip
    classes = class_columns(table)
    classes = classes if len(classes) > 1 else []
    labels = [name for name in ("point", "seed", "fold") if name in table]
    longest = max((len(_origin(origin)) for origin in table["origin"]), default=0)
    view.add_column("trial", no_wrap=True, min_width=len(f"{table['trial'].max()}") + longest)
    for name in labels:
        view.add_column(name, no_wrap=True, max_width=_WIDEST_NAME, overflow="ellipsis")
    view.add_column("state", no_wrap=True, min_width=8)
    view.add_column(study.metric.name, justify="right", style="bold", no_wrap=True, min_width=6)
    for name in [*(name.removeprefix("dice_") for name in classes), "epoch", "time"]:
        view.add_column(name, justify="right", no_wrap=True, min_width=5 if name == "epoch" else 6)
    if settings:
        view.add_column(
            "settings that differ", style="cyan", no_wrap=True, overflow="ellipsis", ratio=1
        )
    shown = table.head(rows)
    knobs = [name for name in parameter_columns(study) if shown[name].nunique(dropna=False) > 1]
    for place, row in enumerate(shown.to_dict("records")):
        view.add_row(
            f"{row['trial']}{_origin(row['origin'])}",
            *("" if pd.isna(row[name]) else str(row[name]) for name in labels),
            str(row["state"]),
            _score(row["score"]),
            *(_score(row[name]) for name in classes),
            f"{row['best_epoch']:.0f}/{row['epochs']}" if row["epochs"] else "–",
            as_clock(row["seconds"]),
            *([_settings({name: row[name] for name in knobs})] if settings else []),
            style="green" if place == 0 and row["epochs"] else "",
        )
    more = f"{len(table) - rows} more in leaderboard.csv. " if len(table) > rows else ""
    view.caption = f"{more}{MEANING}" if "loss" not in study.metric.name else more
    view.caption_justify = "left"
    return view


def _title(study: StudyFile, table: pd.DataFrame) -> str:
    demo = ", PHANTOMS" if study.data.layout in PHANTOM_LAYOUTS else ""
    cases = f"{table['num_cases'].max():.0f} " if "num_cases" in table else ""
    where = ""
    if study.folds:  # they differ in size
        cases = "the "
        where = " THAT IT WAS TRAINED ON" if study.folds == "all" else " of its fold"
    best = f"{study.name}: best {study.metric.name} per trial on {cases}validation cases"
    return f"{best}{where}{demo}"


def _origin(origin: str) -> str:
    """What is worth knowing of where a trial came from."""
    return f" {origin}" if origin == "default" or origin.startswith("extends") else ""


def _refusals(entries: Sequence[Entry]) -> list[str]:
    """Why proposals were never started, the commonest reason in full."""
    reasons = [entry.reason for entry in entries if entry.state == "FAIL" and not entry.started]
    if not reasons:
        return []
    many = "1 proposal was" if len(reasons) == 1 else f"{len(reasons)} proposals were"
    return [f"{many} never started, the last as {reasons[-1]}"]


def count_states(entries: Sequence[Entry], *, held: bool = True) -> str:
    """How many trials ended which way, in words.

    Args:
        entries: All trials.
        held: Is a process at work? Without one, nothing is running.

    Returns:
        Such as ``5 complete, 3 pruned``.
    """
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    words["RUNNING"] = "running" if held else "unfinished"
    states = [entry.state for entry in entries if entry.started]
    parts = [f"{states.count(s)} {word}" for s, word in words.items() if s in states]
    refused = sum(entry.state == "FAIL" and not entry.started for entry in entries)
    return ", ".join([*parts, f"{refused} cannot fit"] if refused else parts)


def say_older(older: Sequence[Entry]) -> str:
    """Name the trials that the study file no longer asks for.

    Args:
        older: From :func:`tune.report.older_entries`.

    Returns:
        A part of a sentence.
    """
    trials = "1 older trial" if len(older) == 1 else f"{len(older)} older trials"
    return f"{trials} of settings that are no longer in the study file"


def _winner(study: StudyFile, best: Entry, entries: Sequence[Entry]) -> str:
    """The best trial in words, and what it gained over the default recipe."""
    row = best_row(study, best) or {}
    text = f"best: trial {best.number}, {study.metric.name} {row['score']:.4f} at epoch "
    text += f"{row['epoch']:.0f}"
    default = next((entry for entry in entries if entry.origin == "default"), None)
    ended = default is not None and default.state == "COMPLETE"
    reference = best_row(study, default) if default is not None and ended else None
    if reference is not None and default is not best:
        gain = row["score"] - reference["score"]
        text += f", {gain:+.4f} against the default recipe"
        if default is not None and len(default.rows) != len(best.rows):
            text += f" (of {len(default.rows)} epochs, not {len(best.rows)})"
    if default is not None and not default.started and default.state == "FAIL":
        text += "; what tuning gained is not known, as the default recipe is "
        text += default.reason
    return f"{text}\n  {_settings(best.values)}"


def _winning_point(study: StudyFile, best: PointScore) -> str:
    """The best row of a grid in words: by its mean, so that no lucky seed wins."""
    name = f"point {best.name}" if best.name else "the row"
    scores = [f"{best.scores[seed]:.4f}" for seed in study.seeds if seed in best.scores]
    text = f"best: {name}, {study.metric.name} {best.mean:.4f}"
    if len(scores) > 1:
        text += f" as the mean of {len(scores)} seeds ({', '.join(scores)}); "
        text += "the mean decides, not the luckiest seed"
    return f"{text}\n  {_settings(best.values)}"


def _settings(values: Mapping[str, Any]) -> str:
    known = {name: value for name, value in values.items() if value == value and value is not None}
    return ", ".join(f"{name} {_brief(value)}" for name, value in known.items())


def _brief(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _score(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"


def as_clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
