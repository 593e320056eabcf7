"""The tables of a report as rows of text: for the page and for the terminal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pydantic import ValidationError

from seglib.cost import count_parameters
from seglib.errors import InfeasibleError
from seglib.recipe import Recipe
from tune.leaderboard import as_clock
from tune.report import best_row
from tune.reporting.evidence import PointData, RunData, TrialData

__all__ = [
    "ALL",
    "NONE",
    "OVERLAP",
    "PointRow",
    "as_memory",
    "last_dice",
    "last_figures",
    "num_parameters",
    "point_rows",
    "say_spreads",
]

NONE = "–"
OVERLAP = ("dice", "precision", "recall")
SURFACE = ("hd95", "surface_dice")
ALL = ""  # the mean over classes, beside the classes' names


@dataclass(frozen=True)
class PointRow:
    """A line of the main table: a point, or one class of the point above.

    Args:
        point: Name of the point; empty in the line of a class.
        part: Name of the class; empty in the line of a point.
        settings: What tells the point from the others.
        trials: How many of its trials are complete.
        finished: Is there one?
        last: Dice after the last epoch.
        best: Dice of the best epoch, chosen on the cases that score it.
        precision: After the last epoch.
        recall: After the last epoch.
        hd95: After the last epoch, in the data's unit.
        surface_dice: After the last epoch.
        missed: In how many cases no distance is finite, as the organ was not found at
            all; they are not in the mean of ``hd95``. Empty if in none.
        seconds: Time of a trial.
        memory: Largest of its trials.
        parameters: Of the network.
        published: What others reached, in their words; not beside phantoms, which
            compare with nothing.
    """

    point: str
    part: str
    settings: str
    trials: str
    finished: bool
    last: str
    best: str
    precision: str
    recall: str
    hd95: str
    surface_dice: str
    missed: str
    seconds: str = ""
    memory: str = ""
    parameters: str = ""
    published: str = ""


def point_rows(run: RunData) -> list[PointRow]:
    """The main table: a line per point, and one per class where there are several.

    Args:
        run: The run.

    Returns:
        The lines in the order of a grid; of another search, the best first.
    """
    rows = []
    for point in _order(run):
        # until one is complete, what there is so far
        scored = point.complete or [trial for trial in point.trials if trial.entry.rows]
        last = _last_of_seeds(point.complete)
        rows.append(_point_row(run, point, scored, last))
        classes = list(dict.fromkeys(name for figures in last for name in figures if name != ALL))
        rows += [_class_row(name, last) for name in classes if len(classes) > 1]
    return rows


def num_parameters(run: RunData, recipe: Mapping[str, object]) -> int | None:
    """Count the weights of a recipe's network.

    Args:
        run: Says what goes in and what comes out.
        recipe: All knobs.

    Returns:
        Exactly, where the data and the recipe are of a kind that this version knows.
    """
    channels, num_logits = run.data.get("channels"), run.data.get("num_logits")
    if channels is None or num_logits is None:
        return None
    try:
        known = Recipe.model_validate(recipe)
        num_channels = len(known.seen_channels(channels))
    except (ValidationError, InfeasibleError):
        return None
    return count_parameters(known, num_channels=num_channels, num_logits=num_logits)


def last_dice(point: PointData) -> float:
    """Dice after the last epoch: mean over cases, classes and seeds.

    Args:
        point: The point.

    Returns:
        The figure of the main table; NaN without a complete trial.
    """
    return _mean([figures[ALL]["dice"] for figures in _last_of_seeds(point.complete)])


def as_memory(megabytes: float) -> str:
    """``512 MB`` or ``1.2 GB``."""
    if not math.isfinite(megabytes):
        return NONE
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def _order(run: RunData) -> Sequence[PointData]:
    if run.study.method == "grid":
        return run.points

    def rank(point: PointData) -> tuple[bool, float]:
        """Those with a complete trial before the others; each by Dice, the last or the best."""
        last = [figures[ALL]["dice"] for figures in _last_of_seeds(point.complete)]
        rows = [row.get("dice", 0.0) for trial in point.trials for row in trial.entry.rows]
        return bool(last), max(last or rows, default=0.0)

    return sorted(run.points, key=rank, reverse=True)


def _by_seed(trials: Sequence[TrialData]) -> list[list[TrialData]]:
    """Each trial by itself; with folds those of a seed together, who share no patient."""
    if not any(isinstance(trial.entry.fold, int) for trial in trials):
        return [[trial] for trial in trials]
    parts: dict[int, list[TrialData]] = {}
    for trial in trials:
        parts.setdefault(trial.column, []).append(trial)
    return list(parts.values())


def _last_of_seeds(trials: Sequence[TrialData]) -> list[dict[str, dict[str, float]]]:
    """Figures after the last epoch of each seed, with folds over the cases of all of them."""
    found = []
    for part in _by_seed(trials):
        finals = [trial.final for trial in part if trial.final is not None]
        whole = pd.concat(finals, ignore_index=True) if len(finals) > 1 else part[0].final
        found.append(last_figures(replace(part[0], final=whole)))
    return found


def _point_row(
    run: RunData,
    point: PointData,
    scored: list[TrialData],
    last: list[dict[str, dict[str, float]]],
) -> PointRow:
    best = [
        _mean([(best_row(run.study, trial.entry) or {}).get("dice", math.nan) for trial in part])
        for part in _by_seed(scored)
    ]
    memory = [row["peak_memory_mb"] for trial in scored for row in trial.entry.rows]
    seconds = [trial.seconds for trial in point.complete]
    count = num_parameters(run, point.recipe)
    return PointRow(
        point=point.name,
        part="",
        settings=_settings(point),
        trials=_count_trials(run, point),
        finished=bool(point.complete),
        best=_spread(best),
        **_cells([figures[ALL] for figures in last]),
        seconds=as_clock(statistics.fmean(seconds)) if seconds else NONE,
        memory=as_memory(max(memory, default=math.nan)),
        parameters=NONE if count is None else f"{count:,}",
        published=NONE if run.phantom else run.study.published.scores.get(point.name, NONE),
    )


def _settings(point: PointData) -> str:
    """What tells the point from the others, unless that is its name."""
    text = ", ".join(f"{factor} {level}" for factor, level in point.settings.items())
    return "" if text == point.name else text


def _class_row(name: str, last: list[dict[str, dict[str, float]]]) -> PointRow:
    cells = _cells([figures[name] for figures in last if name in figures])
    return PointRow("", name, "", "", finished=True, best="", **cells)


def _cells(figures: list[dict[str, float]]) -> dict[str, str]:
    last, precision, recall, surface_dice = say_spreads(figures, (*OVERLAP, "surface_dice"))
    missed = sum(found.get("missed", 0.0) for found in figures)
    distances = [found.get("hd95", math.nan) for found in figures]
    return {
        "last": last,
        "precision": precision,
        "recall": recall,
        "hd95": _spread(distances, digits=1),
        "surface_dice": surface_dice,
        "missed": f"{missed:.0f} missed" if missed else "",
    }


def last_figures(trial: TrialData) -> dict[str, dict[str, float]]:
    """Class -> figure -> mean over cases, after the last epoch; and their mean over classes.

    The rule is that of :mod:`seglib.metrics`: a class that no case's truth holds has
    no figure.

    Args:
        trial: A trial with an epoch.

    Returns:
        The mean over classes has the name :data:`ALL`.
    """
    if trial.final is None:
        return {ALL: {name: trial.entry.rows[-1].get(name, math.nan) for name in OVERLAP}}
    table = trial.final
    columns = [name for name in (*OVERLAP, *SURFACE) if name in table]
    held = table[table["tp"] + table["fn"] > 0]
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(held["class"]):
        # a false alarm in an empty case is a 0 in these means, but its distance is infinite
        part = table[table["class"] == name].replace([np.inf, -np.inf], np.nan)
        found[name] = {column: float(part[column].mean()) for column in columns}
        if "hd95" in held:
            found[name]["missed"] = float(np.isinf(held["hd95"][held["class"] == name]).sum())
    parts = list(found.values())
    whole = {column: _mean([part[column] for part in parts]) for column in columns}
    whole["missed"] = sum(part.get("missed", 0.0) for part in parts)
    return {ALL: whole, **found}


def _count_trials(run: RunData, point: PointData) -> str:
    planned = max(len(run.study.trainings), len(point.trials))
    states = [trial.entry.state for trial in point.trials]
    if states == ["PRUNED"]:
        return f"stopped at epoch {len(point.trials[0].entry.rows)}"
    text = f"{len(point.complete)} of {planned}"
    words = {"RUNNING": "unfinished", "FAIL": "failed", "PRUNED": "stopped"}
    more = [f"{states.count(state)} {word}" for state, word in words.items() if state in states]
    return f"{text} ({', '.join(more)})" if more else text


def say_spreads(
    figures: Sequence[Mapping[str, float]], names: Iterable[str], *, digits: int = 3
) -> tuple[str, ...]:
    """Mean and standard deviation of each figure.

    Args:
        figures: Of each trial.
        names: Which figures.
        digits: After the point.

    Returns:
        A text for each name; a dash where no trial has the figure.
    """
    columns = ([found.get(name, math.nan) for found in figures] for name in names)
    return tuple(_spread(column, digits=digits) for column in columns)


def _spread(values: Sequence[float], *, digits: int = 3) -> str:
    """Mean over the trials, and their standard deviation where there are several."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return NONE
    mean = f"{statistics.fmean(known):.{digits}f}"
    return f"{mean} ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else mean


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return statistics.fmean(known) if known else math.nan
