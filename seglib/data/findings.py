"""What is to be said about a data set once all of it was read: faults and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seglib.data.convert import Piece
from seglib.data.copies import Copy, find_copies, joined_groups
from seglib.data.dataset import Dataset, Item
from seglib.data.divisions import check_divisions
from seglib.data.faults import and_more, gathered
from seglib.data.source import Plan, name_of
from seglib.errors import Problem, printable
from seglib.target import Target

__all__ = ["Findings", "judge"]


@dataclass(frozen=True)
class Findings:
    """The judgement of a whole data set.

    Args:
        problems: Faults, the same one in many files told once; with any, nothing is trained.
        division_problems: Faults of the divisions that the folder brings along; they matter
            to a study that keeps to them.
        notes: Sentences that the user should see.
        joined: Patients that share an image -> the one name that they go by.
    """

    problems: tuple[Problem, ...]
    division_problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    joined: Mapping[str, str]


def judge(dataset: Dataset, plan: Plan, pieces: Sequence[Piece]) -> Findings:
    """Gather the faults of the items, and look at what only the whole set shows.

    Args:
        dataset: As found.
        plan: As its items were read.
        pieces: What came of each item, in order.

    Returns:
        All that there is to say.
    """
    problems = [problem for piece in pieces for problem in piece.problems]
    signatures = [piece.facts.signature if piece.facts else () for piece in pieces]
    copies = find_copies(dataset.items, signatures, plan)
    unmasked = [item for item in dataset.items if not item.masks]
    if 0 < len(unmasked) < len(dataset.items):
        place = and_more(name_of(unmasked[0].files[0], plan.root), len(unmasked))
        problems.append(Problem(place, "no mask", "a mask for every image"))
    elif not (problems or unmasked):  # what is missing may only be unreadable, or not wanted
        problems += _set_problems(pieces, plan.target)
    problems += _moved_alone(copies, plan)
    return Findings(
        problems=tuple(gathered(problems)),
        division_problems=tuple(_division_problems(copies, dataset)),
        notes=(*dataset.notes, *_piece_notes(pieces), *_copy_notes(copies)),
        joined=joined_groups(copies),
    )


def _set_problems(pieces: Sequence[Piece], target: Target) -> list[Problem]:
    """Every class must be there, and every label of the source must have survived."""
    facts = [piece.facts for piece in pieces if piece.facts is not None]
    rows = [row for piece in pieces for row in piece.rows]
    source = np.sum([one.label_px for one in facts], axis=0)
    kept = np.sum([row.label_px for row in rows], axis=0) if rows else np.zeros_like(source)
    masks = f"{len(facts)} masks"
    if not source[1:].any():
        only_zeros = not any(value for one in facts for value in one.greys)
        hint = (
            "they hold nothing but 0, as masks do that were scaled to 0...1 and then cast to "
            "whole numbers"
            if only_zeros
            else "data.classes says which grey values belong to which class"
        )
        found = f"no foreground at all in {masks}"
        return [Problem("masks", found, "at least one pixel", hint)]
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


def _moved_alone(copies: Sequence[Copy], plan: Plan) -> list[Problem]:
    """Images that were mirrored or turned without their masks."""
    moved = [copy for copy in copies if copy.turn.moves and not copy.mask_follows]
    if not moved:
        return []
    place = and_more(name_of(moved[0].second.files[0], plan.root), len(moved))
    found = f"{moved[0].turn} of {_name(moved[0].first)} whose mask did not move with it"
    return [Problem(place, found, "image and mask moved alike")]


def _division_problems(copies: Sequence[Copy], dataset: Dataset) -> list[Problem]:
    """Patients, or copies of an image, on both sides of a division that is given."""
    groups = {item.case: item.group for item in dataset.items}
    problems = check_divisions(dataset.divisions, groups)
    for number, division in enumerate(dataset.divisions):
        sides = dict.fromkeys(division.train, "train") | dict.fromkeys(division.val, "val")
        across = [
            copy
            for copy in copies
            if {sides.get(copy.first.case), sides.get(copy.second.case)} == {"train", "val"}
        ]
        if across:
            names = f"{_name(across[0].first)} and {_name(across[0].second)}"
            count = f"{len(across)} image{'s' * (len(across) > 1)}"
            found = f"{count} with a copy on the other side, such as {names}"
            place = f"fold {number} of the data folder"
            hint = "split: {given: ignore} draws a division of its own"
            problems.append(Problem(place, found, "an image and its copies in one part", hint))
    return problems


def _images(copies: Sequence[Copy]) -> str:
    return "1 image is" if len(copies) == 1 else f"{len(copies)} images are"


def _name(item: Item) -> str:
    return printable(item.files[0].name)


def _piece_notes(pieces: Sequence[Piece]) -> list[str]:
    """What was left out or lost in single items."""
    notes = []
    empty = sum(piece.num_empty for piece in pieces)
    if empty:
        notes.append(f"{empty} slices that show nothing of the body were left out")
    blank = sum(piece.facts.blank for piece in pieces if piece.facts)
    if blank:
        notes.append(f"{blank} slice{' has' if blank == 1 else 's have'} a blank channel")
    lost = []
    for piece in pieces:
        if piece.facts is None or not piece.rows:
            continue
        kept = np.sum([row.label_px for row in piece.rows], axis=0)
        if ((np.array(piece.facts.label_px) > 0) & (kept == 0)).any():
            one = f" slice {piece.rows[0].slice}" if len(piece.rows) == 1 else ""
            lost.append(piece.rows[0].case + one)
    if lost:
        notes.append(f"{len(lost)} masks lost a label when they were resized, such as {lost[0]}")
    return notes


def _copy_notes(copies: Sequence[Copy]) -> list[str]:
    """Patients that share images, and images that are there with two masks."""
    notes = []
    shared = [copy for copy in copies if copy.first.group != copy.second.group]
    if shared:
        first = shared[0]
        notes.append(
            f"{_images(shared)} there under another patient too, such as {_name(first.second)} "
            f"({first.turn} of {_name(first.first)}): those patients count as one in a split"
        )
    differing = [copy for copy in copies if not copy.turn.moves and not copy.mask_follows]
    if differing:
        names = f"{_name(differing[0].first)} and {_name(differing[0].second)}"
        notes.append(f"{_images(differing)} there twice with different masks, such as {names}")
    return notes
