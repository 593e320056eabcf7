"""Groups drawn so that each part gets some with little and some with much foreground."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["deal_groups", "draw_groups", "part_size"]


def part_size(share: float, num_groups: int) -> int:
    """Groups of a part: the nearest number, at least one if any is wanted."""
    return max(1, round(share * num_groups)) if share > 0 else 0


def draw_groups(shares: pd.Series[float], count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw groups, one from each of as many strata.

    Args:
        shares: Foreground of each group, by its name.
        count: Groups to draw.
        rng: Decides.

    Returns:
        Names, sorted.
    """
    if count == 0:
        return ()
    strata = np.array_split(np.array(_sorted_groups(shares, rng), dtype=object), count)
    return tuple(sorted(str(rng.choice(stratum)) for stratum in strata))


def deal_groups(
    shares: pd.Series[float], count: int, rng: np.random.Generator
) -> tuple[tuple[str, ...], ...]:
    """Deal all groups out in rounds, from little to much; each round in a new order.

    Args:
        shares: Foreground of each group, by its name.
        count: Hands to deal.
        rng: Decides.

    Returns:
        Names of each hand, sorted.
    """
    names = _sorted_groups(shares, rng)
    hands: list[list[str]] = [[] for _ in range(count)]
    for start in range(0, len(names), count):
        for name, hand in zip(names[start : start + count], rng.permutation(count), strict=False):
            hands[hand].append(name)
    return tuple(tuple(sorted(hand)) for hand in hands)


def _sorted_groups(shares: pd.Series[float], rng: np.random.Generator) -> list[str]:
    """Groups from little to much foreground; equals in a random order."""
    shuffled = shares.iloc[rng.permutation(len(shares))]
    return [str(name) for name in shuffled.sort_values(kind="stable").index]
