"""Patience: how long a trial may be silent before it counts as hung. Knows nothing of Ray."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Patience"]

_FACTOR = 10
_ENOUGH = 2


@dataclass(frozen=True)
class Patience:
    """Ten times what an epoch takes, and never less than a time by what is known.

    A slow trial that lives must not be ended. Its own epochs tell best how long one takes.
    Those of other trials may be of a far smaller network, so that the slowest is taken, and
    more time is left. What an epoch takes is from one report to the next: saving and
    uploading are part of it.

    Args:
        own_s: The least, once a trial's process has reported two epochs.
        others_s: The least before that, when any epoch of the study is known.
        unknown_s: How long the first epoch of all may take, getting ready for it, such as
            copying the prepared data to a new machine, and scoring after the last one.
        away_s: How long a place far away, where files are kept, is waited for beside that.
    """

    own_s: float = 60.0
    others_s: float = 600.0
    unknown_s: float = 3600.0
    away_s: float = 0.0

    def limit_s(self, own: Sequence[float], slowest_s: float | None) -> float:
        """Seconds that the next epoch may take.

        Args:
            own: Seconds of the epochs that this process of the trial has reported.
            slowest_s: The slowest epoch of the whole study; None when there is none.

        Returns:
            The limit.
        """
        if len(own) >= _ENOUGH:
            return max(self.own_s, _FACTOR * statistics.median(own)) + self.away_s
        if slowest_s is not None:
            return max(self.others_s, _FACTOR * slowest_s) + self.away_s
        return self.longest_s

    @property
    def longest_s(self) -> float:
        """Seconds for what no epoch tells of."""
        return self.unknown_s + self.away_s
