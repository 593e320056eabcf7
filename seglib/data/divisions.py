"""Divisions that a data folder brings along, checked and told in patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from seglib.data.dataset import Division
from seglib.data.faults import gathered
from seglib.errors import DataError, Problem

__all__ = ["check_divisions", "in_groups", "require_apart"]

_HINT = "split: {given: ignore} draws a division of its own"


def check_divisions(divisions: Sequence[Division], groups: Mapping[str, str]) -> list[Problem]:
    """Faults of given divisions, one line for each kind.

    A division may name each case once, only cases that are there, and a patient on
    one side only. It need not name all cases.

    Args:
        divisions: One for each fold.
        groups: Case -> its patient.

    Returns:
        The faults.
    """
    faults = [
        fault
        for number, division in enumerate(divisions)
        for fault in _faults(division, groups, f"fold {number} of the data folder")
    ]
    return gathered(faults)


def in_groups(divisions: Sequence[Division], groups: Mapping[str, str]) -> tuple[Division, ...]:
    """The same divisions in patients instead of cases.

    Args:
        divisions: Without faults.
        groups: Case -> its patient.

    Returns:
        Divisions whose names are those of patients, sorted.
    """
    return tuple(
        Division(
            tuple(sorted({groups[case] for case in division.train})),
            tuple(sorted({groups[case] for case in division.val})),
        )
        for division in divisions
    )


def require_apart(source: str, unit: str, parts: Mapping[str, Collection[str]]) -> None:
    """Refuse parts that share a group.

    Args:
        source: The file that holds them.
        unit: What a group is: patient or slice.
        parts: Name of a part -> its groups. All must be apart.

    Raises:
        DataError: A group is in two parts; one line for each two parts.
    """
    names = list(parts)
    problems = []
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            shared = sorted(set(parts[name]) & set(parts[other]))
            if shared:
                more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
                found = f"{unit} {shared[0]}{more} in {name} and {other}"
                problems.append(Problem(source, found, f"each {unit} in one part"))
    if problems:
        raise DataError(source, problems)


def _faults(division: Division, groups: Mapping[str, str], place: str) -> list[Problem]:
    count = Counter((*division.train, *division.val))
    twice = sorted(case for case in count if count[case] > 1)
    lacking = sorted(set(count) - set(groups))
    sides = [
        {groups[case] for case in part if case in groups and count[case] == 1}
        for part in (division.train, division.val)
    ]
    both = sorted(sides[0] & sides[1])
    kinds = (
        (twice, "cases more than once", "each once"),
        (lacking, "cases that the data lack", "cases of the data"),
        (both, "patients in train and val", "each patient in one part"),
    )
    problems = [
        Problem(place, f"{len(names)} {found}, such as {names[0]}", wanted, _HINT)
        for names, found, wanted in kinds
        if names
    ]
    empty = [name for name in ("train", "val") if not getattr(division, name)]
    return problems + [Problem(place, f"no case in {part}", "at least one") for part in empty]
