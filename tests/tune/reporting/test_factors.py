from __future__ import annotations

from typing import Any

import pytest

from seglib.recipe import Recipe
from tune.reporting.factors import describe_points, differ_in, is_augmented, order_levels

AUGMENTED = {"rotation_deg": 10.0, "zoom": 0.2}


def recipe(**knobs: Any) -> dict[str, Any]:
    return Recipe(**knobs).model_dump()


def test_all_knobs_of_augmentation_are_one_factor() -> None:
    told = describe_points([recipe(), recipe(**AUGMENTED)])
    assert told == [{"augmentation": "none"}, {"augmentation": "on"}]


def test_augmentation_is_any_of_its_knobs() -> None:
    assert not is_augmented(recipe())
    assert is_augmented(recipe(flip_horizontal=True))


def test_two_ways_of_augmentation_are_told_apart() -> None:
    told = describe_points([recipe(), recipe(**AUGMENTED), recipe(shift=0.1)])
    levels = [settings["augmentation"] for settings in told]
    assert levels == ["none", "rotation deg 10, zoom 0.2", "shift 0.1"]


def test_loss_and_its_own_knobs_are_one_factor() -> None:
    told = describe_points([recipe(loss="tversky"), recipe(loss="tversky", tversky_alpha=0.5)])
    assert told == [{"loss": "tversky alpha 0.3"}, {"loss": "tversky alpha 0.5"}]
    told = describe_points([recipe(loss="bce"), recipe(loss="tversky", tversky_alpha=0.5)])
    assert told[1] == {"loss": "tversky, tversky alpha 0.5"}


def test_what_is_the_same_in_all_is_not_told() -> None:
    assert describe_points([recipe(), recipe()]) == [{}, {}]
    assert describe_points([]) == []


def test_switches_and_numbers_are_words() -> None:
    told = describe_points([recipe(residual=True), recipe(learning_rate=1e-4)])
    assert told == [
        {"residual": "on", "learning_rate": "0.001"},
        {"residual": "off", "learning_rate": "0.0001"},
    ]


@pytest.mark.parametrize(
    ("factor", "knobs", "order"),
    [
        ("base_filters", [{"base_filters": 32}, {"base_filters": 8}], ["8", "32"]),
        ("learning_rate", [{"learning_rate": 1e-2}, {"learning_rate": 1e-4}], ["0.0001", "0.01"]),
        ("residual", [{"residual": True}, {}], ["off", "on"]),
        ("augmentation", [AUGMENTED, {}], ["none", "on"]),
        ("norm", [{"norm": "none"}, {"norm": "batch"}, {"norm": "none"}], ["none", "batch"]),
        ("loss", [{"loss": "dice"}, {"loss": "bce"}], ["dice", "bce"]),
    ],
)
def test_change_is_told_from_less_to_more(
    factor: str, knobs: list[dict[str, Any]], order: list[str]
) -> None:
    recipes = [recipe(**each) for each in knobs]
    levels = [settings[factor] for settings in describe_points(recipes)]
    assert order_levels(factor, recipes, levels) == order
    assert differ_in(factor, recipes[0], recipes[1])
