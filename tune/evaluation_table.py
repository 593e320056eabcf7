"""The table at the end of an evaluation: a row per class, with an interval over patients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from seglib.evaluate import SURFACE_TOLERANCE
from seglib.metrics import METRICS, Scores
from tune.reporting.words import count

__all__ = ["FEWEST_PATIENTS", "build_table", "dice_interval", "explain", "surface_means"]

FEWEST_PATIENTS = 6
"""With fewer an interval over patients would promise what they cannot tell."""

_NUM_DRAWS = 4000
_NONE = "-"


def build_table(scores: Scores, per_case: pd.DataFrame) -> Table:
    """One row per class, and their mean where there are several.

    Args:
        scores: Means over cases.
        per_case: With the column ``patient`` beside those of ``source_scores.COLUMNS``.

    Returns:
        The table.
    """
    unit = _unit(per_case)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("class", overflow="fold")
    overlap = ("dice", "95 %", "iou", "prec.", "recall")
    for name in (*overlap, f"hd95\n{unit}", "surface\ndice", "cases\nwith it"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in scores.per_class.items():
        own = per_case[per_case["class"] == name]
        table.add_row(Text(name), *_cells(row, own, dice_interval(own)))
    if len(scores.per_class) > 1:
        means = {name: getattr(scores, name) for name in METRICS}
        cells = _cells(means, per_case, dice_interval(per_case))
        table.add_row(Text("mean"), *cells[:-1], "", style="bold")
    return table


def dice_interval(per_case: pd.DataFrame) -> tuple[float, float]:
    """What the mean Dice might have been with other patients: a bootstrap over patients.

    All cases of a patient are drawn together. The mean is over cases, then over classes.

    Args:
        per_case: Rows of one class or of several.

    Returns:
        The 2.5 % and 97.5 % percentiles; NaN with fewer than ``FEWEST_PATIENTS`` patients.
    """
    held = per_case.groupby("class")[["tp", "fn"]].transform("sum").sum(axis=1) > 0
    counted = per_case[per_case["dice"].notna() & held]
    if counted["patient"].nunique() < FEWEST_PATIENTS:
        return math.nan, math.nan
    grouped = counted.groupby(["patient", "class"])["dice"].agg(["sum", "count"]).unstack("class")
    sums = grouped["sum"].fillna(0.0).to_numpy(np.float64)
    counts = grouped["count"].fillna(0.0).to_numpy(np.float64)
    number = len(sums)
    draws = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), _NUM_DRAWS)
    return _percentiles(draws @ sums, draws @ counts)


def surface_means(per_case: pd.DataFrame) -> tuple[float, float, int]:
    """Mean HD95 and surface Dice over the cases that hold a class, and then over classes.

    A case in which a class was not found at all has no finite HD95: it is counted as missed.

    Args:
        per_case: Rows of one class or of several.

    Returns:
        HD95, surface Dice, and how often a class was missed.
    """
    held = per_case[per_case["tp"] + per_case["fn"] > 0]
    found = held[["class", "hd95", "surface_dice"]].replace(np.inf, np.nan)
    means = found.groupby("class").mean().mean()
    missed = int(np.isinf(held["hd95"]).sum())
    hd95 = math.nan if per_case["unit"].nunique() > 1 else float(means["hd95"])
    return hd95, float(means["surface_dice"]), missed


def explain(scores: Scores, per_case: pd.DataFrame) -> list[str]:
    """What must be known to read the table.

    Args:
        scores: Means over cases.
        per_case: As for :func:`build_table`.

    Returns:
        Sentences.
    """
    patients, cases = per_case["patient"].nunique(), scores.num_cases
    said = [
        f"{count(patients, 'patient')}, {count(cases, 'case')}; each case scored whole, at its "
        "own resolution; means over cases, then over classes; background never counts.",
        _of_lengths(per_case),
        "Empty masks: a class that a case's truth lacks is not counted where nothing is marked, "
        "and is a 0 where something is.",
        *_missed(per_case),
        *_false_alarms(scores, per_case),
    ]
    if patients < FEWEST_PATIENTS:
        said.insert(1, f"With fewer than {FEWEST_PATIENTS} patients no interval is given.")
    else:
        said.insert(
            1, "95 %: where the mean Dice may lie for other patients like these (bootstrap)."
        )
    return said


def _cells(
    row: Mapping[str, float], per_case: pd.DataFrame, interval: tuple[float, float]
) -> list[str]:
    hd95, surface_dice, _ = surface_means(per_case)
    held = int((per_case["tp"] + per_case["fn"] > 0).sum())
    between = _NONE if math.isnan(interval[0]) else f"{interval[0]:.3f}-{interval[1]:.3f}"
    return [
        _shown(row["dice"]),
        between,
        *(_shown(row[name]) for name in METRICS[1:]),
        _shown(hd95, digits=1),
        _shown(surface_dice),
        f"{held}/{len(per_case)}",
    ]


def _percentiles(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float]:
    """Ends of the interval from draws; a class that a draw lacks is left out of its mean."""
    known = counts > 0
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=known).sum(axis=1)
    drawn = means[known.any(axis=1)] / known.sum(axis=1)[known.any(axis=1)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _unit(per_case: pd.DataFrame) -> str:
    units = per_case["unit"].unique()
    return str(units[0]) if len(units) == 1 else ""


def _of_lengths(per_case: pd.DataFrame) -> str:
    units = set(per_case["unit"])
    if units == {"px"}:
        return (
            f"No file tells how large a pixel is: distances are in pixels, and slices count as one "
            f"pixel apart. {_tolerance('pixels')}"
        )
    if units == {"mm"}:
        return f"Distances are in mm, from the spacing in the files. {_tolerance('mm')}"
    return (
        "Some files tell no spacing: there is no mean distance over mm and pixels. "
        + _tolerance("mm or pixels")
    )


def _tolerance(unit: str) -> str:
    return f"Surface Dice counts what is within {SURFACE_TOLERANCE:g} {unit}."


def _missed(per_case: pd.DataFrame) -> list[str]:
    """Cases in which a class was not found at all, and so has no distance."""
    said = []
    for name, own in per_case.groupby("class", sort=False):
        _, _, missed = surface_means(own)
        if missed:
            said.append(f"Missed: {name} in {count(missed, 'case')} that have it; not in hd95.")
    return said


def _false_alarms(scores: Scores, per_case: pd.DataFrame) -> list[str]:
    """Classes marked in cases that lack them."""
    said = []
    for name, number in scores.false_positive_cases.items():
        own = per_case[per_case["class"] == name]
        lacking = int((own["tp"] + own["fn"] == 0).sum())
        if lacking:
            voxels = scores.false_positive_voxels[name]
            said.append(
                f"False alarms: {name} in {number} of {count(lacking, 'case')} without it"
                + (f" ({voxels:,} voxels)." if number else ".")
            )
    return said


def _shown(value: float, *, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else _NONE
