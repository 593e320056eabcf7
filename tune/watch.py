"""What looks at a running search ten times a second: is Ray alive, does every trial go on?"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.progress_reporter import TrialProgressCallback

from tune.adapters import LedgerSearcher
from tune.cluster import NodeLostError, find_dead
from tune.ledger import Ledger
from tune.patience import Patience
from tune.room import Room
from tune.trial import READY, ROW

__all__ = ["NodeWatch", "Silence", "Watchdog"]

_LONGEST_TICK_S = 1.0
_SECONDS_FOR_THE_FIRST = 30.0

log = logging.getLogger("segtune")


class Silence(TrialProgressCallback):  # type: ignore[misc]
    """Stands where Ray would put what prints trials: the screen is the observers'."""

    def _print(self, msg: str) -> None:
        """Nothing: of a trial that ends without a new epoch Ray would say so."""


class NodeWatch(Callback):  # type: ignore[misc]  # Ray has no types
    """Ends Ray's work at once when Ray itself has died; notes which process a trial is in.

    Args:
        searcher: Told of the processes.
        room: Looks how many trials the nodes of a cluster have room for.
    """

    def __init__(self, searcher: LedgerSearcher, room: Room) -> None:
        self._searcher, self._room = searcher, room
        self._patient_until = time.monotonic() + _SECONDS_FOR_THE_FIRST

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its process is up, or takes it after another trial."""
        self._patient_until = math.inf
        actor = trial.temporary_state.ray_actor._actor_id.hex()
        self._searcher.at_work.note_start(trial.trial_id, actor)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Before Ray's loop talks to its processes again."""
        dead = find_dead() or self._room.find_dead()
        if dead:
            raise NodeLostError(f"{dead} died")
        self._searcher.take_back(one.trial_id for one in trials if one.status == "ERROR")
        self._room.look(self._searcher.num_at_work)
        if time.monotonic() > self._patient_until and self._room.is_joined:
            self._patient_until = math.inf
            log.warning(
                "waiting: the first trial has no place on the cluster yet, or its worker is "
                "still starting"
            )


@dataclass
class _Watched:
    """A trial's process: what it has reported, and when it was heard last."""

    trial: Any
    heard_at: float
    epoch: int
    own: list[float] = field(default_factory=list)
    is_ready: bool = False


class Watchdog(Callback):  # type: ignore[misc]
    """Ends the process of a trial that reports no epoch for far too long; it is then tried again.

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
        self._watched[trial.trial_id] = _Watched(trial, self._clock, epoch=len(rows))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """It lives; what comes next has all the time again."""
        watched = self._watched.get(trial.trial_id)
        if watched is None:
            return
        if ROW in result:  # not flattened, other than for a scheduler
            row = result[ROW]
            watched.epoch = int(row["epoch"])
            if watched.is_ready:  # else it was trained before, and is reported late
                # what is heard misses the time that the driver stood still
                seconds = max(row["seconds"], self._clock - watched.heard_at)
                self._slowest_s = max(seconds, self._slowest_s or 0.0)
                watched.own.append(seconds)
        watched.is_ready = watched.is_ready or READY in result
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

    def _limit_s(self, watched: _Watched) -> float:
        """Before its first epoch data are fetched, and after the last one whole cases are scored.

        No epoch tells how long that takes.
        """
        epochs = watched.trial.config["recipe"]["epochs"]
        if not watched.is_ready or watched.epoch >= epochs:
            return self._patience.longest_s
        return self._patience.limit_s(watched.own, self._slowest_s)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ray's regular tick, ten times a second."""
        now = time.monotonic()
        self._clock += min(now - self._last_tick, _LONGEST_TICK_S)
        self._last_tick = now
        for trial_id, watched in self._watched.items():
            limit_s = self._limit_s(watched)
            actor = watched.trial.temporary_state.ray_actor
            if self._clock - watched.heard_at > limit_s and actor is not None:
                watched.heard_at = self._clock  # once more after as long, should it live on
                self._searcher.at_work.note_hung(trial_id, limit_s)
                ray.kill(actor)
