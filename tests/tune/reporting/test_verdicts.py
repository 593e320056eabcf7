from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tune.reporting.intervals import Interval
from tune.reporting.verdicts import Comparison, Contender, Part, compare_all, recommend

PATIENTS = [f"p{number:02}" for number in range(20)]


def contender(name: str, table: np.ndarray, seconds: float = 10.0) -> Contender:
    """Dice as a fraction, from a table of a row per seed."""
    scores = pd.DataFrame(table.T, index=PATIENTS[: table.shape[1]], columns=range(len(table)))
    return Contender(name, scores, seconds)


def noisy(
    rng: np.random.Generator, mean: float, seconds: float = 10.0, name: str = ""
) -> Contender:
    easy = np.linspace(-0.2, 0.1, 20)
    return contender(name, mean + easy + 0.01 * rng.normal(size=(3, 20)), seconds)


def judged(*found: Contender, chosen_by: tuple[str, ...] = ()) -> tuple[dict[str, str], str]:
    comparisons = compare_all(found, chosen_by, 5)
    words = {f"{one.name}/{one.other}": one.verdict for one in comparisons}
    return words, recommend(found, comparisons)[1]


def test_clear_winner_is_told_in_points_with_its_patients_seeds_and_folds() -> None:
    rng = np.random.default_rng(0)
    words, advice = judged(
        noisy(rng, 0.7, name="default"), noisy(rng, 0.73, name="winner"), chosen_by=("p03", "p04")
    )
    said = words["winner/default"]
    assert said.startswith("better than the default by 3.")
    assert "20 patients, 3 seeds x 5 folds; on the 18 that the search did not choose by: +" in said
    assert advice == "take the winner: the winner is separably better than the default"


def test_what_cannot_be_told_apart_is_said_and_the_cheaper_is_taken() -> None:
    rng = np.random.default_rng(1)
    words, advice = judged(
        noisy(rng, 0.7, 30, "default"),
        noisy(rng, 0.7, 60, "winner"),
        noisy(rng, 0.7, 10, "runner-up 2"),
    )
    assert all(said.startswith("not separable from the ") for said in words.values())
    assert advice.endswith("take the cheaper, the runner-up 2 (10 s a training, not 30 s)")


def test_what_may_be_the_machine_is_not_called_cheaper() -> None:
    rng = np.random.default_rng(1)
    default, winner = noisy(rng, 0.7, 44, "default"), noisy(rng, 0.7, 39, "winner")
    _, advice = judged(default, winner)
    assert "take the cheaper, the winner (39 s" in advice
    _, advice = judged(replace(default, seconds_error=3.0), replace(winner, seconds_error=2.0))
    assert advice.startswith("take the default")
    assert advice.endswith("none that is as good is clearly cheaper")


def test_too_few_trainings_to_find_anything_are_told() -> None:
    rng = np.random.default_rng(6)
    unsure = 0.6 + 0.2 * rng.normal(size=(3, 1)) + np.zeros((3, 20))
    _, advice = judged(contender("default", unsure), noisy(rng, 0.7, name="winner"))
    assert advice.startswith("take the default: nothing is separably better than the default")
    assert advice.endswith("points tells little: more --seeds would tell more")


def test_what_is_worse_is_not_taken_however_cheap() -> None:
    rng = np.random.default_rng(2)
    words, advice = judged(
        noisy(rng, 0.7, 30, "default"),
        noisy(rng, 0.7, 30, "winner"),
        noisy(rng, 0.6, 5, "runner-up 2"),
    )
    assert words["runner-up 2/default"].startswith("worse than the default by 10.")
    assert advice.startswith("take the default: ")


def test_runner_up_that_is_as_good_as_the_winner_and_cheaper_is_taken() -> None:
    rng = np.random.default_rng(3)
    found = (noisy(rng, 0.6, 10, "default"), noisy(rng, 0.7, 60, "winner"),
             noisy(rng, 0.7, 20, "runner-up 2"), noisy(rng, 0.6, 5, "runner-up 3"))  # fmt: skip
    comparisons = compare_all(found, (), 5)
    assert recommend(found, comparisons)[0] == "runner-up 2"


