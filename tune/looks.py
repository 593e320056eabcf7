"""When made-up trials end early: the rules of `tune.strategies`, and how their luck runs."""

from __future__ import annotations

import math
import random
from bisect import insort
from statistics import median
from typing import Final

from tune.study_file import StudyFile

__all__ = ["Looks", "Luck"]

_TRIALS_BEFORE_MEDIAN: Final = 5  # Optuna's
_GUIDED: Final = ("bayes", "gp", "cmaes")


class Luck:
    """What nobody can know before one search: drawn once for it.

    Args:
        study: Its method.
        chance: Where luck comes from.
    """

    def __init__(self, study: StudyFile, chance: random.Random) -> None:
        guided = study.method in _GUIDED
        self._chance = chance
        self._first = 10 if guided else 10**9  # proposals before the sampler knows anything
        self._focus = chance.uniform(0.0, 0.9) if guided else 0.0
        self._gain = chance.uniform(0.0, 1.5) if guided else 0.0
        self._planned = max(study.num_planned or 40, self._first + 1)
        self._for_size = chance.uniform(-1.0, 1.0)
        self.agreement = chance.uniform(0.3, 1.0)
        """Correlation of what a look at a rung shows with how good a trial is."""

    def focus(self, number: int) -> float:
        """How likely a proposal is like what the sampler came to prefer."""
        return self._focus if number >= self._first else 0.0

    def quality(self, number: int, size: float) -> float:
        """How good a trial is: later ones are better where something learns from the earlier."""
        learnt = self._gain * max(0.0, number - self._first / 2) / self._planned
        return self._chance.gauss(0.0, 1.0) + learnt + self._for_size * size


class Looks:
    """Rungs of one search, with the scores that came to them.

    Args:
        study: Says which rule ends trials.
        luck: Of this search.
        chance: Where luck comes from.
    """

    def __init__(self, study: StudyFile, luck: Luck, chance: random.Random) -> None:
        self._rule, self._horizon = study.early_terminate, study.horizon
        self._luck, self._chance = luck, chance
        self._scores: dict[object, list[float]] = {}
        self._patience = chance.random()
        if self._rule.type == "hyperband":  # bracket b begins at rung b, with its share of trials
            ratio = max(1.0, self._horizon / self._rule.min_iter)
            self._num_brackets = int(math.log(ratio, self._rule.eta) + 1e-9) + 1

    def plan(self, epochs: int, *, is_default: bool) -> list[tuple[int, object]]:
        """Where a trial may end: after which epochs, and at which rung that is.

        Args:
            epochs: Of its full training.
            is_default: The default recipe is looked at, and goes on.

        Returns:
            Epochs, rising, each with a name for the rung.
        """
        rule = self._rule
        last = min(epochs, rule.max_iter or epochs)
        if rule.type == "patience":
            return [] if is_default else self._plan_patience(last)
        bracket, first = 0, rule.min_iter
        if rule.type == "none":
            return []
        if rule.type == "hyperband":
            bracket = self._choose_bracket()
            first *= rule.eta**bracket
        step = 2 if rule.type == "median" else rule.eta
        found: list[tuple[int, object]] = []
        epoch = max(1, first)
        while epoch < last:
            found.append((epoch, (is_default, bracket, epoch)))
            epoch *= step
        return found

    def passes(self, rung: object, epoch: int, quality: float) -> bool:
        """Does a trial go on past a rung?

        Args:
            rung: Named by :meth:`plan`.
            epoch: After which it looks.
            quality: Of the trial.

        Returns:
            Whether it does.
        """
        if self._rule.type == "patience":
            return False
        assert isinstance(rung, tuple)
        is_default, bracket, _ = rung
        agreement = self._luck.agreement
        noise = math.sqrt(1 - agreement**2)
        score = agreement * quality + noise * self._chance.gauss(0.0, 1.0)
        scores = self._scores.setdefault((bracket, epoch), [])
        if self._rule.type == "median":
            stays = len(scores) < _TRIALS_BEFORE_MEDIAN or score >= median(scores)
            insort(scores, score)
        else:  # as Optuna's SuccessiveHalvingPruner: among the best of those so far, itself too
            insort(scores, score)
            stays = score >= scores[-max(1, len(scores) // self._rule.eta)]
        return stays or is_default

    def _plan_patience(self, last: int) -> list[tuple[int, object]]:
        """When a trial no longer gains nobody can say: late in some searches, soon in others."""
        span = last - self._rule.min_iter - 1
        share = min(1.0, max(0.0, self._patience + self._chance.gauss(0.0, 0.2)))
        epoch = self._rule.min_iter + 1 + round(share * max(0, span))
        return [(epoch, "patience")] if epoch < last else []

    def _choose_bracket(self) -> int:
        """With Optuna's weights: each bracket has about the same budget."""
        highest = self._num_brackets - 1
        weights = [
            math.ceil(self._num_brackets * self._rule.eta ** (highest - b) / (highest - b + 1))
            for b in range(self._num_brackets)
        ]
        return self._chance.choices(range(self._num_brackets), weights)[0]
