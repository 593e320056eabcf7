from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seglib.recipe import Recipe
from tests.tune.reporting.runs import final_table
from tune.reporting.ablation import Point, case_scores, find_effects

CASES = [f"c{number}" for number in range(10)]


def point(
    name: str, mean: float, *, seeds: int = 3, cases: list[str] = CASES, **knobs: Any
) -> Point:
    rng = np.random.default_rng(list(name.encode()))
    scores = mean + rng.normal(0, 0.005, (len(cases), seeds))
    table = pd.DataFrame(scores, index=cases, columns=range(seeds))
    return Point(
        name, Recipe(**knobs).model_dump(), table, seconds=60 * mean, memory_mb=1000 * mean
    )


def test_pairs_differ_in_one_factor_and_are_pooled() -> None:
    found = find_effects(
        [
            point("1a", 0.80, loss="bce", norm="batch"),
            point("1b", 0.90, loss="dice", norm="batch"),
            point("2a", 0.70, loss="bce", norm="none"),
            point("2b", 0.84, loss="dice", norm="none"),
        ]
    )
    told = [(e.factor, e.before, e.after, e.names, e.num_pairs) for e in found.effects]
    assert told == [
        ("norm", "batch", "none", ("1a", "2a"), 1),
        ("norm", "batch", "none", ("1b", "2b"), 1),
        ("norm", "batch", "none", (), 2),
        ("loss", "bce", "dice", ("1a", "1b"), 1),
        ("loss", "bce", "dice", ("2a", "2b"), 1),
        ("loss", "bce", "dice", (), 2),
    ]
    estimates = [e.interval.estimate for e in found.effects]
    assert estimates == pytest.approx([-10, -6, -8, 10, 14, 12], abs=0.6)
    assert estimates[5] == pytest.approx((estimates[3] + estimates[4]) / 2)
    assert found.effects[3].setting == "norm batch"
    assert found.effects[3].seconds == pytest.approx((48, 54))
    assert found.effects[5].memory_mb == pytest.approx((750, 870))
    assert all((e.num_seeds, e.num_cases) == (3, 10) for e in found.effects)
    assert found.notes == ()


def test_pairs_are_those_that_holding_all_against_all_finds() -> None:
    knobs = [
        {"loss": loss, "norm": norm, "dropout": dropout}
        for loss in ("bce", "dice")
        for norm in ("batch", "instance", "none")
        for dropout in (0, 0.0, 0.25)  # whole or not, nothing is nothing
        if (loss, norm) != ("dice", "none")
    ]
    points = [point(str(number), 0.8, **one) for number, one in enumerate(knobs)]
    wanted = [
        {one.name, other.name}
        for one, other in combinations(points, 2)
        if sum(value != other.recipe[name] for name, value in one.recipe.items()) == 1
    ]
    found = [set(effect.names) for effect in find_effects(points).effects if effect.names]
    assert len(wanted) > 30
    assert sorted(map(sorted, found)) == sorted(map(sorted, wanted))


def test_pooled_interval_is_that_of_the_mean_of_the_pairs() -> None:
    points = [
        point("1a", 0.80, seeds=1, loss="bce"), point("1b", 0.81, seeds=1, loss="dice"),
        point("2a", 0.70, seeds=1, loss="bce", norm="none"),
        point("2b", 0.71, seeds=1, loss="dice", norm="none"),
    ]  # fmt: skip
    pooled = next(
        e for e in find_effects(points).effects if e.factor == "loss" and e.num_pairs == 2
    )
    columns = {one.name: 100 * one.scores[0] for one in points}
    change = (columns["1b"] - columns["1a"] + columns["2b"] - columns["2a"]) / 2
    wanted = stats.ttest_1samp(change, 0).confidence_interval()
    assert (pooled.interval.low, pooled.interval.high) == pytest.approx(tuple(wanted))


def test_points_that_differ_in_two_factors_are_no_pair() -> None:
    found = find_effects(
        [point("a", 0.8, loss="bce", norm="batch"), point("b", 0.9, loss="dice", norm="none")]
    )
    assert found.effects == ()


def test_more_is_told_after_less() -> None:
    found = find_effects([point("big", 0.9, base_filters=32), point("small", 0.8, base_filters=16)])
    (effect,) = found.effects
    assert (effect.factor, effect.before, effect.after) == ("base filters", "16", "32")
    assert effect.names == ("small", "big")
    assert effect.interval.estimate == pytest.approx(10, abs=0.6)


