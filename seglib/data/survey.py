"""Survey: every file of a data set read and checked, and what was found counted.

Nothing is written. Reading is the dear step; the small methods of :class:`Survey`
only count what it brought.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from seglib.data.convert import Facts, Piece, Prepared, Row, prepare_item
from seglib.data.dataset import Dataset
from seglib.data.findings import Findings, judge
from seglib.data.index import build_index
from seglib.data.source import Plan, read_item
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import Splits, make_splits
from seglib.data.workers import convert_all, useful_workers
from seglib.errors import Problem

__all__ = ["ClassCount", "Sight", "Survey", "survey_dataset"]

One = TypeVar("One")

MOST_KEPT = 12
"""Items whose pixels are kept while they are read, as all of them may be shown. Where one
process is enough for all files (see ``useful_workers``), so many fit into memory."""


@dataclass(frozen=True)
class ClassCount:
    """How much there is of a class.

    Args:
        name: The class.
        greys: Grey values that it is made of.
        num_cases: Cases that have it.
        share: Its mean share of an image, 0 to 1, all slices counted.
    """

    name: str
    greys: tuple[int, ...]
    num_cases: int
    share: float


@dataclass(frozen=True)
class Sight:
    """One slice to look at: which item, and which of its prepared slices.

    Args:
        number: Place of the item in the data set.
        position: Place of the slice among those of the item.
        row: What is known of it.
    """

    number: int
    position: int
    row: Row


@dataclass(frozen=True)
class Survey:
    """A data set after all of it was read.

    Args:
        dataset: As found.
        plan: As it was read.
        pieces: What came of each item.
        findings: Faults and notes.
    """

    dataset: Dataset
    plan: Plan
    pieces: tuple[Piece, ...]
    findings: Findings

    @property
    def facts(self) -> list[Facts]:
        """What the readable items hold."""
        return [piece.facts for piece in self.pieces if piece.facts is not None]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All faults."""
        return self.findings.problems + self.findings.division_problems

    @property
    def num_slices(self) -> int:
        """Slices of the readable items."""
        return sum(one.shape[0] for one in self.facts)

    @property
    def num_unmarked(self) -> int:
        """Slices without foreground."""
        return self.num_slices - sum(one.num_marked for one in self.facts)

    def sizes(self) -> Counter[tuple[int, int]]:
        """Height and width of the source -> number of items."""
        return Counter(one.shape[1:] for one in self.facts)

    def depths(self) -> Counter[int]:
        """Slices of an item -> number of items."""
        return Counter(one.shape[0] for one in self.facts)

    def spacings(self) -> list[tuple[float, float, float]]:
        """Distance of voxels along z, y, x, of each item that says so."""
        return [one.spacing_mm for one in self.facts if one.spacing_mm is not None]

    def ranges(self) -> list[tuple[float, float]]:
        """Least and largest value of each channel."""
        by_channel = zip(*(one.ranges for one in self.facts), strict=True)
        return [(min(low for low, _ in all_), max(high for _, high in all_)) for all_ in by_channel]

    def greys(self) -> dict[int, int]:
        """Grey value -> number of masks that hold it, rising."""
        return dict(sorted(Counter(value for one in self.facts for value in one.greys).items()))

    def classes(self) -> list[ClassCount]:
        """How much there is of each class."""
        target = self.plan.target
        read = [
            (item.case, piece.facts)
            for item, piece in zip(self.dataset.items, self.pieces, strict=True)
            if piece.facts is not None
        ]
        slices = [facts.shape[0] for _, facts in read]
        counts = []
        for name, labels in zip(target.classes, target.members, strict=True):
            pixels = [sum(facts.label_px[label] for label in labels) for _, facts in read]
            shares = [n / np.prod(facts.shape) for n, (_, facts) in zip(pixels, read, strict=True)]
            cases = {case for n, (case, _) in zip(pixels, read, strict=True) if n}
            greys = tuple(
                value for value, label in sorted(target.values.items()) if label in labels
            )
            counts.append(
                ClassCount(name, greys, len(cases), float(np.average(shares, weights=slices)))
            )
        return counts

    def splits(self, spec: SplitSpec) -> Splits:
        """The division that a study would get.

        Args:
            spec: Shares and seed.

        Returns:
            Groups of each part.

        Raises:
            DataError: Too few groups.
        """
        rows = [row for piece in self.pieces for row in piece.rows]
        index = build_index(rows, self.plan.target, self.findings.joined)
        return make_splits(index, spec, self.dataset.divisions)

    def sights(self, count: int) -> list[Sight]:
        """Slices to show: over patients with little and much foreground, and over each stack.

        Args:
            count: At most so many.

        Returns:
            The slices, those of a patient together, in the order of the data set.
        """
        groups: dict[str, list[Sight]] = defaultdict(list)
        for number, piece in enumerate(self.pieces):
            for position, row in enumerate(piece.rows):
                groups[row.group].append(Sight(number, position, row))
        by_amount = sorted(
            groups.values(), key=lambda sights: np.mean([_amount(s) for s in sights])
        )
        chosen = _spread(by_amount, count)
        each, more = divmod(count, max(1, len(chosen)))
        shown = []
        for turn, sights in enumerate(chosen):
            shown += _of_patient(sights, each + (turn < more), turn)
        return sorted(shown, key=lambda sight: (sight.number, sight.position))

    def show(self, sights: Sequence[Sight]) -> Iterator[tuple[Sight, Prepared]]:
        """Give some slices with their pixels; items that were not kept are read again.

        Args:
            sights: Slices, those of an item together.

        Yields:
            Each slice with its item as the network would get it.
        """
        number, prepared = -1, None  # of the item that was read last
        for sight in sights:
            if sight.number != number:
                number = sight.number
                prepared = self.pieces[number].prepared or self._read_again(number)
            if prepared is not None:
                yield sight, prepared

    def _read_again(self, number: int) -> Prepared | None:
        """An item, unless its files changed meanwhile."""
        item = self.dataset.items[number]
        loaded = read_item(item, self.plan, [])
        if loaded is None:
            return None
        return prepare_item(item, loaded, self.plan, problems=[])


