from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tune.reporting.intervals import (
    adjust_holm,
    class_mean_interval,
    half_widths,
    mean_interval,
    rank_interval,
)


@pytest.mark.parametrize("num_cases", [2, 5, 47])
def test_one_seed_is_the_paired_t_interval(num_cases: int) -> None:
    rng = np.random.default_rng(num_cases)
    before, after = rng.normal(size=(2, num_cases))
    found = mean_interval((after - before)[None])
    wanted = stats.ttest_rel(after, before)
    low, high = wanted.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert found.p == pytest.approx(wanted.pvalue, rel=1e-12)


@pytest.mark.parametrize("num_seeds", [1, 2, 3])
@pytest.mark.parametrize("num_cases", [5, 47])
def test_interval_covers_the_truth_as_often_as_it_says(num_seeds: int, num_cases: int) -> None:
    """In 4,000 searches each, whatever share of the variance seeds, cases and the rest have."""
    rng = np.random.default_rng([num_seeds, num_cases])
    shape = (4000, num_seeds, num_cases)
    for of_seeds, of_cases, of_rest in (
        (0, 1, 1),
        (0.5, 1, 1),
        (1, 0, 0.5),
        (0.1, 0, 1),
        (1, 1, 1),
    ):
        tables = of_cases * rng.normal(size=(shape[0], 1, num_cases))
        tables = tables + of_rest * rng.normal(size=shape)
        if num_seeds > 1:  # one seed cannot tell how much seeds differ, and claims not to
            tables = tables + of_seeds * rng.normal(size=(shape[0], num_seeds, 1))
        covered = np.abs(tables.mean(axis=(1, 2))) <= half_widths(tables)
        # 95 %, less three standard errors of 4,000
        assert covered.mean() >= 0.94, (of_seeds, of_cases, of_rest)


