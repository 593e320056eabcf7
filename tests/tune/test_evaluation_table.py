"""Means, intervals and sentences under a table of cases."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from seglib.metrics import Scores
from seglib.source_scores import Grid, SourceTally
from tests.references import bootstrap_of_means
from tests.seglib.networks_of_chance import LUNGS
from tune.evaluation_table import (
    FEWEST_PATIENTS,
    build_table,
    dice_interval,
    explain,
    surface_means,
)


def scored(num_patients: int, *, located: bool = True) -> tuple[Scores, pd.DataFrame]:
    """Two cases a patient; the right lung is missing in some, and missed in others."""
    rng, tally = np.random.default_rng(0), SourceTally(LUNGS)
    for number in range(2 * num_patients):
        true, pred = (rng.random((3, 2, 8, 8)) < 0.5 for _ in range(2))
        true[:, 1] &= number % 3 > 0
        pred[:, 1] &= number % 5 > 0
        tally.update(f"case{number:02d}", pred, true, Grid((2.0, 1.0, 1.0), located))
    scores, table = tally.scores()
    table.insert(1, "patient", [f"p{int(case[4:]) // 2}" for case in table["case"]])
    return scores, table


def test_interval_is_that_of_the_slow_way() -> None:
    _, table = scored(7)
    patients = sorted(table["patient"].unique())
    times = np.random.default_rng(0).multinomial(7, np.full(7, 1 / 7), 4000)
    draws = [dict(zip(patients, row.tolist(), strict=True)) for row in times]
    dice = table.set_index(["patient", "case", "class"])["dice"].to_dict()
    wanted = np.percentile(bootstrap_of_means(dice, draws), (2.5, 97.5))
    assert dice_interval(table) == pytest.approx(wanted)
    means = table.groupby("class")["dice"].mean()
    assert wanted[0] < float(means.mean()) < wanted[1]


def test_few_patients_have_no_interval() -> None:
    _, table = scored(FEWEST_PATIENTS - 1)
    assert all(map(math.isnan, dice_interval(table)))
    assert not any(map(math.isnan, dice_interval(scored(FEWEST_PATIENTS)[1])))


def test_a_missed_class_has_no_distance_and_is_counted() -> None:
    _, table = scored(6)
    right = table[table["class"] == "right_lung"]
    hd95, surface_dice, missed = surface_means(right)
    held = right[right["tp"] + right["fn"] > 0]
    assert missed == np.isinf(held["hd95"]).sum() == 2
    assert hd95 == pytest.approx(held["hd95"][np.isfinite(held["hd95"])].mean())
    assert surface_dice == pytest.approx(held["surface_dice"].mean())


def test_millimetres_and_pixels_have_no_mean() -> None:
    both = pd.concat([scored(2)[1], scored(2, located=False)[1]])
    assert math.isnan(surface_means(both)[0])
    assert surface_means(both)[1] > 0


def test_table_fits_a_narrow_terminal_and_says_how_it_is_read() -> None:
    scores, table = scored(6, located=False)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(build_table(scores, table))
    lines = capture.get().splitlines()
    (mean,) = (line.split() for line in lines if line.split()[:1] == ["mean"])
    assert mean[1] == f"{scores.dice:.3f}"
    (right,) = (line.split() for line in lines if line.split()[:1] == ["right_lung"])
    assert right[-1] == "8/12"
    assert "px" in lines[2]
    text = "\n".join(explain(scores, table))
    assert "6 patients, 12 cases" in text
    assert "distances are in pixels" in text
    assert "Empty masks: a class that a case's truth lacks is not counted" in text
    assert "Missed: right_lung in 2 cases" in text
    assert "False alarms: right_lung in 3 of 4 cases without it" in text