def test_runner_up_that_beats_the_winner_is_taken() -> None:
    rng = np.random.default_rng(4)
    found = (noisy(rng, 0.6, 10, "default"), noisy(rng, 0.7, 10, "winner"),
             noisy(rng, 0.75, 90, "runner-up 2"))  # fmt: skip
    assert recommend(found, compare_all(found, (), 5))[0] == "runner-up 2"


def test_gain_on_the_patients_that_the_search_chose_by_alone_is_no_gain() -> None:
    rng = np.random.default_rng(5)
    chosen = PATIENTS[::2]
    table = 0.7 + 0.005 * rng.normal(size=(3, 20))
    lucky = table + 0.04 * np.isin(PATIENTS, chosen)
    lucky += 0.005 * rng.normal(size=(3, 20))
    words, advice = judged(
        contender("default", table), contender("winner", lucky), chosen_by=tuple(chosen)
    )
    assert words["winner/default"].startswith("not confirmed against the default: +1.9")
    assert "it may come from choosing" in words["winner/default"]
    assert advice.startswith("take the default")


def test_search_that_chose_by_every_patient_leaves_none_to_confirm_on() -> None:
    rng = np.random.default_rng(5)
    found = noisy(rng, 0.6, name="default"), noisy(rng, 0.9, name="winner")
    words, advice = judged(*found, chosen_by=tuple(PATIENTS))
    assert words["winner/default"].startswith("not confirmed against the default: +30.1 [")
    assert "the search chose by each of these patients" in words["winner/default"]
    assert advice.startswith("take the default")
    assert advice.endswith("only the locked test part can show a gain: --open-test")


def test_many_comparisons_ask_for_more_by_holm() -> None:
    part = Part(Interval(1.0, 0.1, 1.9, 0.03), 20, 3)
    alone = Comparison("winner", "default", part, None, 5, p_holm=0.03)
    among = Comparison("winner", "default", part, None, 5, p_holm=0.15)
    assert alone.is_better
    assert not among.holds
    assert "too little for so many comparisons (Holm)" in among.verdict


def test_one_patient_or_none_proves_nothing() -> None:
    one = contender("winner", np.full((3, 1), 0.9)), contender("default", np.full((3, 1), 0.1))
    (comparison,) = compare_all(one[::-1], (), 5)
    assert math.isnan(comparison.p_holm)
    assert comparison.verdict.startswith("not separable from the default: +80.0, no interval")
    assert "1 patient, 3 seeds x 5 folds" in comparison.verdict
    empty = Contender("winner", pd.DataFrame(), math.nan)
    assert compare_all([one[1], empty], (), 5) == ()
    assert recommend([one[1], empty], ()) == ("", "nothing could be compared")


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "searches"), [(0.0, 500), (8.0, 100)])
def test_search_among_equals_finds_a_better_one_in_5_of_100_and_a_real_gain_often(
    gain: float, searches: int
) -> None:
    """Searches of 30 recipes, each the better for some patients and the worse for others.

    The winner and the runner-up are those with the best validation score. Without a gain no
    recipe is better than the default on patients at large.
    """
    rng, said = np.random.default_rng(7), 0
    for _ in range(searches):
        suits = gain + 2.0 * rng.normal(size=(30, 20))  # recipe and patient, whatever the seed
        suits[0] -= gain  # the default
        validation = suits[:, :4] + 2.0 * rng.normal(size=(30, 4))
        ranked = np.argsort(-validation[1:].mean(axis=1))[:2] + 1
        names = ("default", "winner", "runner-up 2")
        found = []
        for name, place in zip(names, (0, *ranked), strict=True):
            trained = rng.normal(size=(3, 1)) + 2 * rng.normal(size=(3, 20))
            found.append(contender(name, (60 + suits[place] + trained) / 100))
        comparisons = compare_all(found, PATIENTS[:4], 5, draws=500)
        said += any(one.is_better for one in comparisons if one.other == "default")
    assert said <= 0.05 * searches if gain == 0 else said >= 0.8 * searches
