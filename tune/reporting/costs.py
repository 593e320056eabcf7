"""Costs: what the score of a trial was paid with, and which trials give the most for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tune.leaderboard import as_clock
from tune.reporting.trials import Leaderboard, TrialLine

__all__ = ["COSTS", "Bargain", "cost_of", "find_bargains", "find_front", "front_of", "paid"]


def _write_time(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else as_clock(seconds)


def _write_memory(megabytes: float) -> str:
    return f"{megabytes:g} MB" if megabytes < 10_000 else f"{megabytes / 1000:g} GB"


def _write_count(value: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


COSTS = (
    ("seconds", "time of the training", _write_time),
    ("memory_mb", "peak memory", _write_memory),
    ("parameters", "parameters", _write_count),
)
"""Field of a line, what its axis says, and how a cost is written."""


@dataclass(frozen=True)
class Bargain:
    """A trial on one of the fronts.

    Args:
        line: Of the leaderboard.
        by: The costs for which no trial that cost as little scored better.
    """

    line: TrialLine
    by: tuple[str, ...]


def find_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Places that no other place beats: none is as cheap with a better score.

    Args:
        costs: Less is better.
        scores: More is better; as many.

    Returns:
        The Pareto front, cheapest first; of equals the first.
    """
    order = sorted(range(len(costs)), key=lambda place: (costs[place], -scores[place], place))
    front: list[int] = []
    for place in order:
        if not front or scores[place] > scores[front[-1]]:
            front.append(place)
    return front


def paid(board: Leaderboard, field: str) -> list[TrialLine]:
    """The complete trials of which a cost is known; others were not paid for in full.

    Args:
        board: The leaderboard.
        field: One of :data:`COSTS`.

    Returns:
        Best first.
    """
    return [
        line
        for line in board.lines
        if line.is_complete and math.isfinite(line.score) and cost_of(line, field) is not None
    ]


def cost_of(line: TrialLine, field: str) -> float | None:
    """One of a trial's costs.

    Args:
        line: The trial.
        field: One of :data:`COSTS`.

    Returns:
        The cost; None where it is not known.
    """
    value = getattr(line, field)
    return None if value is None or not math.isfinite(value) else float(value)


def front_of(board: Leaderboard, field: str) -> list[TrialLine]:
    """The trials on the front of one cost.

    Args:
        board: The leaderboard.
        field: One of :data:`COSTS`.

    Returns:
        Cheapest first.
    """
    lines = paid(board, field)
    sign = -1.0 if board.minimise else 1.0
    costs = [cost_of(line, field) or 0.0 for line in lines]
    return [lines[place] for place in find_front(costs, [sign * line.score for line in lines])]


def find_bargains(board: Leaderboard) -> tuple[Bargain, ...]:
    """The trials on any front.

    Args:
        board: The leaderboard.

    Returns:
        Best score first.
    """
    words = {"seconds": "time", "memory_mb": "memory", "parameters": "parameters"}
    on: dict[int, list[str]] = {}
    for field, *_ in COSTS:
        for line in front_of(board, field):
            on.setdefault(line.number, []).append(words[field])
    return tuple(Bargain(line, tuple(on[line.number])) for line in board.lines if line.number in on)
