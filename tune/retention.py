"""Which checkpoints are worth their disk: those of trials at work and of the best that ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglib.checkpoint import previous_of
from seglib.cost import estimate_checkpoint_gb
from seglib.data.store import Store
from seglib.errors import Problem, StudyFileError
from seglib.recipe import Recipe
from tune.entries import Entry
from tune.ledger import Ledger, Order
from tune.mirror import Mirror
from tune.report import best_row
from tune.study_file import StudyFile
from tune.trial_files import LAST, trial_folder

__all__ = ["KEPT", "CheckpointKeeper", "Quota", "most_files"]

KEPT = 5
"""Trials that ended and whose checkpoints stay: the best ones."""
_OVER = ("COMPLETE", "PRUNED", "FAIL")
_AT_WORK = 4
"""Files of a trial at work: last, the one before, best, and the one that is being written."""
_ENDED = 2
"""Files of a trial that ended: last and best."""


def most_files(concurrent: int) -> int:
    """Checkpoints that a search without a quota has at most while it runs.

    Args:
        concurrent: Trials at work at once.

    Returns:
        Their number.
    """
    return _AT_WORK * concurrent + _ENDED * KEPT


@dataclass(frozen=True)
class Quota:
    """How much disk all checkpoints of a search may take.

    Args:
        gb: That much, in 1e9 bytes.
        concurrent: Trials at work at once.
        predict_gb: Size of one checkpoint of a recipe, at most.
    """

    gb: float
    concurrent: int
    predict_gb: Callable[[Recipe], float]

    @classmethod
    def of(cls, study: StudyFile, store: Store, concurrent: int | None) -> Quota | None:
        """The quota that a study sets, if it sets one.

        Args:
            study: Its ``constraints.disk_gb``, and the recipes that are sure to be proposed.
            store: Says how many channels and classes the networks have.
            concurrent: Trials at work at once; None for as many as a cluster has room for.

        Returns:
            The quota, or None.

        Raises:
            StudyFileError: It is too small for even one of those recipes, or nobody knows
                how many trials share it.
        """
        gb = study.constraints.disk_gb
        if gb is None:
            return None
        if concurrent is None:
            wanted = "a number: the trials at work share constraints.disk_gb"
            problem = Problem("resources.concurrent", "nothing", wanted)
            raise StudyFileError(str(study.path), [problem])

        def predict(recipe: Recipe) -> float:
            sizes = {"num_channels": store.num_channels, "num_logits": store.target.num_logits}
            return estimate_checkpoint_gb(recipe, **sizes)

        quota = cls(gb, concurrent, predict)
        values = [row.values for row in study.rows] or [study.default_point()]
        quota._require_room(str(study.path), [Recipe(**one) for one in values])
        return quota

    def why_too_large(self, recipe: Recipe) -> str:
        """The arithmetic, where trials of this recipe and the best of them would not fit.

        Args:
            recipe: A proposal.

        Returns:
            The reason, or an empty text.
        """
        one, files = self.predict_gb(recipe), _AT_WORK * self.concurrent + _ENDED
        if files * one <= self.gb:
            return ""
        return (
            f"{files * one:.3g} GB of disk predicted: checkpoints of {one:.3g} GB, {_AT_WORK} for "
            f"each of {self.concurrent} trials at work and {_ENDED} for the best that ended; "
            f"at most {self.gb:g} GB allowed"
        )

    def _require_room(self, source: str, recipes: Sequence[Recipe]) -> None:
        reasons = [self.why_too_large(recipe) for recipe in recipes]
        if not reasons or not all(reasons):
            return
        hint = "raise it, lower resources.concurrent, or search smaller networks"
        problem = Problem("constraints.disk_gb", f"{self.gb:g} GB", reasons[0], hint)
        raise StudyFileError(source, [problem])


class Shelf:
    """Trials' checkpoints in the run directory.

    Args:
        run_dir: The run directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def expect(self, number: int) -> None:
        """A trial begins, and will have some."""

    def size_gb(self, number: int) -> float:
        """What a trial's files take; two names of one file take it once."""
        states = [path.stat() for path in self._folder(number).glob("*")]
        return sum({state.st_ino: state.st_size for state in states}.values()) / 1e9

    def remove_previous(self, number: int) -> None:
        """Of a trial that ended, the last checkpoint but one is nobody's."""
        previous_of(trial_folder(self._run_dir, number) / LAST).unlink(missing_ok=True)

    def remove(self, number: int) -> None:
        """Remove all of a trial's."""
        shutil.rmtree(self._folder(number), ignore_errors=True)

    def _folder(self, number: int) -> Path:
        return (trial_folder(self._run_dir, number) / LAST).parent


