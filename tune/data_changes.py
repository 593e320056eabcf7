"""What became of a search's data between two starts: two stores, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seglib.data.store import Store
from seglib.errors import DataError

__all__ = ["describe_changes"]

_MOST_NAMED = 5


def describe_changes(before: Path, now: Store) -> str:
    """Which cases were added, removed or altered, and in what.

    Args:
        before: The store of the last start; it may be gone.
        now: The store that the data give today.

    Returns:
        Words for a person.
    """
    try:
        old = Store.open(before)
    except DataError:
        return "which of them cannot be said, as the data prepared before are gone"
    known, found = _rows(old), _rows(now)
    parts = [
        _name("added", sorted(set(found) - set(known))),
        _name("removed", sorted(set(known) - set(found))),
        _name("altered", [
            f"{case} ({', '.join(parts)})"
            for case in sorted(set(known) & set(found))
            if (parts := _differences(old, known[case], now, found[case]))
        ]),
    ]  # fmt: skip
    return "; ".join(part for part in parts if part) or (
        "the same pixels under other file names, patients or divisions"
    )


def _rows(store: Store) -> Mapping[str, NDArray[np.int64]]:
    return store.index.groupby("case").indices  # type: ignore[return-value]


def _differences(
    old: Store, before: NDArray[np.int64], new: Store, after: NDArray[np.int64]
) -> list[str]:
    if len(before) != len(after):
        return [f"{len(after)} slices in place of {len(before)}"]
    pairs = {"images": (old.images, new.images), "masks": (old.masks, new.masks)}
    return [
        name
        for name, (one, other) in pairs.items()
        if not all(np.array_equal(one[a], other[b]) for a, b in zip(before, after, strict=True))
    ]


def _name(what: str, cases: list[str]) -> str:
    if not cases:
        return ""
    more = f" and {len(cases) - _MOST_NAMED} more" if len(cases) > _MOST_NAMED else ""
    return f"{what}: {', '.join(cases[:_MOST_NAMED])}{more}"
