"""Patients and stacks of flat images: whose is an image, and which slice is it?

The patient comes from ``data.patient``, else a manifest, else from what the layout
knows of its names. A name that merely ends in a number is not taken for a patient's slice:
that guess would let near-identical slices straddle a split, or merge patients,
without anyone noticing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from seglib.data.dataset import Item
from seglib.data.manifest import Row
from seglib.data.pair_names import natural
from seglib.data.spec import DataSpec
from seglib.errors import Problem

__all__ = ["SLICES_OF_A_PATIENT", "Guess", "build_items", "look_like_slices", "patients_by_pattern"]

SLICES_OF_A_PATIENT = r"(.+)[_-]\d+$"
"""A pattern for ``data.patient``: all but the last number."""

Guess = Callable[[Sequence[str], list[Problem], list[str]], list[str] | None]
"""Names without suffix, lists for faults and notes -> the patients, or None if unknown."""

_TRAILING_NUMBER = re.compile(r"(?P<begin>.*?)[_-]?(?P<slice>\d+)")
_MOST_DIGITS = 18  # of a number that the index of a store can hold


def build_items(
    spec: DataSpec,
    rows: Sequence[Row],
    *,
    guess: Guess | None,
    problems: list[Problem],
    notes: list[str],
) -> tuple[Item, ...]:
    """Gives each image its patient, case and slice.

    Args:
        spec: ``patient`` and ``case_by``.
        rows: Images with their masks.
        guess: What the layout knows of its names; asked where neither ``data.patient``
            nor a manifest says who the patient is.
        problems: Faults are added here.
        notes: Doubts are told here.

    Returns:
        The items by case and slice. A case of one image has no slice.
    """
    items = []
    for row, group in zip(
        rows, _groups(spec, rows, guess, problems=problems, notes=notes), strict=True
    ):
        number = _TRAILING_NUMBER.fullmatch(row.image.stem)
        place = row.slice
        if number and place is None and len(number["slice"]) <= _MOST_DIGITS:
            place = int(number["slice"])
        case = group if spec.case_by == "patient" else row.image.stem
        items.append(Item(case, group, (row.image,), (row.mask,), place))
    if spec.case_by == "image":
        repeated = [
            stem for stem, count in Counter(item.case for item in items).items() if count > 1
        ]
        problems.extend(Problem(stem, "two images of this name", "one") for stem in repeated)
    return _ordered(items, notes)


def patients_by_pattern(pattern: str, names: Iterable[str], problems: list[Problem]) -> list[str]:
    """The patient in each name, by a pattern whose first group it is.

    Args:
        pattern: A regular expression.
        names: File names without their suffix.
        problems: Names that the pattern misses are added here.

    Returns:
        A patient for each name, empty where none was found.
    """
    patients = []
    for name in names:
        match = re.search(pattern, name)
        patients.append((match.group(1) if match else None) or "")
        if not patients[-1]:
            problems.append(Problem(name, "no match of data.patient", f"a name with {pattern}"))
    return patients


def look_like_slices(names: Iterable[str]) -> str:
    """Tell whether names look like slices of patients: a few beginnings, many numbers.

    Args:
        names: File names without their suffix.

    Returns:
        What they look like, in words; empty if not like slices.
    """
    matches = [re.search(SLICES_OF_A_PATIENT, name) for name in names]
    begins = Counter(match.group(1) for match in matches if match)
    if not begins or 3 * len(begins) > sum(begins.values()):
        return ""
    return (
        f"{sum(begins.values())} names look like slices of {len(begins)}, such as '{min(begins)}'"
    )


def _groups(
    spec: DataSpec,
    rows: Sequence[Row],
    guess: Guess | None,
    *,
    problems: list[Problem],
    notes: list[str],
) -> list[str]:
    stems = [row.image.stem for row in rows]
    if spec.patient is not None:
        return patients_by_pattern(spec.patient, stems, problems)
    if all(row.patient for row in rows):
        return [row.patient for row in rows]
    guessed = guess(stems, problems, notes) if guess is not None else None
    if guessed is not None:
        return guessed
    like = look_like_slices(stems)
    notes.append(
        "no patient known: each image counts as its own patient; "
        "give data.patient or a manifest.csv"
        + (f" ({like}; if those are patients: data.patient: '{SLICES_OF_A_PATIENT}')" * bool(like))
    )
    return stems


def _ordered(items: Sequence[Item], notes: list[str]) -> tuple[Item, ...]:
    """By case and slice; a case of one image has no slice, a doubtful order is made by name."""
    cases: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        cases[item.case].append(item)
    ordered: list[Item] = []
    doubtful = []
    for case in sorted(cases, key=natural):
        stack = sorted(cases[case], key=lambda item: natural(item.files[0].stem))
        numbers = [item.slice for item in stack if item.slice is not None]
        if len(stack) == 1:
            ordered.append(replace(stack[0], slice=None))
        elif len(set(numbers)) == len(stack):
            ordered += sorted(stack, key=lambda item: item.slice or 0)
        else:
            doubtful.append(case)
            ordered += [replace(item, slice=place) for place, item in enumerate(stack)]
    if doubtful:
        notes.append(
            f"{len(doubtful)} cases (such as {doubtful[0]}) have slice numbers that are missing "
            "or repeat: their slices are taken in the order of names"
        )
    return tuple(ordered)
