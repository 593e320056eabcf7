"""Counts of all trials, at the price of those at work: who has ended is counted but once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

__all__ = ["Tally", "Teller"]

_NOT_COUNTED = ("infeasible", "withdrawn", "extends")


@dataclass(frozen=True)
class Tally:
    """What caps and budgets go by.

    Args:
        started: Trials that count against the cap: no proposals that cannot fit, no extensions.
        epochs: Of all trials, but for extensions.
        waiting: Trials that have not been given out.
        best_score: Over all epochs, or None without any.
    """

    started: int = 0
    epochs: int = 0
    waiting: int = 0
    best_score: float | None = None


class Teller:
    """Counts trials. One that has ended never changes again, and is not looked at twice.

    Args:
        maximize: Is a higher score better?
    """

    def __init__(self, *, maximize: bool) -> None:
        self._maximize = maximize
        self._ended = Tally()
        self._open: list[int] = []
        self._num_seen = 0

    def count(self, trials: Sequence[FrozenTrial]) -> Tally:
        """Count all trials.

        Args:
            trials: All of the study, by number from 0; at least those of the call before.

        Returns:
            The counts.
        """
        still_open = []
        for number in (*self._open, *range(self._num_seen, len(trials))):
            if trials[number].state.is_finished():
                self._ended = self._plus(self._ended, trials[number])
            else:
                still_open.append(number)
        self._open, self._num_seen = still_open, len(trials)
        tally = self._ended
        for number in still_open:
            tally = self._plus(tally, trials[number])
        return tally

    def _plus(self, tally: Tally, trial: FrozenTrial) -> Tally:
        attrs, scores = trial.user_attrs, trial.intermediate_values.values()
        waits = trial.state == TrialState.WAITING
        best = tally.best_score
        for score in scores:
            if math.isnan(score):
                continue
            if best is None or (score > best if self._maximize else score < best):
                best = score
        return Tally(
            started=tally.started + (not waits and attrs.keys().isdisjoint(_NOT_COUNTED)),
            epochs=tally.epochs + ("extends" not in attrs) * len(scores),
            waiting=tally.waiting + waits,
            best_score=best,
        )
