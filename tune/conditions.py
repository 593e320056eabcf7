"""Under which conditions trials run: how many at once, what is lost around them, who else works."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

__all__ = ["Conditions", "Overheads"]

_DRIFT: Final = 0.06
"""By which a quiet machine is slower or faster from one hour to the next, as a share."""

_LEAST_SHARE: Final = 0.05
_OVERHEADS_VARY: Final = 0.25


@dataclass(frozen=True)
class Overheads:
    """Seconds around the training, on this machine.

    Args:
        start_s: Until the first trial is given out.
        worker_s: Until a new worker trains.
        between_s: From one trial to the next of a worker.
    """

    start_s: float
    worker_s: float
    between_s: float

    def times(self, factor: float) -> Overheads:
        """The same on a slower machine."""
        return Overheads(self.start_s * factor, self.worker_s * factor, self.between_s * factor)


@dataclass(frozen=True)
class Conditions:
    """Where a search runs.

    Args:
        slots: Trials at once.
        overheads: Seconds around the training.
        cpu_share: How much of the time trials are taken to have their cores. What else is at work
            may end, or become somewhat more.
        drift: By which the machine may be slower or faster another time all the same; standard
            deviation, as a share.
    """

    slots: int
    overheads: Overheads
    cpu_share: float = 1.0
    drift: float = _DRIFT

    def draw_pace(self, chance: random.Random) -> float:
        """How much slower one search runs than it is expected to, as a factor."""
        others = 0.0
        if self.cpu_share < 1:
            quiet = math.log(max(self.cpu_share, _LEAST_SHARE))
            others = chance.triangular(quiet, 0.5 * (1 - self.cpu_share), 0.0)
        return math.exp(chance.gauss(0.0, self.drift) + others)

    def draw_overheads(self, chance: random.Random) -> Overheads:
        """Those of one search."""
        return self.overheads.times(math.exp(chance.gauss(0.0, _OVERHEADS_VARY)))
