from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seglib.cost import count_parameters
from seglib.metrics import Tally
from seglib.recipe import Recipe
from seglib.target import Target
from tests.tune.reporting.runs import of_patients
from tests.tune.test_report import SCORES, fill
from tune.ledger import Ledger
from tune.reporting.evidence import RunData, gather
from tune.reporting.legacy_table import legacy_rows
from tune.reporting.tables import PointRow, as_memory, last_dice, point_rows
from tune.reporting.words import say_spread
from tune.run_directory import RunDirectory
from tune.study_file import load_study


def rows_of(run: Path) -> list[PointRow]:
    (data,) = gather(run)
    return point_rows(data)


def edit_final(run: Path, **columns: object) -> None:
    """Change the first row of trial 0's table."""
    path = run / "trials" / "0" / "final.csv"
    table = pd.read_csv(path)
    for name, value in columns.items():
        table[name] = table[name].astype(type(value))
        table.loc[0, name] = value
    table.to_csv(path, index=False)


def test_point_is_followed_by_its_classes(task_data: RunData) -> None:
    rows = point_rows(task_data)
    assert [row.point or row.part for row in rows] == [
        *("1a", "WT", "TC", "ET"),
        *("1b", "WT", "TC", "ET"),
    ]
    assert [row.part for row in rows if row.point] == ["", ""]


def test_figures_are_means_over_seeds_with_their_spread(task_data: RunData) -> None:
    first, second = (row for row in point_rows(task_data) if row.point)
    last, spread = first.last.split(" ± ")
    assert float(last) == pytest.approx(0.7, abs=0.02)
    assert float(spread) < 0.01
    assert float(second.last.split()[0]) == pytest.approx(0.8, abs=0.02)
    assert float(first.best.split()[0]) > float(last)
    assert first.hd95 == "4.0 ± 0.0"
    assert (first.seconds, first.memory, first.trials) == ("1:00", "500 MB", "3 of 3")


def test_folds_of_a_seed_are_scored_together_and_the_spread_is_that_of_seeds(
    task_data: RunData,
) -> None:
    """Folds of one and three cases: a mean over folds would be another figure."""
    point, trials = task_data.points[0], []
    for trial in point.trials:
        assert trial.final is not None
        cases = sorted(set(trial.final["case"]))
        for fold, part in enumerate((cases[:1], cases[1:])):
            final = trial.final[trial.final["case"].isin(part)]
            trials.append(replace(trial, final=final, entry=replace(trial.entry, fold=fold)))
    view = replace(task_data.view, study=replace(task_data.study, folds=(0, 1)))
    folded = replace(task_data, view=view, points=(replace(point, trials=tuple(trials)),))
    whole, first = point_rows(task_data)[0], point_rows(folded)[0]
    assert (first.last, first.best, first.recall) == (whole.last, whole.best, whole.recall)
    assert first.trials == "6 of 6"
    assert last_dice(folded.points[0]) == pytest.approx(last_dice(point))
    assert say_spread([folded]) == say_spread([task_data]) == "± SD over 3 seeds"


def test_published_scores_stand_beside_patients_alone(task: Path) -> None:
    (run,) = gather(task)
    assert [row.published for row in point_rows(run) if row.point] == ["–", "–"]
    shown = [row.published for row in point_rows(of_patients(run)) if row.point]
    assert shown == ["0.94-0.96", "–"]


def test_parameters_are_those_of_the_network(task: Path) -> None:
    recipe = Recipe(base_filters=2, depth=2, norm="batch")
    wanted = count_parameters(recipe, num_channels=4, num_logits=3)
    assert rows_of(task)[0].parameters == f"{wanted:,}"


def test_last_epoch_is_scored_by_the_rule_of_the_metrics(task: Path) -> None:
    """The same counts through Tally: false alarms, classes that no truth holds, silence."""
    target = Target(
        kind="regions", classes=("a", "b", "c"), values={0: 0, 1: 1, 2: 2, 3: 3},
        members=((1,), (2,), (3,)),
    )  # fmt: skip
    tally = Tally(target)
    true, pred = (
        torch.zeros(2, 3, 4, 4, dtype=torch.bool),
        torch.zeros(2, 3, 4, 4, dtype=torch.bool),
    )
    true[:, 0, :2], pred[:, 0, :3] = True, True
    true[0, 1, 0], pred[0, 1, 0], pred[1, 1, :2] = True, True, True  # a false alarm in p2
    pred[:, 2, 0] = True  # no truth holds it
    tally.update(pred, true, ["p1", "p2"])
    scores = tally.scores()
    for trial in (task / "trials").iterdir():
        scores.per_case.to_csv(trial / "final.csv", index=False)
    first = rows_of(task)[0]
    assert first.last == f"{scores.dice:.3f} ± 0.000"
    assert first.precision == f"{scores.precision:.3f} ± 0.000"
    assert first.recall == f"{scores.recall:.3f} ± 0.000"


def test_organ_that_was_not_found_is_counted_beside_the_distance(task: Path) -> None:
    edit_final(task, hd95=np.inf)
    first = rows_of(task)[0]
    assert first.hd95 == "4.0 ± 0.0"
    assert first.missed == "1 missed"
    assert rows_of(task)[4].missed == ""


def test_point_in_training_shows_what_there_is_so_far(partial_data: RunData) -> None:
    last = point_rows(partial_data)[-1]
    assert (last.point, last.trials, last.finished) == ("2b", "0 of 3 (1 unfinished)", False)
    assert (last.last, last.best, last.seconds, last.hd95) == ("–", "0.300", "–", "–")


def test_search_has_its_best_trial_first(study_path: Path) -> None:
    run = RunDirectory(study_path.parent / "run")
    study = load_study(study_path, demo=False)
    run.settle_study(study)
    fill(Ledger(study, run.settle_storage(None)), SCORES)
    shown = [(row.trials, row.last, row.best) for row in rows_of(run.path)]
    assert shown == [
        ("1 of 1", "0.700", "0.900"),
        ("1 of 1", "0.500", "0.600"),
        ("stopped at epoch 1", "–", "0.150"),
        ("stopped at epoch 1", "–", "0.100"),
    ]


def test_run_of_an_older_version_shows_what_the_ledger_knows(task: Path) -> None:
    for path in task.glob("trials/*/*.csv"):
        path.unlink()
    rows = rows_of(task)
    assert [row.point for row in rows] == ["1a", "1b"]
    assert rows[0].last.startswith("0.70")
    assert (rows[0].hd95, rows[0].surface_dice) == ("–", "–")


def test_legacy_figures_stand_beside_the_honest_ones(task: Path) -> None:
    (data,) = gather(task)
    first, _ = legacy_rows(data)
    assert first.point == "1a"
    assert first.honest[0][:5] == rows_of(task)[0].last[:5]
    assert first.batch == ("0.5000 ± 0.0000",) * 3
    assert first.with_background == ("0.9998 ± 0.0000",) * 3


@pytest.mark.parametrize(
    ("megabytes", "text"), [(512.4, "512 MB"), (1200, "1.2 GB"), (float("nan"), "–")]
)
def test_memory_is_told_in_its_unit(megabytes: float, text: str) -> None:
    assert as_memory(megabytes) == text
