"""A mean difference over seeds and patients, with an interval from a two-level bootstrap."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tune.reporting.intervals import LEVEL, Interval, mean_interval

__all__ = ["DRAWS", "draw_means", "two_level_interval"]

DRAWS = 10_000
_AT_ONCE = 1_000


def draw_means(table: NDArray[np.float64], draws: int = DRAWS) -> NDArray[np.float64]:
    """Means of tables drawn anew: seeds with replacement, and of these the patients.

    The draw is the same for all tables of one size, so a figure can be had again.

    Args:
        table: One number per seed and patient.
        draws: How many.

    Shape:
        - table: ``(S, C)``, without gaps
        - returns: ``(draws,)``

    Returns:
        The means.
    """
    num_seeds, num_cases = table.shape
    rng, means = np.random.default_rng(0), np.empty(draws)
    for start in range(0, draws, _AT_ONCE):
        size = min(_AT_ONCE, draws - start)
        seeds = rng.multinomial(num_seeds, [1 / num_seeds] * num_seeds, size)
        cases = rng.multinomial(num_cases, [1 / num_cases] * num_cases, size)
        means[start : start + size] = ((seeds @ table) * cases).sum(axis=1)
    return np.asarray(means / (num_seeds * num_cases), np.float64)


def two_level_interval(table: NDArray[np.float64], draws: int = DRAWS) -> Interval:
    """Mean of paired differences, with a 95 % interval for other trainings and other patients.

    The ends are those of the percentile bootstrap or of
    :func:`tune.reporting.intervals.mean_interval`, whichever lie further out, and the p
    value is the larger one. From three seeds the bootstrap alone covers 76 to 95 % instead
    of 95 %: it takes the spread of what it draws from for the spread of all seeds. The
    other one knows how little three seeds tell, but is symmetric, as differences of Dice
    are not.

    Args:
        table: One number per seed and patient.
        draws: Of the bootstrap.

    Shape:
        - table: ``(S, C)``, without gaps

    Returns:
        The interval; NaN ends and p where there are fewer than two patients.
    """
    found = mean_interval(table)
    if not found.known:
        return found
    means = draw_means(table, draws)
    side = (1 - LEVEL) / 2
    low, high = np.quantile(means, [side, 1 - side])
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * max(beyond, 1) / draws)
    return Interval(
        found.estimate,
        min(found.low, float(low)),
        max(found.high, float(high)),
        max(found.p, p) if math.isfinite(found.p) else p,
    )
