"""Three thin objects through which Ray Tune asks the ledger and tells it. No state of their own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune.ledger import Ledger
from tune.trial import FAILURE, ROW

if TYPE_CHECKING:
    from tune.executor import Interruption, Job, Observer

__all__ = ["LedgerScheduler", "LedgerSearcher", "StopWhen"]

log = logging.getLogger("segtune")


class LedgerSearcher(Searcher):  # type: ignore[misc]  # Ray has no types
    """Ray asks for a configuration: the ledger answers.

    Args:
        ledger: The memory.
        job: What all trials share.
        observers: Told of every start, epoch and end.
        interruption: When set, nothing more is started or told.
    """

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        observers: Sequence[Observer],
        interruption: Interruption,
    ) -> None:
        super().__init__()  # with a metric, Ray would end the search at a result without it
        self._ledger, self._job = ledger, job
        self._observers, self._interruption = list(observers), interruption
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A trial's configuration, None for not now, or ``FINISHED``."""
        if self._interruption.signal is not None:
            return str(Searcher.FINISHED)
        if self._job.concurrent is not None and len(self._numbers) >= self._job.concurrent:
            return None
        order = self._ledger.ask()
        if order is None:
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = order.number
        self._tell("started", order)
        return self._job.config(order, self._ledger)

    def record(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Pass a row on to the ledger; True when the trial shall stop."""
        number = self._numbers[trial_id]
        if FAILURE in result:
            self._ledger.finish(number, result[FAILURE])
            return True
        # Ray hands results on flattened, with the whole configuration and more among them.
        mark = f"{ROW}/"
        row = {key.removeprefix(mark): v for key, v in result.items() if key.startswith(mark)}
        stop = self._ledger.report(number, row)
        self._tell("reported", number, row)
        return stop

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler passes results on."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the ledger that a trial has ended, unless the whole search winds down."""
        number = self._numbers.pop(trial_id, None)
        if number is None or self._interruption.signal is not None:
            return
        retries = self._job.retries
        self._ledger.finish(number, f"its process died {retries + 1} times" if error else "")
        self._tell("finished", number)

    def _tell(self, event: str, *what: Any) -> None:
        """An observer that fails is sent away; the search is not its business."""
        for observer in tuple(self._observers):
            try:
                getattr(observer, event)(*what)
            except Exception as error:
                self._observers.remove(observer)
                name = type(observer).__name__
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

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray writes its state to disk, ours is in the ledger."""
        return {}


class StopWhen(Stopper):  # type: ignore[misc]
    """Ends the whole run once a signal has come.

    Args:
        interruption: Where the signal is noted.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stops a single trial."""
        return False

    def stop_all(self) -> bool:
        """True once a signal has come."""
        return self._interruption.signal is not None
