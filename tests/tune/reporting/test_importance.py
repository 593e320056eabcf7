from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.tune.reporting.runs import SEARCH, epoch_row
from tune.entries import Entry
from tune.reporting.importance import FEWEST, Importance, rank_parameters, score_trials
from tune.study_file import StudyFile, load_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFile:
    path = tmp_path_factory.mktemp("importance") / "search.yaml"
    path.write_text(SEARCH)
    return load_study(path, demo=False)


def draw(count: int, score: Callable[[dict[str, Any]], float]) -> list[Entry]:
    dice, entries = random.Random(3), []
    for number in range(count):
        values: dict[str, Any] = {
            "learning_rate": 10 ** dice.uniform(-4, -2),
            "optimizer": dice.choice(["adamw", "sgd"]),
            "base_filters": dice.choice([2, 4]),
            "depth": 2,
            "epochs": 3,
        }
        if values["optimizer"] == "sgd":
            values["momentum"] = dice.uniform(0.8, 0.99)
        rows = [epoch_row(1, score(values))]
        entries.append(Entry(number, "COMPLETE", "sampler", values, values, rows, "", started=True))
    return entries


def told(found: tuple[Importance, ...]) -> set[str]:
    return {one.name for one in found if one.is_told}


def test_parameter_that_makes_the_score_is_found_and_first(study: StudyFile) -> None:
    entries = draw(40, lambda values: values["learning_rate"])
    found = rank_parameters(study, entries)
    assert found[0].name == "learning_rate"
    assert found[0].is_told
    assert found == rank_parameters(study, entries)  # the same every time
    assert sum(one.share for one in found) == pytest.approx(1)
    assert {one.name for one in found} == {
        "learning_rate", "optimizer", "momentum", "base_filters"
    }  # fmt: skip


def test_lower_is_better_where_the_study_says_so(study: StudyFile) -> None:
    metric = study.metric.model_copy(update={"name": "val_loss", "goal": "minimize"})
    entries = draw(3, lambda values: values["learning_rate"])
    scores = score_trials(replace(study, metric=metric), entries)
    assert max(scores, key=lambda number: scores[number]) == min(
        scores, key=lambda number: entries[number].values["learning_rate"]
    )


@pytest.mark.slow
def test_scores_of_chance_tell_of_few_parameters(study: StudyFile) -> None:
    """Each passes in one search of twenty: here four are looked at in three searches."""
    noise = random.Random(1)
    alarms = [told(rank_parameters(study, draw(20, lambda _: noise.random()))) for _ in range(3)]
    assert sum(map(len, alarms)) <= 2


def test_few_trials_or_equal_scores_tell_nothing(study: StudyFile) -> None:
    assert rank_parameters(study, draw(FEWEST - 1, lambda values: values["learning_rate"])) == ()
    assert rank_parameters(study, draw(FEWEST, lambda _: 0.5)) == ()


def test_grid_is_not_ranked(study: StudyFile) -> None:
    entries = draw(FEWEST, lambda values: values["learning_rate"])
    assert rank_parameters(replace(study, method="grid"), entries) == ()


def test_trials_outside_an_edited_space_are_left_out(study: StudyFile) -> None:
    entries = draw(FEWEST, lambda values: values["learning_rate"])
    far = replace(entries[0], values={**entries[0].values, "learning_rate": 1.0})
    assert rank_parameters(study, entries) != ()
    assert rank_parameters(study, [far, *entries[1:]]) == ()


def test_diverged_trial_is_the_worst_and_other_failures_tell_nothing(study: StudyFile) -> None:
    entries = draw(3, lambda _: 0.5)
    failed = [
        replace(entries[0], state="FAIL", reason="diverged: epoch 2"),
        replace(entries[1], state="FAIL", reason="its process died"),
        entries[2],
    ]
    assert score_trials(study, failed) == {0: float("-inf"), 2: 0.5}
