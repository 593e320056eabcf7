"""Curves: distribution functions and their inverses, each a row of one table.

SciPy is imported by the one row that needs it, when it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["CURVES", "Curve", "clip"]

_EDGE = 1e-15  # the inverse of 0 or 1 would be infinite


def clip(value: float, low: float, high: float) -> float:
    """The number in ``[low, high]`` that is closest to ``value``."""
    return max(low, min(high, value))


@dataclass(frozen=True)
class Curve:
    """A distribution function with two parameters, and its inverse.

    Args:
        share: ``(value, a, b)`` to the share of the distribution below the value.
        value: ``(share, a, b)`` back to the value.
    """

    share: Callable[[float, float, float], float]
    value: Callable[[float, float, float], float]


def _normal_value(share: float, mean: float, deviation: float) -> float:
    return NormalDist(mean, deviation).inv_cdf(clip(share, _EDGE, 1.0 - _EDGE))


def _log_normal_share(value: float, mean: float, deviation: float) -> float:
    return NormalDist(mean, deviation).cdf(math.log(value)) if value > 0 else 0.0


def _log_normal_value(share: float, mean: float, deviation: float) -> float:
    # 700 is the last exponent before a float overflows
    return math.exp(min(700.0, _normal_value(share, mean, deviation)))


def _beta_share(value: float, a: float, b: float) -> float:
    from scipy.special import betainc

    return float(betainc(a, b, clip(value, 0.0, 1.0)))


def _beta_value(share: float, a: float, b: float) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(a, b, clip(share, 0.0, 1.0)))


def _log_uniform_share(value: float, low: float, high: float) -> float:
    return clip((math.log(value) - low) / (high - low), 0.0, 1.0) if value > 0 else 0.0


CURVES: dict[str, Curve] = {
    "normal": Curve(lambda value, a, b: NormalDist(a, b).cdf(value), _normal_value),
    "log_normal": Curve(_log_normal_share, _log_normal_value),
    "beta": Curve(_beta_share, _beta_value),
    "log_uniform": Curve(
        _log_uniform_share, lambda share, low, high: math.exp(low + share * (high - low))
    ),
}
