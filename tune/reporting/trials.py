"""The leaderboard as the page has it: every trial, best first, with an interval over cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tune.domains import show
from tune.leaderboard import as_clock
from tune.report import best_row
from tune.reporting.evidence import PointData, RunData, TrialData
from tune.reporting.factors import in_words
from tune.reporting.intervals import Interval, class_mean_interval
from tune.reporting.tables import NONE, as_memory, num_parameters

__all__ = ["Leaderboard", "Setting", "TrialLine", "list_trials"]

_NO_INTERVAL = Interval(math.nan, math.nan, math.nan, math.nan)
_PER_CASE = ("dice", "iou", "precision", "recall")
_SAME = 1e-3  # a table of cases may be an epoch older than the ledger
_STATES = {"COMPLETE": "complete", "PRUNED": "stopped", "RUNNING": "in training", "FAIL": "failed"}


@dataclass(frozen=True)
class Setting:
    """One searched parameter of one trial.

    Args:
        text: As a person would write it; a dash where it does not count.
        key: What it is sorted by.
    """

    text: str
    key: float | str


@dataclass(frozen=True)
class TrialLine:
    """A line of the leaderboard.

    Args:
        number: Of the trial.
        name: Of its point and seed, or where it came from; may be empty.
        state: In a word.
        rank: From 1; 0 without a score.
        score: Of its best epoch; NaN without one.
        interval: For other cases; NaN ends where no table of cases belongs to the score.
        last: Score of its last epoch.
        best_epoch: Counted from 1; 0 without one.
        epochs: How many it trained.
        planned: How many it was to train.
        seconds: Of all its epochs.
        memory_mb: The most that it took; NaN before the first epoch.
        parameters: Of its network; None where that is not known.
        settings: Of each parameter that the leaderboard has a column for.
    """

    number: int
    name: str
    state: str
    rank: int
    score: float
    interval: Interval
    last: float
    best_epoch: int
    epochs: int
    planned: int
    seconds: float
    memory_mb: float
    parameters: int | None
    settings: tuple[Setting, ...]

    @property
    def is_complete(self) -> bool:
        """Did it train to its end?"""
        return self.state == _STATES["COMPLETE"]

    @property
    def clock(self) -> str:
        """Its time as hours, minutes and seconds."""
        return as_clock(self.seconds) if self.epochs else NONE

    @property
    def memory(self) -> str:
        """Its memory with a unit."""
        return as_memory(self.memory_mb)


@dataclass(frozen=True)
class Leaderboard:
    """All trials of a run.

    Args:
        lines: Best first, those without a score last.
        columns: The searched parameters that differ between trials, in words.
        metric: What the score is.
        num_cases: Cases behind the scores; 0 where none is known.
        ends: Smallest and largest score of the intervals, for drawing them.
        minimise: Is less better?
        num_folds: On whose cases trials were scored, each on those of its own.
    """

    lines: tuple[TrialLine, ...]
    columns: tuple[str, ...]
    metric: str
    num_cases: int
    ends: tuple[float, float]
    minimise: bool
    num_folds: int

    def place(self, value: float) -> float:
        """Where a score lies between the ends, in percent."""
        low, high = self.ends
        return 100 * min(1.0, max(0.0, (value - low) / (high - low)))


def list_trials(run: RunData) -> Leaderboard:
    """All trials that began.

    Args:
        run: The run.

    Returns:
        The leaderboard; it has no lines before the first trial.
    """
    pairs = [(point, trial) for point in run.points for trial in point.trials]
    names = _varying(run, [trial for _, trial in pairs])
    lines = [_line(run, point, trial, names) for point, trial in pairs]
    minimise = run.study.metric.goal == "minimize"
    scored = sorted(
        (line for line in lines if not math.isnan(line.score)),
        key=lambda line: (line.score if minimise else -line.score, line.number),
    )
    bare = [line for line in lines if math.isnan(line.score)]
    ranked = [_ranked(line, rank) for rank, line in enumerate(scored, start=1)]
    cases = [len(set(t.best["case"])) for _, t in pairs if t.best is not None]
    return Leaderboard(
        lines=(*ranked, *bare),
        columns=tuple(map(in_words, names)),
        metric=run.study.metric.name,
        num_cases=max(cases, default=0),
        ends=_ends(scored),
        minimise=minimise,
        num_folds=len(run.study.parts),
    )


def _ranked(line: TrialLine, rank: int) -> TrialLine:
    return TrialLine(**{**vars(line), "rank": rank})


def _varying(run: RunData, trials: list[TrialData]) -> list[str]:
    """The searched parameters that are not the same in all trials."""
    return [
        name
        for name in run.study.space.names
        if len({str(trial.entry.values.get(name)) for trial in trials}) > 1
    ]


def _line(run: RunData, point: PointData, trial: TrialData, names: list[str]) -> TrialLine:
    entry, best = trial.entry, best_row(run.study, trial.entry) or {}
    rows = entry.rows
    score = float(best.get("score", math.nan))
    return TrialLine(
        number=entry.number,
        name=_name(point, trial),
        state="unfinished" if entry.state == "RUNNING" and not run.view.held
        else _STATES.get(entry.state, entry.state.lower()),
        rank=0,
        score=score,
        interval=_interval(run.study.metric.name, trial.best, score),
        last=float(rows[-1]["score"]) if rows else math.nan,
        best_epoch=int(best.get("epoch", 0)),
        epochs=len(rows),
        planned=_whole_number(entry.recipe, "epochs", len(rows)),
        seconds=trial.seconds,
        memory_mb=max((row.get("peak_memory_mb", math.nan) for row in rows), default=math.nan),
        parameters=num_parameters(run, entry.recipe),
        settings=tuple(_setting(entry.values, name) for name in names),
    )  # fmt: skip


def _whole_number(recipe: Mapping[str, Any], name: str, otherwise: int) -> int:
    """A knob that counts something; a ledger that was altered may hold anything."""
    value = recipe.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _name(point: PointData, trial: TrialData) -> str:
    entry = trial.entry
    told = [] if point.name == f"trial {entry.number}" else [point.name]
    if entry.seed is not None:
        told.append(f"seed {entry.seed}")
    if entry.fold is not None:
        told.append(f"fold {entry.fold}")
    if entry.origin in ("default", "point") and not told:
        told.append(entry.origin)
    if entry.extends is not None:
        told.append(f"went on from trial {entry.extends}")
    return ", ".join(told)


def _setting(values: Any, name: str) -> Setting:
    if name not in values:
        return Setting(NONE, "")
    value = values[name]
    text = f"{value:.3g}" if isinstance(value, float) else show(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Setting(text, float(value) if is_number else text)


def _interval(metric: str, table: pd.DataFrame | None, score: float) -> Interval:
    """From the cases of the best epoch, where they give that very score."""
    name, _, only = metric.partition("_")
    if table is None or name not in _PER_CASE or name not in table:
        return _NO_INTERVAL
    classes, cases = table["class"].to_numpy(), table["case"].to_numpy()
    held = set(classes[(table["tp"] + table["fn"]).to_numpy() > 0])
    columns = [one for one in dict.fromkeys(classes) if one in held and only in ("", one)]
    rows = {case: place for place, case in enumerate(dict.fromkeys(cases))}
    wide = np.full((len(rows), len(columns)), np.nan)  # by hand, as there may be a thousand trials
    for case, one, value in zip(cases, classes, table[name].to_numpy(np.float64), strict=True):
        if one in columns:
            wide[rows[case], columns.index(one)] = value
    found = class_mean_interval(wide)
    if not found.known or not abs(found.estimate - score) < _SAME:
        return _NO_INTERVAL
    return Interval(found.estimate, max(0.0, found.low), min(1.0, found.high), found.p)


def _ends(scored: list[TrialLine]) -> tuple[float, float]:
    values = [
        value
        for line in scored
        for value in (line.score, line.interval.low, line.interval.high)
        if not math.isnan(value)
    ]
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