def survey_dataset(
    dataset: Dataset,
    spec: DataSpec,
    *,
    workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Survey:
    """Read every file of a data set and check it, as preparation would.

    Args:
        dataset: As found.
        spec: What would be made of it.
        workers: Processes that read; as many as are of use if not given.
        progress: Called with done, total and a text.

    Returns:
        All that was found; faults are in it and raise nothing.
    """
    plan = Plan.of(dataset, spec)
    jobs = [(item, plan, None) for item in dataset.items]
    workers = workers or useful_workers(path for item in dataset.items for path in item.files)
    report = progress or (lambda done, total, text: None)
    keep = workers == 1 and len(jobs) <= MOST_KEPT
    pieces = convert_all(jobs, workers, report, "reading files", keep=keep)
    return Survey(dataset, plan, tuple(pieces), judge(dataset, plan, pieces))


def _amount(sight: Sight) -> int:
    """Foreground of a slice in pixels."""
    return sum(sight.row.label_px[1:])


def _spread(ordered: Sequence[One], count: int) -> list[One]:
    """Some of a row, evenly, both ends among them; a single one comes from the middle."""
    if len(ordered) <= count:
        return list(ordered)
    if count == 1:
        return [ordered[len(ordered) // 2]]
    places = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return [ordered[place] for place in places]


def _of_patient(sights: Sequence[Sight], count: int, turn: int) -> list[Sight]:
    """From the largest mask to the median one, and an empty one; of a single one, each in turn."""
    marked = sorted((sight for sight in sights if _amount(sight)), key=_amount, reverse=True)
    unmarked = [sight for sight in sights if not _amount(sight)]
    if not marked or not unmarked:
        return _spread(marked or unmarked, count)
    # Of the empty ones, the one that shows most of the body.
    empty = max(unmarked, key=lambda sight: sight.row.body_px)
    if count == 1:
        return [(marked[0], empty, marked[len(marked) // 2])[turn % 3]]
    larger = marked[: len(marked) // 2 + 1]
    return [*_spread(larger, count - 1), empty]
