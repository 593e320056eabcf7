from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from tune.reporting.intervals import mean_interval
from tune.reporting.two_level import draw_means, two_level_interval


def test_one_seed_is_the_bootstrap_of_scipy_over_patients() -> None:
    table = np.random.default_rng(3).exponential(size=(1, 15))
    wanted = stats.bootstrap(
        (table[0],), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    found = np.quantile(draw_means(table), [0.025, 0.975])
    assert found == pytest.approx([wanted.low, wanted.high], abs=0.03)


def test_draws_have_the_distribution_of_all_that_can_be_drawn() -> None:
    table = np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 11.0]])
    every = np.array([
        table[list(seeds)][:, list(cases)].mean()
        for seeds in product(range(2), repeat=2)
        for cases in product(range(3), repeat=3)
    ])  # fmt: skip
    found = draw_means(table, 40_000)
    for level in np.unique(every)[::3]:
        assert (found <= level + 1e-9).mean() == pytest.approx(
            (every <= level + 1e-9).mean(), abs=0.01
        )


def test_one_seed_is_never_surer_than_the_paired_t_test_of_scipy() -> None:
    rng = np.random.default_rng(1)
    for size in (3, 8, 40):
        before, after = rng.normal(size=(2, size))
        found, wanted = two_level_interval((after - before)[None]), stats.ttest_rel(after, before)
        low, high = wanted.confidence_interval(0.95)
        assert found.low <= low + 1e-12
        assert found.high >= high - 1e-12
        assert found.p >= wanted.pvalue - 1e-12


def test_interval_leaves_out_0_just_where_p_is_small() -> None:
    rng = np.random.default_rng(2)
    for shift in np.linspace(0, 2, 12):
        found = two_level_interval(shift + rng.normal(size=(3, 12)), 2_000)
        if abs(found.p - 0.05) > 0.005:
            assert found.separable == (found.p < 0.05)


def test_same_table_gives_the_same_figures_and_one_patient_none() -> None:
    table = np.random.default_rng(4).normal(size=(3, 9))
    assert two_level_interval(table, 500) == two_level_interval(table.copy(), 500)
    assert not two_level_interval(table[:, :1]).known


# What varies: seeds (of all patients, and of a fold), patients, and the rest; in Dice points.
TRUTHS = {
    "patients differ most": (0.5, 0.5, 4.0, 2.0),
    "seeds differ most": (2.0, 1.0, 2.0, 1.0),
    "networks of a fold fail together": (0.5, 3.0, 2.0, 2.0),
}


def draw_table(
    rng: np.random.Generator, truth: tuple[float, ...], size: tuple[int, int], *, skewed: bool
) -> np.ndarray:
    """Differences whose mean is 0 over all seeds and patients; patients lie in five folds."""

    def draw(*shape: int) -> np.ndarray:
        # as Dice differs: a few patients by much, to one side
        return rng.gamma(2.0, size=shape) / 2**0.5 - 2**0.5 if skewed else rng.normal(size=shape)

    (num_seeds, num_patients), (of_seed, of_fold, of_patient, of_rest) = size, truth
    folds = np.arange(num_patients) % 5
    return (
        of_seed * draw(num_seeds, 1)
        + of_fold * draw(num_seeds, 5)[:, folds]
        + of_patient * draw(1, num_patients)
        + of_rest * draw(num_seeds, num_patients)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "skewed"),
    [
        ("patients differ most", True),
        ("seeds differ most", False),
        ("networks of a fold fail together", True),
    ],
)
def test_interval_covers_the_truth_in_93_of_100_confirmations(truth: str, skewed: bool) -> None:
    """500 confirmations of 20 patients, 3 seeds and 5 folds."""
    rng = np.random.default_rng([len(truth), skewed])
    found = [
        two_level_interval(draw_table(rng, TRUTHS[truth], (3, 20), skewed=skewed), 500)
        for _ in range(500)
    ]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert covered >= 0.93
    bare = [
        mean_interval(draw_table(rng, TRUTHS[truth], (3, 20), skewed=skewed)) for _ in range(500)
    ]
    # and is no wider for it than it must be
    widths = [np.mean([one.high - one.low for one in many]) for many in (found, bare)]
    assert widths[0] <= 1.15 * widths[1]
