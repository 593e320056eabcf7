from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tune.reporting.test_ablation import point
from tune.reporting.ablation import Effect, find_effects
from tune.reporting.comparisons import compare
from tune.reporting.evidence import RunData, gather
from tune.reporting.methods import say_methods, say_versions
from tune.run_directory import RunDirectory
from tune.study_file import load_study


@pytest.fixture
def effect() -> Effect:
    return find_effects([point("a", 0.8, loss="bce"), point("b", 0.9, loss="dice")]).effects[0]


def test_methods_have_the_numbers_of_the_run(task_data: RunData) -> None:
    runs = [task_data]
    effects = [effect for block in compare(runs) for effect in block.effects]
    said = " ".join(say_methods(runs, effects))
    assert "Each recipe was trained 3 times, once under each seed, for 3 epochs on 2 cases" in said
    assert "scored on 4 cases" in said
    assert "2 cases stay locked away" in said
    assert "1 comparison" in said
    assert "one seed" not in said
    assert "within the same seed" in said


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        ((0, 1), "under each seed with each of 2 folds, for 3 epochs; each fold of 6 cases ("),
        ("all", "for 3 epochs on 6 cases (27 slices of 6 patients), and scored on 4 cases ("),
    ],
)
def test_what_folds_train_and_score_on_is_told(
    task_data: RunData, folds: tuple[int, ...] | str, said: str
) -> None:
    study = replace(task_data.study, folds=folds)
    run = replace(task_data, view=replace(task_data.view, study=study))
    assert said in say_methods([run], [])[0]


def test_trainings_with_seeds_of_their_own_are_not_called_paired(
    study_path: Path, effect: Effect
) -> None:
    run = RunDirectory(study_path.parent / "run")
    study = load_study(study_path, demo=False)
    run.settle_study(study)
    run.settle_storage(None)
    assert "Each training had a seed of its own" in say_methods(gather(run.path), [effect])[-1]


def test_one_seed_is_said_to_tell_nothing_of_another_training(task_data: RunData) -> None:
    single = find_effects(
        [point("a", 0.8, seeds=1, loss="bce"), point("b", 0.9, seeds=1, loss="dice")]
    ).effects
    assert "nothing about another training" in say_methods([task_data], single)[-1]


def test_versions_are_told_once_for_runs_that_share_them(suite_data: tuple[RunData, ...]) -> None:
    said = say_versions(suite_data)
    assert said.count("torch ") == 1
    assert "Python 3." in said