class FarShelf(Shelf):
    """Those at a URL, with their copies in the run directory.

    Args:
        run_dir: The run directory.
        mirror: Its place.
    """

    def __init__(self, run_dir: Path, mirror: Mirror) -> None:
        super().__init__(run_dir)
        self._mirror = mirror
        self._there: set[int] | None = None

    def expect(self, number: int) -> None:
        """A trial begins, and will have some."""
        self._known().add(number)

    def size_gb(self, number: int) -> float:
        """What a trial's files take there."""
        return sum(self._mirror.sizes(number).values()) / 1e9

    def remove(self, number: int) -> None:
        """Remove all of a trial's, where there are any: each question costs an answer."""
        super().remove(number)
        if number in self._known():
            self._mirror.remove_checkpoints(number)
            self._known().discard(number)

    def _known(self) -> set[int]:
        if self._there is None:
            self._there = self._mirror.list_kept()
        return self._there


class CheckpointKeeper:
    """Removes the checkpoints of ended trials that are not among the best.

    A network with its optimiser takes three times its weights, and a search makes
    many. What the trials found (``epochs.csv``, ``cases.csv``, the ledger) stays.

    Args:
        ledger: Says how trials ended.
        run_dir: The run directory.
        quota: What all checkpoints may take together; None bounds their number alone.
        mirror: Of the run directory, if its place is a URL: then they lie there.
    """

    def __init__(
        self,
        ledger: Ledger,
        run_dir: Path,
        quota: Quota | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self._ledger, self._quota = ledger, quota
        self._shelf = Shelf(run_dir) if mirror is None else FarShelf(run_dir, mirror)
        self._at_work: dict[int, float] = {}
        self._beaten: set[int] = set()

    def started(self, order: Order) -> None:
        """Make room for what the trial will write, before it does."""
        self._shelf.expect(order.number)
        if self._quota is not None:
            self._at_work[order.number] = _AT_WORK * self._quota.predict_gb(order.recipe)
            self._trim()

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Nothing to remove yet."""

    def finished(self, number: int) -> None:
        """Remove what is no longer worth keeping."""
        self._at_work.pop(number, None)
        self._trim()

    def _trim(self) -> None:
        entries = self._ledger.entries()
        ended = [e for e in entries if e.state in _OVER and e.number not in self._beaten]
        best = self._find_best(ended)
        kept = self._choose(best, self._free_gb(entries))
        for entry in ended:
            if entry.number in kept:
                self._shelf.remove_previous(entry.number)
            else:
                self._shelf.remove(entry.number)
        self._beaten |= {e.number for e in ended} - {e.number for e in best}

    def _free_gb(self, entries: Sequence[Entry]) -> float:
        """What trials that have not ended leave; those not at work yet hold what they hold."""
        if self._quota is None:
            return float("inf")
        waiting = [e for e in entries if e.state == "RUNNING" and e.number not in self._at_work]
        held = sum(self._shelf.size_gb(entry.number) for entry in waiting)
        return self._quota.gb - sum(self._at_work.values()) - held

    def _find_best(self, ended: Sequence[Entry]) -> list[Entry]:
        """The best first; who is beaten once stays so, and need not be looked at again."""
        file = self._ledger.file
        if file.folds:  # scores of other patients: none is better, and the test part may ask all
            return [entry for entry in ended if entry.state == "COMPLETE"]
        rows = [(best_row(file, entry), entry) for entry in ended if entry.state != "FAIL"]
        scored = [(row["score"], entry) for row, entry in rows if row is not None]
        scored.sort(key=lambda pair: pair[0], reverse=file.metric.goal == "maximize")
        return [entry for _, entry in scored[:KEPT]]

    def _choose(self, best: Sequence[Entry], free_gb: float) -> set[int]:
        """As many of the best as there is room for."""
        if self._quota is None:
            return {entry.number for entry in best}
        kept: set[int] = set()
        for entry in best:
            self._shelf.remove_previous(entry.number)
            size = self._shelf.size_gb(entry.number)
            if size <= free_gb:
                kept.add(entry.number)
                free_gb -= size
        return kept
