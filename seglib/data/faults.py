"""Many faults told in few lines: the same one in many files is said once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seglib.errors import Problem

__all__ = ["and_more", "gathered"]

MAX_SHOWN = 20
"""Lines of problems; the rest is counted."""

MAX_VARIANTS = 3
"""Lines for faults that differ in their numbers only; more become one line."""


def gathered(problems: Sequence[Problem]) -> list[Problem]:
    """One line for what is wrong in the same way in many files, and not too many lines.

    Args:
        problems: All of them.

    Returns:
        A list short enough to read, in the order of first appearance.
    """
    same: dict[Problem, list[Problem]] = defaultdict(list)
    for problem in problems:
        same[replace(problem, place="")].append(problem)
    kinds: dict[tuple[str, ...], list[list[Problem]]] = defaultdict(list)
    for faults in same.values():
        kinds[_kind(faults[0])].append(faults)
    lines = []
    for variants in kinds.values():
        if len(variants) <= MAX_VARIANTS:
            lines += [_as_one(faults) for faults in variants]
        else:
            lines.append(
                _as_one([fault for faults in variants for fault in faults], " and the like")
            )
    more = len(lines) - MAX_SHOWN
    if more <= 0:
        return lines
    return [*lines[:MAX_SHOWN], Problem("and more", f"{more} further problems")]


def _kind(problem: Problem) -> tuple[str, ...]:
    """A problem without its numbers and without the name of its file."""
    stem = Path(problem.place).stem
    texts = (text.replace(stem, "") for text in (problem.found, problem.wanted, problem.hint))
    return tuple(re.sub(r"[\d.,()\s-]+", " ", text) for text in texts)


def _as_one(faults: Sequence[Problem], others: str = "") -> Problem:
    first = faults[0]
    return replace(first, place=and_more(first.place, len(faults)), found=first.found + others)


def and_more(place: str, count: int) -> str:
    """The first of several places, and how many there are besides.

    Args:
        place: The first.
        count: Of all of them.

    Returns:
        Such as ``Mask/a.png and 11 more``.
    """
    return place if count == 1 else f"{place} and {count - 1} more"
