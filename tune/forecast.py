"""How a search may go: many made-up ones, each with its trials, rungs and luck."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tune.conditions import Conditions
from tune.looks import Looks, Luck
from tune.retention import KEPT
from tune.study_file import StudyFile

__all__ = ["Outcome", "TrialCost", "forecast"]

_EFFORT: Final = 300_000
_MOST_SEARCHES, _FEWEST_SEARCHES = 400, 60
_MOST_TRIALS = 20_000


@dataclass(frozen=True)
class TrialCost:
    """What a trial of a recipe takes.

    Args:
        epochs: Of a full training.
        epoch_s: Seconds of one.
        final_s: Seconds for the scores after the last one.
        kind: Recipes of one kind err together.
        error: Standard deviation of the seconds of this kind, as a share.
        size: Place of its seconds among all, around 0: large networks may be favoured, or small
            ones.
        memory_gb: Most memory of a trial.
        checkpoint_gb: Of one checkpoint, at most.
        least_gb: And at least.
    """

    epochs: int
    epoch_s: float
    final_s: float
    kind: int
    error: float
    size: float
    memory_gb: float
    checkpoint_gb: float
    least_gb: float


@dataclass(frozen=True)
class Outcome:
    """What one search came to.

    Args:
        wall_s: From its start to the end of its last trial.
        epochs: Of all trials.
        trial_s: Seconds of all trials.
        trials: Their number.
        memory_gb: Of the largest trial.
        kept_gb: Checkpoints that are left.
    """

    wall_s: float
    epochs: int
    trial_s: float
    trials: int
    memory_gb: float
    kept_gb: float


def forecast(
    study: StudyFile,
    planned: Sequence[TrialCost],
    drawn: Sequence[TrialCost],
    conditions: Conditions,
    *,
    effort: int = _EFFORT,
    seed: int = 0,
) -> list[Outcome]:
    """Let a search happen many times, each time with other luck.

    What differs from one to the next: how much faster the machine is than while it was
    measured, how far each measurement errs, what the sampler comes to prefer and how strongly,
    how well a look at a rung tells the next, whether large networks do better or small ones.

    Args:
        study: Its method, caps, budget and early stopping.
        planned: Trials that are sure to be asked for first, in their order.
        drawn: A sample of what a sampler may propose; of a grid none.
        conditions: Where it runs.
        effort: Rungs that are gone through in all of them, about.
        seed: Of all luck.

    Returns:
        One outcome for each; none where nothing would be trained.
    """
    if not planned and not drawn:
        return []
    likely = study.run_cap or len(planned)
    if not drawn:
        likely = min(likely, len(planned))
    events = max(1, likely) * (len(study.rungs()) + 2)
    count = min(_MOST_SEARCHES, max(_FEWEST_SEARCHES, effort // events))
    chance = random.Random(seed)
    return [_Search(study, planned, drawn, conditions, chance=chance).run() for _ in range(count)]


class _Search:
    """One search that might be."""

    def __init__(
        self,
        study: StudyFile,
        planned: Sequence[TrialCost],
        drawn: Sequence[TrialCost],
        conditions: Conditions,
        *,
        chance: random.Random,
    ) -> None:
        self._study, self._planned, self._drawn = study, planned, drawn
        self._slots, self._chance = conditions.slots, chance
        self._luck = Luck(study, chance)
        self._looks = Looks(study, self._luck, chance)
        self._speed = conditions.draw_pace(chance)
        self._overheads = conditions.draw_overheads(chance)
        self._errors: dict[int, float] = {}
        self._favourite = chance.choice(drawn) if drawn else None
        self._epochs, self._trial_s = 0, 0.0
        self._begun: list[_Running] = []

    def run(self) -> Outcome:
        """Give out trials until the caps or the budget say stop, and wait for the last."""
        over = self._overheads
        begins = [(over.start_s + over.worker_s, slot) for slot in range(self._slots)]
        # what happens next: when, then whether a trial looks at its rungs, or a slot is free
        events: list[tuple[float, int, _Running | None]] = [(at, n, None) for at, n in begins]
        heapq.heapify(events)
        count, end = len(events), 0.0
        while events:
            now, _, trial = heapq.heappop(events)
            if trial is None:
                trial = self._next(now)
                if trial is None:
                    continue
            elif self._goes_on(trial):
                pass
            else:
                end = max(end, now)
                heapq.heappush(events, (now + over.between_s, count, None))
                count += 1
                continue
            heapq.heappush(events, (now + self._to_next_look(trial), count, trial))
            count += 1
        return Outcome(
            wall_s=end,
            epochs=self._epochs,
            trial_s=self._trial_s,
            trials=len(self._begun),
            memory_gb=max((trial.cost.memory_gb for trial in self._begun), default=0.0),
            kept_gb=self._kept_gb(),
        )

    def _next(self, now: float) -> _Running | None:
        study, number = self._study, len(self._begun)
        over_cap = number >= (study.run_cap or _MOST_TRIALS)
        over_time = study.budget.hours is not None and now >= study.budget.hours * 3600
        over_epochs = study.budget.epochs is not None and self._epochs >= study.budget.epochs
        if over_cap or over_time or over_epochs:
            return None
        if number < len(self._planned):
            cost = self._planned[number]
        elif self._drawn:
            cost = self._propose(number)
        else:
            return None
        is_default = study.method != "grid" and number == 0
        quality = self._luck.quality(number, cost.size)
        looks = self._looks.plan(cost.epochs, is_default=is_default)
        self._begun.append(_Running(cost, self._speed * self._error(cost), quality, looks))
        return self._begun[-1]

    def _kept_gb(self) -> float:
        """Checkpoints of the best: the last one, and the best where that is another."""
        best = sorted(self._begun, key=lambda trial: trial.quality, reverse=True)[:KEPT]
        files = [self._chance.choice((1, 2)) if trial.epoch > 1 else 1 for trial in best]
        share = self._chance.random()  # the tables in them are large in all, or small
        sizes = [t.cost.least_gb + share * (t.cost.checkpoint_gb - t.cost.least_gb) for t in best]
        return sum(count * size for count, size in zip(files, sizes, strict=True))

    def _propose(self, number: int) -> TrialCost:
        """By chance at first; then more and more what this search came to prefer."""
        if self._favourite is not None and self._chance.random() < self._luck.focus(number):
            return self._favourite
        return self._chance.choice(self._drawn)

    def _error(self, cost: TrialCost) -> float:
        if cost.kind not in self._errors:
            self._errors[cost.kind] = math.exp(self._chance.gauss(0.0, cost.error))
        return self._errors[cost.kind]

    def _to_next_look(self, trial: _Running) -> float:
        """Train to the next rung, or to the end; returns the seconds of it."""
        until = trial.looks[0][0] if trial.looks else trial.cost.epochs
        epochs, trial.epoch = until - trial.epoch, until
        self._epochs += epochs
        seconds = epochs * trial.cost.epoch_s
        if not trial.looks:
            seconds += trial.cost.final_s
        seconds *= trial.pace
        self._trial_s += seconds
        return seconds

    def _goes_on(self, trial: _Running) -> bool:
        if not trial.looks:
            return False
        epoch, rung = trial.looks.pop(0)
        return self._looks.passes(rung, epoch, trial.quality)


@dataclass
class _Running:
    """A trial in training: its looks are the epochs at which it may end, each with its rung."""

    cost: TrialCost
    pace: float
    quality: float
    looks: list[tuple[int, object]]
    epoch: int = 0
