"""How long a search will still take, judged by how long its epochs took so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from tune.entries import Entry

__all__ = ["Pace", "expect_seconds"]


class Pace:
    """How long a search will still take, judged by how long its epochs took so far.

    Args:
        num_planned: Trials in all; None makes no forecast.
        clock: Tells seconds.
    """

    def __init__(
        self,
        num_planned: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_planned, self._clock = num_planned, clock
        self._opened = clock()
        self._begun: float | None = None
        self._epochs = 0
        self._end: float | None = None

    def begin(self) -> None:
        """The first trial starts; what came before does not count."""
        self._begun = self._clock() if self._begun is None else self._begun

    def note(
        self, entries: Sequence[Entry], lengths: Mapping[int, int], *, new_epochs: int
    ) -> None:
        """Think again, an epoch or a trial having ended.

        Args:
            entries: All trials.
            lengths: Epochs of those that run, by number.
            new_epochs: Epochs that ended since the last call.
        """
        self._epochs += new_epochs
        if self._num_planned is None or self._begun is None or not self._epochs:
            return
        left = _epochs_left(entries, lengths, self._num_planned)
        if left is None:
            return
        now = self._clock()
        self._end = now + left * (now - self._begun) / self._epochs

    def seconds_elapsed(self) -> float:
        """Seconds since the search was begun or continued."""
        return self._clock() - self._opened

    def seconds_left(self) -> float | None:
        """Seconds until the end, counted down between two thoughts; None for unknown."""
        return None if self._end is None else max(self._end - self._clock(), 0.0)


def expect_seconds(entries: Sequence[Entry], num_planned: int | None) -> float | None:
    """How long a search will still take, for whom has not watched it from its beginning.

    Trials to come are expected to be as long as those that ended, and as many to run at a
    time as do now.

    Args:
        entries: All trials, a process being at them.
        num_planned: Trials in all; None makes no forecast.

    Returns:
        Seconds; None for unknown.
    """
    running = [e for e in entries if e.state == "RUNNING" and e.started]
    seconds = [row["seconds"] for e in entries for row in e.rows]
    if num_planned is None or not running or not seconds:
        return None
    lengths = {e.number: int(e.recipe["epochs"]) for e in running}
    left = _epochs_left(entries, lengths, num_planned)
    return None if left is None else left * sum(seconds) / len(seconds) / len(running)


def _epochs_left(
    entries: Sequence[Entry], lengths: Mapping[int, int], num_planned: int
) -> float | None:
    """Epochs of a search that are still to be trained; None before any trial has ended.

    Trials to come are expected to be as long as those that ended, stopped ones included.
    """
    done = [len(e.rows) for e in entries if e.started and e.number not in lengths]
    if not done:
        return None
    mean = sum(done) / len(done)
    left = max(num_planned - len(done) - len(lengths), 0) * mean
    for entry in entries:
        if entry.number in lengths:
            length = lengths[entry.number]
            expected = mean if len(entry.rows) < mean else length
            left += max(min(expected, length) - len(entry.rows), 0)
    return left
