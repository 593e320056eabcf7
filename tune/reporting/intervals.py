"""Intervals for a mean and for a rank correlation, and p values for many comparisons at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

__all__ = [
    "LEVEL",
    "Interval",
    "adjust_holm",
    "class_mean_interval",
    "half_widths",
    "mean_interval",
    "rank_interval",
]

LEVEL = 0.95
_SMALLEST_P = 1e-12


@dataclass(frozen=True)
class Interval:
    """A figure, what it may be, and how surprising it would be if the truth were 0.

    Args:
        estimate: The mean, or the correlation.
        low: Lower end; NaN where there can be no interval.
        high: Upper end; NaN where there can be no interval.
        p: Two-sided p value; the interval leaves out 0 just when it is below 5 %.
    """

    estimate: float
    low: float
    high: float
    p: float

    @property
    def known(self) -> bool:
        """Is there an interval at all?"""
        return math.isfinite(self.low)

    @property
    def separable(self) -> bool:
        """Does the interval leave out 0?"""
        return self.known and not self.low <= 0 <= self.high


def mean_interval(table: NDArray[np.float64]) -> Interval:
    """Mean of a crossed table, with a 95 % interval for other seeds and other cases.

    Rows and columns are both random: another training and another patient would give
    another number. With one row it is the paired t interval over cases. With one
    column there is no interval, as nothing says how much cases differ.

    Args:
        table: One number per seed and case.

    Shape:
        - table: ``(S, C)``, without gaps

    Returns:
        The interval; NaN ends and p where there is none.
    """
    estimate = float(table.mean())
    num_seeds, num_cases = table.shape
    if num_cases < 2:
        return Interval(estimate, math.nan, math.nan, math.nan)
    parts = _variance_parts(table)
    half = math.sqrt(float(_squared_half_width(parts, table.shape, 1 - LEVEL)))
    if num_seeds == 1:
        p = _p_of_one_seed(estimate, float(parts.cases), num_cases)
    else:
        p = _p_of_many_seeds(estimate, parts, table.shape)
    return Interval(estimate, estimate - half, estimate + half, p)


def half_widths(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    r"""Half the width of the interval of :func:`mean_interval`, for many tables at once.

    .. math::
        h^2 = \frac{1}{S C} \max\left(t_{S-1}^2 MS_{seed} + t_{C-1}^2 \max(MS_{case} -
        MS_{rest}, 0),\; t_{C-1}^2 MS_{case}\right)

    Each part has its own quantile: that of few seeds is wide, and only their share of
    the variance pays for it. Satterthwaite's single quantile covers 88 to 93 % instead
    of 95 % where two or three seeds differ as much as the cases do. The second term is
    the paired t interval over the cases' means: seeds that happen to agree make nothing
    surer than that. The paired t interval over the seeds' means is never the wider one.

    Args:
        tables: One number per seed and case.

    Shape:
        - tables: ``(..., S, C)``, ``C`` at least 2
        - returns: ``(...)``

    Returns:
        The half widths.

    Source:
        The sum of squares with a quantile for each follows Howe 1974, JASA 69:789.
    """
    shape = (tables.shape[-2], tables.shape[-1])
    return np.sqrt(_squared_half_width(_variance_parts(tables), shape, 1 - LEVEL))


def class_mean_interval(table: NDArray[np.float64]) -> Interval:
    r"""Mean over cases of each class, then over classes, with a 95 % interval for other cases.

    A case moves the mean of each class that it has, so its pull on the whole is the sum

    .. math:: u_i = \frac{1}{K} \sum_k \frac{x_{ik} - \bar{x}_k}{n_k},
        \qquad h^2 = t_{n-1}^2 \frac{n}{n - 1} \sum_i u_i^2

    With one class, or where every case has all, it is the t interval of the cases' means.

    Args:
        table: One number per case and class; NaN where a case does not have the class.

    Shape:
        - table: ``(C, K)``

    Returns:
        The interval; NaN ends and p below two cases, all NaN without any.
    """
    table = table[:, ~np.isnan(table).all(axis=0)]
    table = table[~np.isnan(table).all(axis=1)]
    if table.size == 0:
        return Interval(math.nan, math.nan, math.nan, math.nan)
    has, means = ~np.isnan(table), np.nanmean(table, axis=0)
    estimate, count = float(means.mean()), len(table)
    if count < 2:
        return Interval(estimate, math.nan, math.nan, math.nan)
    pulls = (np.where(has, table - means, 0.0) / has.sum(axis=0)).mean(axis=1)
    error = math.sqrt(count / (count - 1) * float((pulls**2).sum()))
    half = float(stats.t.isf((1 - LEVEL) / 2, count - 1)) * error
    p = float(2 * stats.t.sf(abs(estimate) / error, count - 1)) if error else float(not estimate)
    return Interval(estimate, estimate - half, estimate + half, p)


def rank_interval(first: Sequence[float], second: Sequence[float]) -> Interval:
    r"""Spearman's rank correlation of two columns, with a 95 % interval for other pairs.

    .. math:: \operatorname{artanh} \rho \pm z \sqrt{(1 + \rho^2 / 2) / (n - 3)}

    A perfect order would have no width. In its interval it counts as the nearest order
    that is not perfect, with two neighbours swapped, so a few pairs never claim much.

    Args:
        first: One number per pair.
        second: The other number of each pair.

    Returns:
        The interval; all NaN where a column is constant or empty, NaN ends and p below four
        pairs.

    Source:
        Bonett and Wright 2000, Psychometrika 65.
    """
    if min(len(set(first)), len(set(second))) < 2:
        return Interval(math.nan, math.nan, math.nan, math.nan)
    rho, count = float(stats.spearmanr(first, second).statistic), len(first)
    if count < 4 or math.isnan(rho):
        return Interval(rho, math.nan, math.nan, math.nan)
    most = 1 - 12 / (count * (count**2 - 1))
    inner = max(-most, min(rho, most))
    error = math.sqrt((1 + inner**2 / 2) / (count - 3))
    half = float(stats.norm.isf((1 - LEVEL) / 2)) * error
    low, high = (math.tanh(math.atanh(inner) + side) for side in (-half, half))
    p = float(2 * stats.norm.sf(abs(math.atanh(inner)) / error))
    return Interval(rho, min(low, rho), max(high, rho), p)


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: the chance that even one of all comparisons is a false alarm.

    Args:
        p_values: One per comparison; NaN where there is none, and it stays so.

    Returns:
        The corrected values in the same order.
    """
    adjusted = [math.nan] * len(p_values)
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[place] = largest
    return adjusted