def paired_half_widths(tables: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Half the paired t interval over means: of cases (axis 1) or of seeds (axis 2)."""
    means = tables.mean(axis=axis)
    spread = means.std(axis=-1, ddof=1) / np.sqrt(means.shape[-1])
    return np.asarray(stats.t.isf(0.025, means.shape[-1] - 1) * spread)


@pytest.mark.parametrize("shape", [(2, 6), (3, 47), (5, 5)])
def test_interval_is_never_narrower_than_a_paired_t(shape: tuple[int, int]) -> None:
    tables = np.random.default_rng(shape).normal(size=(2000, *shape))
    for axis in (1, 2):
        assert np.all(half_widths(tables) >= paired_half_widths(tables, axis) * (1 - 1e-12))


@pytest.mark.parametrize("shape", [(2, 12), (3, 47)])
@pytest.mark.parametrize("of_cases", [0, 1])
def test_seeds_that_happen_to_agree_make_nothing_surer(
    shape: tuple[int, int], of_cases: float
) -> None:
    """Tables whose seeds' means all but coincide: there the paired t over cases decides."""
    rng = np.random.default_rng(shape)
    tables = of_cases * rng.normal(size=(8000, 1, shape[1])) + rng.normal(size=(8000, *shape))
    agree = tables[paired_half_widths(tables, 2) < 0.5 * paired_half_widths(tables, 1)]
    assert len(agree) > 200
    covered = np.abs(agree.mean(axis=(1, 2))) <= half_widths(agree)
    assert covered.mean() >= 0.92
    for table in agree[:5]:
        means = stats.ttest_1samp(table.mean(axis=0), 0)
        assert mean_interval(table).p >= means.pvalue * (1 - 1e-6)


def test_seeds_that_differ_widen_the_interval() -> None:
    cases = np.random.default_rng(0).normal(size=20)
    alike, apart = np.stack([cases] * 3), np.stack([cases - 1, cases, cases + 1])
    assert half_widths(apart) > 3 * half_widths(alike)


@pytest.mark.parametrize("shape", [(1, 9), (3, 9), (2, 4)])
def test_interval_leaves_out_zero_just_when_p_is_below_5_percent(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).normal(size=shape)
    noise -= noise.mean()
    edge = half_widths(noise)
    assert mean_interval(noise + edge).p == pytest.approx(0.05)
    assert mean_interval(noise + 1.01 * edge).separable
    assert mean_interval(noise - 1.01 * edge).separable
    assert not mean_interval(noise + 0.99 * edge).separable
    assert mean_interval(noise - noise.mean()).p == pytest.approx(1, abs=1e-6)


def test_one_case_has_no_interval() -> None:
    found = mean_interval(np.array([[1.0], [2.0], [3.0]]))
    assert found.estimate == 2
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert not found.known
    assert not found.separable


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_change_that_is_the_same_everywhere_is_certain(num_seeds: int) -> None:
    found = mean_interval(np.full((num_seeds, 4), 2.0))
    assert (found.low, found.high) == (2, 2)
    assert found.p < 1e-9
    assert mean_interval(np.zeros((num_seeds, 4))).p == 1


def test_holm_by_hand() -> None:
    adjusted = adjust_holm([0.01, math.nan, 0.04, 0.03])
    assert adjusted[0] == pytest.approx(0.03)  # the smallest of three
    assert math.isnan(adjusted[1])
    assert adjusted[3] == pytest.approx(0.06)
    assert adjusted[2] == pytest.approx(0.06)  # never less than what was smaller before


def test_holm_stays_below_one() -> None:
    assert adjust_holm([0.6, 0.9]) == [1.0, 1.0]


def test_ranks_by_hand() -> None:
    found = rank_interval([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    assert found.estimate == pytest.approx(1 - 6 * 2 / (5 * 24))
    assert found.high < 1
    assert rank_interval([1, 2, 3, 4, 5], [-10, -20, -30, -50, -40]).estimate == -found.estimate


def test_few_pairs_in_perfect_order_claim_little() -> None:
    few, many = (rank_interval(range(n), range(n)) for n in (6, 60))
    assert (few.estimate, few.high) == (1, 1)
    assert few.low < 0.5 < 0.99 < many.low


def test_rank_interval_covers_what_it_promises() -> None:
    """Of normal pairs it is known: 6 / pi times the arc sine of half their correlation."""
    rng, size, truth = np.random.default_rng(3), 12, 6 / math.pi * math.asin(0.6 / 2)
    held = 0
    for _ in range(150):
        first = rng.normal(size=size)
        second = 0.6 * first + 0.8 * rng.normal(size=size)
        found = rank_interval(list(first), list(second))
        held += found.low <= truth <= found.high
    assert 0.9 <= held / 150 <= 0.99


def test_constant_or_too_short_columns_have_no_rank_interval() -> None:
    assert math.isnan(rank_interval([1, 1, 1, 1], [1, 2, 3, 4]).estimate)
    assert math.isnan(rank_interval([], []).estimate)
    assert rank_interval([1, 2, 3], [1, 3, 2]).estimate == 0.5
    assert not rank_interval([1, 2, 3], [1, 3, 2]).known


def test_mean_of_one_class_has_the_t_interval() -> None:
    scores = np.random.default_rng(0).normal(0.7, 0.1, size=9)
    found = class_mean_interval(scores[:, None])
    wanted = stats.ttest_1samp(scores, 0.0)
    low, high = wanted.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(wanted.pvalue)


def test_classes_that_all_cases_have_are_as_their_mean() -> None:
    table = np.random.default_rng(1).normal(0.7, 0.1, size=(9, 3))
    found, wanted = (class_mean_interval(one) for one in (table, table.mean(axis=1)[:, None]))
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_mean_of_classes_with_gaps_covers_the_truth_as_often_as_it_says() -> None:
    """Cases differ, their classes differ, and a third of the cases lacks the second class."""
    rng, hits, trials = np.random.default_rng(2), 0, 1000
    for _ in range(trials):
        table = 0.7 + 0.1 * rng.normal(size=(12, 1)) + 0.05 * rng.normal(size=(12, 2))
        table[rng.permutation(12)[:4], 1] = np.nan
        found = class_mean_interval(table)
        hits += found.low <= 0.7 <= found.high
    assert 0.93 <= hits / trials <= 0.97


def test_few_cases_have_no_interval() -> None:
    one = class_mean_interval(np.array([[0.5, 0.7]]))
    assert one.estimate == pytest.approx(0.6)
    assert not one.known
    assert math.isnan(class_mean_interval(np.full((3, 2), np.nan)).estimate)
    gap = class_mean_interval(np.array([[0.5, np.nan], [0.7, np.nan]]))
    assert gap.estimate == pytest.approx(0.6)  # a class that no case has is no part of it
