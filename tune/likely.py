"""Figures that nobody knows yet, as the middle and the ends of many made-up ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["INTERVAL", "Range", "spread_of"]

INTERVAL: Final = (0.05, 0.95)
"""Nine in ten of the made-up searches lie within."""


@dataclass(frozen=True)
class Range:
    """A figure that nobody knows yet: its middle, and the ends of its interval."""

    low: float
    middle: float
    high: float

    def times(self, factor: float) -> Range:
        """The same in another unit."""
        return Range(self.low * factor, self.middle * factor, self.high * factor)

    def holds(self, value: float) -> bool:
        """Does a value lie within?"""
        return self.low <= value <= self.high


def spread_of(values: Sequence[float]) -> Range:
    """Median and interval of many.

    Args:
        values: At least one.

    Returns:
        The range.
    """
    ordered = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return Range(at(INTERVAL[0]), at(0.5), at(INTERVAL[1]))
