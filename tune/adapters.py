"""Thin objects through which Ray Tune asks the ledger and tells it. All they know can be lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.tune import Callback, Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune.interruption import Interruption
from tune.ledger import Ledger
from tune.patience import Patience
from tune.trial import FAILURE, ROW

if TYPE_CHECKING:
    from tune.executor import Job, Observer

__all__ = ["LedgerScheduler", "LedgerSearcher", "StopWhen", "Watchdog"]

_LONGEST_TICK_S = 1.0

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
        self._hung: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A trial's configuration, None for not now, or ``FINISHED``."""
        if self._interruption.is_set:
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
        self._hung.pop(trial_id, None)
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
        if number is None or self._interruption.is_set:
            return
        died = f"its process died {self._job.retries + 1} times"
        hung = self._hung.pop(trial_id, "")
        self._ledger.finish(number, (hung or died) if error else "")
        self._tell("finished", number)

    def note_hung(self, trial_id: str, limit_s: float) -> None:
        """Its process is ended for it; if no other goes on, this is why it failed."""
        self._hung[trial_id] = f"hung: no epoch within {limit_s:.0f} s"
        log.warning("trial %d %s; starting it again", self._numbers[trial_id], self._hung[trial_id])

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


@dataclass
class _Watched:
    own: list[float]
    heard_at: float


class Watchdog(Callback):  # type: ignore[misc]
    """Ends the process of a trial that reports no epoch for far too long; Ray then retries it.

    A hung call of C hears no signal and no Python, so that nothing milder would do. The
    clock stands still while the driver itself does, asleep or at work: then it is not
    the trial that is silent.

    Args:
        ledger: Knows how long epochs took.
        searcher: Told which trials hung.
        patience: How long is too long.
    """

    def __init__(self, ledger: Ledger, searcher: LedgerSearcher, patience: Patience) -> None:
        self._ledger, self._searcher, self._patience = ledger, searcher, patience
        self._watched: dict[str, _Watched] = {}
        self._clock, self._last_tick = 0.0, time.monotonic()
        known = [row["seconds"] for entry in ledger.entries() for row in entry.rows]
        self._slowest_s = max(known, default=None)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Watch a trial from now on."""
        rows = self._ledger.entry(trial.config["number"]).rows
        own = [row["seconds"] for row in rows]
        self._watched[trial.trial_id] = _Watched(own, self._clock)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """It lives; the next epoch has all the time again."""
        watched = self._watched.get(trial.trial_id)
        if watched is None or ROW not in result:  # not flattened, other than for a scheduler
            return
        seconds = result[ROW]["seconds"]
        self._slowest_s = max(seconds, self._slowest_s or 0.0)
        watched.own.append(seconds)
        watched.heard_at = self._clock

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Watch it no longer."""
        self._watched.pop(trial.trial_id, None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Watch it no longer, until another process goes on with it."""
        self._watched.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Watch it no longer."""
        self._watched.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ray's regular tick, ten times a second."""
        now = time.monotonic()
        self._clock += min(now - self._last_tick, _LONGEST_TICK_S)
        self._last_tick = now
        for trial in trials if self._watched else ():
            watched = self._watched.get(trial.trial_id)
            if watched is None:
                continue
            limit_s = self._patience.limit_s(watched.own, self._slowest_s)
            actor = trial.temporary_state.ray_actor
            if self._clock - watched.heard_at > limit_s and actor is not None:
                watched.heard_at = self._clock  # once more after as long, should it live on
                self._searcher.note_hung(trial.trial_id, limit_s)
                ray.kill(actor)