def test_change_is_told_one_way_round_whatever_order_the_points_came_in() -> None:
    found = find_effects(
        [
            point("a", 0.8, norm="batch", loss="bce"),
            point("b", 0.9, norm="none", loss="bce"),
            point("c", 0.9, norm="none", loss="dice"),
            point("d", 0.8, norm="batch", loss="dice"),
        ]
    )
    told = [(e.before, e.after, e.names) for e in found.effects if e.factor == "norm"]
    assert told == [
        ("batch", "none", ("a", "b")),
        ("batch", "none", ("d", "c")),
        ("batch", "none", ()),
    ]


def test_p_values_are_corrected_for_all_comparisons() -> None:
    found = find_effects([point(f"p{n}", 0.8 + n / 500, dropout=n / 10) for n in range(3)])
    plain = [effect.interval.p for effect in found.effects]
    assert len(plain) == 3
    assert min(e.p_holm for e in found.effects) == pytest.approx(3 * min(plain))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (0.10, r"better by \d+\.\d Dice points \[\d+\.\d, \d+\.\d\]"),
        (-0.10, r"worse by \d+\.\d Dice points \[\d+\.\d, \d+\.\d\]"),
        (0.0, r"not separable: [+−]\d\.\d \[−\d+\.\d, \+\d+\.\d\]"),
    ],
)
def test_verdict_is_in_words(change: float, said: str) -> None:
    (effect,) = find_effects(
        [point("a", 0.8, loss="bce"), point("b", 0.8 + change, loss="dice")]
    ).effects
    assert re.fullmatch(said, effect.verdict)


def test_verdict_that_fails_after_holm_says_so() -> None:
    (effect,) = find_effects([point("a", 0.8, loss="bce"), point("b", 0.9, loss="dice")]).effects
    assert effect.holds
    lucky = replace(effect, p_holm=0.06)
    assert not lucky.holds
    assert lucky.verdict == f"{effect.verdict}, not after Holm"


def test_worse_is_told_from_the_smaller_loss_to_the_larger() -> None:
    (effect,) = find_effects([point("a", 0.8, loss="bce"), point("b", 0.7, loss="dice")]).effects
    low, high = effect.verdict.partition("[")[2].rstrip("]").split(", ")
    assert float(low) < -effect.interval.estimate < float(high)


def test_one_case_is_compared_without_an_interval() -> None:
    (effect,) = find_effects(
        [point("a", 0.8, cases=["c0"], loss="bce"), point("b", 0.9, cases=["c0"], loss="dice")]
    ).effects
    assert effect.verdict.endswith("Dice points, no interval from one case")
    assert math.isnan(effect.p_holm)


def test_interval_stays_within_what_is_possible() -> None:
    wild = [point(name, 0.5, loss=loss) for name, loss in (("a", "bce"), ("b", "dice"))]
    for place, one in enumerate(wild):
        one.scores.iloc[:] = [[1.0, 0.0, 0.5] if place else [0.0, 1.0, 0.5]] * len(CASES)
    (effect,) = find_effects(wild).effects
    assert (effect.interval.low, effect.interval.high) == (-100, 100)


def test_what_a_point_lacks_is_named_and_left_out() -> None:
    gap = point("b", 0.9, cases=CASES[:8], seeds=2, loss="dice")
    gap.scores.loc["c7", 1] = np.nan
    empty = Point("c", Recipe(loss="ce").model_dump(), pd.DataFrame(), math.nan, math.nan)
    found = find_effects([point("a", 0.8, loss="bce"), gap, empty])
    (effect,) = found.effects
    assert (effect.num_cases, effect.num_seeds) == (7, 2)
    assert found.notes == (
        "no figures of a last epoch, so in no comparison: c",
        "b lacks cases c7, c8, c9: left out of its pairs",
        "b lacks seed 2: left out of its pairs",
    )


def test_points_without_a_common_case_are_named() -> None:
    found = find_effects(
        [point("a", 0.8, cases=["x"], loss="bce"), point("b", 0.9, cases=["y"], loss="dice")]
    )
    assert found.effects == ()
    assert "a and b share no seed or no case" in found.notes


def test_score_of_a_case_is_over_the_classes_that_its_truth_holds() -> None:
    table = final_table(("p1", "p2"), 0.8)
    table["dice"] = [0.9, 0.6, 0.3, 0.9, 0.6, 0.0]  # the last is a false alarm
    scores = case_scores(table)
    assert scores.to_dict() == pytest.approx({"p1": 0.6, "p2": 0.75})
