"""Thin objects through which Ray Tune asks the ledger and tells it. All they know can be lost."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from seglib.errors import UnwritableError
from tune.at_work import AtWork
from tune.deaths import Cause, Deaths, Fault, in_a_line
from tune.interruption import Interruption
from tune.last_words import explain, find_shortage
from tune.ledger import Ledger
from tune.room import Room
from tune.trial import FAILURE, HALT, KIND, NOTE, READY, ROW

if TYPE_CHECKING:
    from tune.executor import Job, Observer

__all__ = ["LedgerScheduler", "LedgerSearcher", "StopWhen"]

log = logging.getLogger("segtune")


class LedgerSearcher(Searcher):  # type: ignore[misc]  # Ray has no types
    """Ray asks for a configuration: the ledger answers.

    Args:
        ledger: The memory.
        job: What all trials share.
        observers: Told of every start, epoch and end.
        interruption: When set, nothing more is started or told.
        deaths: How often trials died so far.
        room: How many trials there is room for; None for what the job says.
    """

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        observers: Sequence[Observer],
        interruption: Interruption,
        *,
        deaths: Deaths,
        room: Room | None = None,
    ) -> None:
        super().__init__()  # with a metric, Ray would end the search at a result without it
        self._ledger, self._job, self._deaths = ledger, job, deaths
        self._observers, self._interruption = list(observers), interruption
        self._room = room or Room(job.cpus, job.gpus, job.concurrent)
        self.at_work = AtWork(deaths, self._room)
        self._numbers = self.at_work.numbers
        self._has_more = True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A trial's configuration, None for not now, or ``FINISHED``.

        While a trial is at work nothing is finished: it may die and be given out again.
        """
        if self._interruption.is_set:
            return str(Searcher.FINISHED)
        most = self._room.most(len(self._numbers))
        if not self._has_more or (most is not None and len(self._numbers) >= most):
            return None
        order = None
        with self._halting():
            order = self._ledger.ask()
        if order is None:
            self._has_more = not self._numbers
            return str(Searcher.FINISHED) if self._has_more else None
        avoid = self.at_work.add(trial_id, order.number)
        self._tell("started", order)
        return self._job.config(order, self._ledger) | {"avoid": avoid}

    def record(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Pass a row on to the ledger; True when the trial shall stop."""
        if HALT in result and self._room.is_joined:
            self._end_search(self.at_work.note_fault(trial_id, result[KIND], result[HALT]))
            return False  # its process ends by itself, and must not be used again
        if HALT in result:
            self._interruption.halt(result[HALT])
        if self._interruption.reason:  # the ledger's place may be the one that takes no more
            return True
        with self._halting():
            return self._record(trial_id, result)
        return True

    def _record(self, trial_id: str, result: dict[str, Any]) -> bool:
        number = self._numbers[trial_id]
        if READY in result:
            node = str(result.get("node_ip", "")) if self._room.is_joined else ""
            self._tell("placed", number, {"node": node, "GPU": str(result[READY])})
            return False
        if NOTE in result:
            log.warning("trial %d: %s", number, result[NOTE])
            return False
        if FAILURE in result:
            self._ledger.finish(number, result[FAILURE])
            return True
        # Ray hands results on flattened, with the whole configuration and more among them.
        mark = f"{ROW}/"
        self.at_work.note_row(trial_id)
        row = {key.removeprefix(mark): v for key, v in result.items() if key.startswith(mark)}
        if row["epoch"] <= len(self._ledger.entry(number).rows):
            return False  # known: it had to begin anew
        stop = self._ledger.report(number, row)
        self.at_work.note_epoch(trial_id)
        self._tell("reported", number, row)
        return stop

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler passes results on."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the ledger that a trial has ended, unless the whole search winds down."""
        number, cause = self.at_work.end(trial_id)
        self._has_more = True
        if number is None or self._interruption.is_set:
            return
        with self._halting():
            if error:
                self._note_death(number, cause)
            else:
                self._end(number)

    @property
    def num_at_work(self) -> int:
        """Trials that were given out and have not ended."""
        return len(self._numbers)

    def note_error(self, trial_id: str, error: str) -> None:
        """Its process is gone: of what?

        Args:
            trial_id: Whose.
            error: All that Ray said.
        """
        self._end_search(self.at_work.note_error(trial_id, error))

    def take_back(self, trial_ids: Iterable[str]) -> None:
        """Trials that Ray gave up before they began: it tells nobody, and would wait for ever.

        The process that they were to take over had not cleared up after the trial before.

        Args:
            trial_ids: Of all trials that Ray counts as failed.
        """
        for trial_id in trial_ids:
            if trial_id in self._numbers:
                self.at_work.note_busy(trial_id)
                self.on_trial_complete(trial_id, error=True)

    def _end_search(self, reason: str) -> None:
        if reason:
            self._interruption.halt(reason)

    def close(self, error: BaseException) -> Fault:
        """Ray failed and everything in it ended: a death for whom it is to be counted.

        Args:
            error: What Ray raised.

        Returns:
            What to say of it.
        """
        shortage, at_work = find_shortage(error), self.at_work.with_process()
        fault, cause = explain(error, shortage, len(at_work))
        cause = replace(cause, is_foreign=self._room.is_joined and not shortage)
        if shortage:
            # Ray names whom it ended; the others end with the rest of Ray, no fault of theirs.
            at_work = self.at_work.with_process(shortage)
        for number in () if self._interruption.is_set else at_work:
            self._note_death(number, cause)
        return fault

    def _note_death(self, number: int, cause: Cause) -> None:
        """Give the trial out again, or give it up."""
        reason = self._deaths.note(number, cause)
        if reason:
            log.warning("trial %d: %s; it is given up", number, cause)
            self._end(number, reason)
            return
        known = len(self._ledger.entry(number).rows)
        then = f"goes on after epoch {known}" if known else "begins again"
        log.warning("trial %d: %s; it %s", number, cause, then)
        self._ledger.take_up(number)

    def _end(self, number: int, failure: str = "") -> None:
        self._ledger.finish(number, failure)
        self._tell("finished", number)

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """A place that takes no more files ends the search; no trial is to blame."""
        try:
            yield
        except UnwritableError as error:
            self._interruption.halt(str(error))

    def _tell(self, event: str, *what: Any) -> None:
        """An observer that fails is sent away, unless the search is its business."""
        for observer in tuple(self._observers):
            try:
                if hasattr(observer, event):  # it need not care for all of them
                    getattr(observer, event)(*what)
            except UnwritableError as error:
                self._interruption.halt(str(error))
            except Exception as error:
                name = type(observer).__name__
                if getattr(observer, "is_vital", False):
                    self._interruption.halt(f"{name} failed ({in_a_line(error)})")
                    continue
                self._observers.remove(observer)
                log.warning("%s stopped (%s); the search goes on without it", name, error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the memory."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray writes its state to disk, ours is in the ledger."""
        return {}


class LedgerScheduler(FIFOScheduler):  # type: ignore[misc]
    """Ray asks whether a trial goes on: the ledger's pruner answers.

    Args:
        searcher: Knows which trial is which.
    """

    def __init__(self, searcher: LedgerSearcher) -> None:
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE or STOP."""
        stop = self._searcher.record(trial.trial_id, result)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Before the searcher hears that the trial has ended: of what?"""
        said = Path(trial.error_file).read_text() if trial.error_file else ""
        self._searcher.note_error(trial.trial_id, said)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray writes its state to disk, ours is in the ledger."""
        return {}


class StopWhen(Stopper):  # type: ignore[misc]
    """Ends the whole run once it shall wind down.

    Args:
        interruption: Says so.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stops a single trial."""
        return False

    def stop_all(self) -> bool:
        """True once the search winds down."""
        return self._interruption.is_set