class _Parts(NamedTuple):
    """Variance of the mean: as the seeds show it, as the cases do, and what these add to it."""

    seeds: NDArray[np.float64]
    cases: NDArray[np.float64]
    more: NDArray[np.float64]


def _variance_parts(tables: NDArray[np.float64]) -> _Parts:
    num_seeds, num_cases = tables.shape[-2:]
    by_case = num_seeds * tables.mean(axis=-2).var(axis=-1, ddof=1)
    if num_seeds == 1:
        return _Parts(np.zeros_like(by_case), by_case / num_cases, by_case / num_cases)
    by_seed = num_cases * tables.mean(axis=-1).var(axis=-1, ddof=1)
    rest = (
        tables
        - tables.mean(axis=-1, keepdims=True)
        - tables.mean(axis=-2, keepdims=True)
        + tables.mean(axis=(-2, -1), keepdims=True)
    )
    of_rest = (rest**2).sum(axis=(-2, -1)) / ((num_seeds - 1) * (num_cases - 1))
    count = num_seeds * num_cases
    more = np.maximum(by_case - of_rest, 0.0)
    return _Parts(by_seed / count, by_case / count, more / count)


def _squared_half_width(parts: _Parts, shape: tuple[int, ...], alpha: float) -> NDArray[np.float64]:
    num_seeds, num_cases = shape
    of_few = stats.t.isf(alpha / 2, num_seeds - 1) ** 2 if num_seeds > 1 else 0.0
    of_many = stats.t.isf(alpha / 2, num_cases - 1) ** 2
    crossed = of_few * parts.seeds + of_many * parts.more
    return np.asarray(np.maximum(crossed, of_many * parts.cases), np.float64)


def _p_of_one_seed(estimate: float, variance: float, num_cases: int) -> float:
    if variance == 0:
        return float(estimate == 0)
    return float(2 * stats.t.sf(abs(estimate) / math.sqrt(variance), num_cases - 1))


def _p_of_many_seeds(estimate: float, parts: _Parts, shape: tuple[int, ...]) -> float:
    """The level at which the interval would just touch 0."""

    def excess(log_p: float) -> float:
        squared = _squared_half_width(parts, shape, math.exp(log_p))
        return float(squared) - estimate**2

    if excess(0.0) >= 0:  # the estimate is 0
        return 1.0
    if excess(math.log(_SMALLEST_P)) <= 0:
        return _SMALLEST_P
    return math.exp(optimize.brentq(excess, math.log(_SMALLEST_P), 0.0))
