"""W&B's distributions, one row of a table each: which keys one has and what shape it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DEFAULTS", "DISTRIBUTIONS", "KEYS", "Distribution"]


@dataclass(frozen=True)
class Distribution:
    """One of W&B's distributions.

    Args:
        shape: How it is built.
        keys: Keys it must have, beside ``distribution`` and ``when``.
        exponents: Are ``min`` and ``max`` natural logarithms?
        inverse: Is it the inverse that follows the exponents?
        stepped: Does it take ``q``, and are the values multiples of it?
        whole: Are the values whole numbers in any case?
    """

    shape: Literal["constant", "choice", "flat", "log", "normal", "log_normal", "beta"]
    keys: tuple[str, ...] = ("min", "max")
    exponents: bool = False
    inverse: bool = False
    stepped: bool = False
    whole: bool = False


DISTRIBUTIONS: dict[str, Distribution] = {
    "constant": Distribution("constant", ("value",)),
    "categorical": Distribution("choice", ("values",)),
    "categorical_w_probabilities": Distribution("choice", ("values", "probabilities")),
    "int_uniform": Distribution("flat", whole=True),
    "uniform": Distribution("flat"),
    "q_uniform": Distribution("flat", stepped=True),
    "log_uniform": Distribution("log", exponents=True),
    "log_uniform_values": Distribution("log"),
    "q_log_uniform": Distribution("log", exponents=True, stepped=True),
    "q_log_uniform_values": Distribution("log", stepped=True),
    "inv_log_uniform": Distribution("log", exponents=True, inverse=True),
    "inv_log_uniform_values": Distribution("log"),
    "normal": Distribution("normal", ("mu", "sigma")),
    "q_normal": Distribution("normal", ("mu", "sigma"), stepped=True),
    "log_normal": Distribution("log_normal", ("mu", "sigma")),
    "q_log_normal": Distribution("log_normal", ("mu", "sigma"), stepped=True),
    "beta": Distribution("beta", ("a", "b")),
    "q_beta": Distribution("beta", ("a", "b"), stepped=True),
}
DEFAULTS = {"mu": 0.0, "sigma": 1.0, "a": 1.0, "b": 1.0}
KEYS = (
    *("distribution", "when", "value", "values", "probabilities", "min", "max", "q"),
    *("mu", "sigma", "a", "b"),
)
