from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.tune.reporting.runs import of_patients
from tests.tune.reporting.test_ablation import point
from tune.reporting.ablation import Effect, find_effects
from tune.reporting.evidence import RunData
from tune.reporting.words import (
    describe_curves,
    say_curves,
    say_effects,
    say_lead,
    say_published,
    say_spread,
)


@pytest.fixture
def effect() -> Effect:
    return find_effects([point("a", 0.8, loss="bce"), point("b", 0.9, loss="dice")]).effects[0]


def test_all_comparisons_are_counted(effect: Effect) -> None:
    blank = replace(effect, interval=replace(effect.interval, low=-1.0, p=0.3), p_holm=0.6)
    lucky = replace(effect, p_holm=0.06)
    assert say_effects([blank]) == "1 comparison; it does not differ from 0 (95 %)."
    assert say_effects([effect]) == (
        "1 comparison; it differs from 0 (95 %), also after Holm's correction for 1."
    )
    assert say_effects([blank, blank]) == "2 comparisons; none differs from 0 (95 %)."
    assert say_effects([blank, lucky, effect]) == (
        "3 comparisons; 2 differ from 0 (95 %), 1 of them also after Holm's correction for 3."
    )
    assert "1 differs from 0 (95 %), but not after" in say_effects([blank, lucky])


def test_lead_counts_trials_and_names_the_best_point(
    task_data: RunData, suite_data: tuple[RunData, ...]
) -> None:
    lead = say_lead([task_data], [])
    assert lead.startswith(
        "2 points, 6 of 6 trials complete. Highest Dice after the last epoch: 0."
    )
    assert lead.endswith("(1b).")
    assert say_lead(suite_data, []) == "4 points in 2 studies, 12 of 12 trials complete."


def test_curves_are_told_to_those_who_cannot_see_them(task_data: RunData) -> None:
    said = describe_curves(task_data.points[0])
    assert said.startswith("Learning curves of 1a, 3 trials; after 3 epochs: training loss 0.")
    assert re.search(r"validation Dice 0\.[67]\d\d$", said)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ([{}, {}], "Dashed: training; solid: validation."),
        ([{"dropout": 0.5}] * 2, "training, with dropout; solid: validation, always without."),
        (
            [{"dropout": 0.5, "zoom": 0.1}, {"dropout": 0.5}],
            "training, on augmented images (where the point has them) and with dropout; solid",
        ),
    ],
)
def test_curves_are_explained_by_what_the_recipes_have(
    task_data: RunData, knobs: list[dict[str, float]], said: str
) -> None:
    points = [
        replace(each, recipe={**each.recipe, "dropout": 0.0, **more})
        for each, more in zip(task_data.points, knobs, strict=True)
    ]
    assert said in say_curves([replace(task_data, points=tuple(points))])


def test_seeds_behind_a_spread_are_counted(task_data: RunData, partial_data: RunData) -> None:
    assert say_spread([task_data]) == "± SD over 3 seeds"
    assert say_spread([partial_data]) == ""
    assert say_spread([task_data, partial_data]) == "± SD over seeds"


def test_published_scores_are_not_held_against_phantoms(task_data: RunData) -> None:
    assert say_published([task_data]) == [
        "Published scores: not shown, as phantoms' scores beside patients' scores would compare "
        "nothing."
    ]
    assert say_published([of_patients(task_data)]) == [
        "Published scores: four groups, split by slice"
    ]
