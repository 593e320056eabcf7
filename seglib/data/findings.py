"""What preparation has to say about a data set as a whole: faults and notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglib.data.convert import Piece
from seglib.data.dataset import Item
from seglib.errors import Problem
from seglib.target import Target

__all__ = ["capped", "duplicate_notes", "piece_notes", "set_problems"]

MAX_SHOWN = 20
"""Problems listed one by one; the rest is counted."""


def set_problems(pieces: Sequence[Piece], target: Target) -> list[Problem]:
    """Faults that only the whole set shows.

    Every class must be there, and every label of the source must have survived.

    Args:
        pieces: Of all items, none with faults of its own.
        target: Labels and classes.

    Returns:
        The faults found.
    """
    rows = [row for piece in pieces for row in piece.rows]
    source = np.sum([piece.source_px for piece in pieces], axis=0)
    kept = np.sum([row.label_px for row in rows], axis=0) if rows else np.zeros_like(source)
    masks = f"{len(pieces)} masks"
    if not source[1:].any():
        return [
            Problem(
                "masks",
                f"no foreground at all in {masks}",
                "at least one pixel",
                "data.classes says which grey values belong to which class",
            )
        ]
    problems = [
        Problem("masks", f"class {name!r} in none of {masks}", "at least one pixel")
        for name, labels in zip(target.classes, target.members, strict=True)
        if not source[list(labels)].any()
    ]
    problems += [
        Problem(
            "masks",
            f"label {label} ({_grey_values(target, label)}) lost on the way, "
            f"{source[label]} pixels in the source",
            "every label still there",
            "a larger data.image_size, or a smaller data.every",
        )
        for label in np.flatnonzero((source > 0) & (kept == 0)).tolist()
    ]
    return problems


def _grey_values(target: Target, label: int) -> str:
    values = [str(value) for value, other in sorted(target.values.items()) if other == label]
    return f"grey value{'s' * (len(values) > 1)} {', '.join(values)}"


def piece_notes(pieces: Sequence[Piece]) -> list[str]:
    """What was left out or lost in single items.

    Args:
        pieces: Of all items.

    Returns:
        Sentences for the user.
    """
    notes = []
    empty = sum(piece.num_empty for piece in pieces)
    if empty:
        notes.append(f"{empty} slices that show nothing of the body were left out")
    blank = sum(piece.blank for piece in pieces)
    if blank:
        notes.append(f"{blank} slices have a blank channel")
    lost = []
    for piece in pieces:
        kept = np.sum([row.label_px for row in piece.rows], axis=0)
        if piece.rows and ((np.array(piece.source_px) > 0) & (kept == 0)).any():
            lost.append(
                f"{piece.rows[0].case} slice {piece.rows[0].slice}"
                if len(piece.rows) == 1
                else piece.rows[0].case
            )
    if lost:
        notes.append(f"{len(lost)} masks lost a label when they were resized, such as {lost[0]}")
    return notes


def duplicate_notes(pairs: Sequence[tuple[Item, Item]]) -> list[str]:
    """The same image under two patients may straddle a split.

    Args:
        pairs: Items of different patients with the same image.

    Returns:
        Sentences for the user.
    """
    if not pairs:
        return []
    first, second = pairs[0]
    names = f"{first.files[0].name} and {second.files[0].name}"
    return [f"{len(pairs)} images are there under more than one patient, such as {names}"]


def capped(problems: Sequence[Problem]) -> list[Problem]:
    """The first problems, and how many more there are.

    Args:
        problems: All of them.

    Returns:
        A list short enough to read.
    """
    more = len(problems) - MAX_SHOWN
    if more <= 0:
        return list(problems)
    return [*problems[:MAX_SHOWN], Problem("and more", f"{more} further problems")]
