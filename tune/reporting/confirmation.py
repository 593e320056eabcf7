"""What a confirmation found, and each opening of the locked test part: kept in the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from seglib.errors import Problem, RunError
from seglib.files import write_whole
from seglib.foreign import read_bounded
from tune.reporting.verdicts import Comparison, Part

__all__ = [
    "CONFIRM",
    "Contest",
    "Finding",
    "FoundRecipe",
    "Opening",
    "confirmed_run",
    "known",
    "load_finding",
    "load_openings",
    "replace_opening",
    "save_finding",
    "save_openings",
    "tell_openings",
    "to_contests",
]

CONFIRM = "confirm"
"""Folder of a confirmation within the run directory that it confirms."""
_FINDING, _OPENINGS = "confirmation.json", "test_openings.json"
_MOST_BYTES = 2**24

_Found = TypeVar("_Found")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figures(_Record):
    """A difference in Dice points on some patients; no ends where there is no interval."""

    estimate: float
    low: float | None
    high: float | None
    p: float | None
    patients: int
    seeds: int
    text: str

    @classmethod
    def of(cls, part: Part) -> Figures:
        """The figures of a part."""
        found = part.interval
        return cls(
            estimate=found.estimate, low=known(found.low), high=known(found.high),
            p=known(found.p), patients=part.num_patients, seeds=part.num_seeds, text=part.text,
        )  # fmt: skip


class Contest(_Record):
    """One recipe against another; ``unseen`` are patients that the search did not choose by."""

    name: str
    other: str
    whole: Figures
    unseen: Figures | None
    p_holm: float | None
    holds: bool
    verdict: str


class FoundRecipe(_Record):
    """A recipe that was trained again; ``trial`` is that of the search."""

    name: str
    trial: int | None
    settings: str
    dice: float | None
    spread: float | None
    trained: int
    planned: int
    seconds: float | None
    search_score: float | None


class Finding(_Record):
    """What a confirmation came to."""

    search: str
    study: str
    phantom: bool
    patients: int
    by: Literal["patient", "slice"] = "patient"
    chosen_by: int
    seeds: tuple[int, ...]
    folds: tuple[int, ...]
    epochs: tuple[int, ...]
    recipes: tuple[FoundRecipe, ...]
    contests: tuple[Contest, ...]
    take: str
    advice: str
    notes: tuple[str, ...]
    at: str


class Opening(_Record):
    """One opening of the locked test part; without figures it was begun and not finished."""

    at: str
    by: str
    networks: str
    num_networks: int
    patients: int
    done: bool = False
    recipes: tuple[FoundRecipe, ...] = ()
    contests: tuple[Contest, ...] = ()


def known(value: float) -> float | None:
    """A figure as it is written down: a gap for what is no number."""
    return value if math.isfinite(value) else None


def to_contests(comparisons: Sequence[Comparison]) -> tuple[Contest, ...]:
    """Comparisons as they are written down.

    Args:
        comparisons: As :func:`tune.reporting.verdicts.compare_all` made them.

    Returns:
        The records.
    """
    return tuple(
        Contest(
            name=one.name,
            other=one.other,
            whole=Figures.of(one.whole),
            unseen=None if one.unseen is None else Figures.of(one.unseen),
            p_holm=known(one.p_holm),
            holds=one.holds,
            verdict=one.verdict,
        )
        for one in comparisons
    )


def save_finding(run: Path, finding: Finding) -> None:
    """Write ``confirmation.json`` whole.

    Args:
        run: The run directory of the search.
        finding: What was found.
    """
    write_whole(run / _FINDING, finding.model_dump_json(indent=1) + "\n")


def load_finding(run: Path) -> Finding | None:
    """Read ``confirmation.json``.

    Args:
        run: The run directory of the search.

    Returns:
        What was found; None before a confirmation has ended.

    Raises:
        RunError: The file is damaged.
    """
    return _load(run / _FINDING, TypeAdapter(Finding))


def save_openings(run: Path, openings: Sequence[Opening]) -> None:
    """Write ``test_openings.json`` whole.

    Args:
        run: The run directory of the search.
        openings: All of them, in their order.
    """
    content = TypeAdapter(tuple[Opening, ...]).dump_json(tuple(openings), indent=1)
    write_whole(run / _OPENINGS, content.decode() + "\n")


def replace_opening(run: Path, opening: Opening) -> tuple[Opening, ...]:
    """Write an opening that has its figures now in its place.

    Scoring takes a while, and another confirmation may have opened the test part meanwhile,
    so the record is read anew.

    Args:
        run: The run directory of the search.
        opening: Known by its networks.

    Returns:
        All openings.

    Raises:
        RunError: The file is damaged.
    """
    before = load_openings(run)
    openings = tuple(opening if one.networks == opening.networks else one for one in before)
    save_openings(run, openings)
    return openings


def load_openings(run: Path) -> tuple[Opening, ...]:
    """Read ``test_openings.json``.

    Args:
        run: The run directory of the search.

    Returns:
        All openings of the test part; none before the first.

    Raises:
        RunError: The file is damaged.
    """
    return _load(run / _OPENINGS, TypeAdapter(tuple[Opening, ...])) or ()


def tell_openings(openings: Sequence[Opening]) -> str:
    """What a reader must know where the test part was opened more than once.

    Args:
        openings: In their order.

    Returns:
        A sentence; empty where there was one or none.
    """
    if len(openings) < 2:
        return ""
    times = "; ".join(f"{one.at} by {one.by}" for one in openings)
    return (
        f"The test part was opened {len(openings)} times ({times}). Only the first opening is a "
        "test: what was changed after it may have been chosen by its result."
    )


def confirmed_run(folder: Path) -> Path:
    """The run directory that a confirmation belongs to; of any other, that itself.

    Args:
        folder: A run directory.

    Returns:
        Where ``confirmation.json`` is, if there is one.
    """
    is_inside = folder.name == CONFIRM and (folder.parent / "study.yaml").is_file()
    return folder.parent if is_inside else folder


def _load(path: Path, kind: TypeAdapter[_Found]) -> _Found | None:
    if not path.exists():
        return None
    try:
        return kind.validate_json(read_bounded(path, _MOST_BYTES))
    except (OSError, ValueError, ValidationError) as error:
        found = f"an unreadable file ({str(error).splitlines()[0]})"
        hint = "put a copy back, or remove it and give the same command again"
        raise RunError(str(path), [Problem(path.name, found, "what it wrote", hint)]) from None
