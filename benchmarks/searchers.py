"""Searches that can be run over recorded curves: ours, Ray Tune's and Optuna's, all the real ones.

Each is asked for a recipe, told every epoch, and says when to stop: what a trial is answered
with, and when, is the business of replay.py.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from tune.ledger import Ledger
from tune.space import Value
from tune.study_file import StudyFile

Values = Mapping[str, Value]
NO_END = 100_000


class Search(Protocol):
    """What replay.py runs."""

    def ask(self) -> tuple[int, Values]:
        """A new trial: its number and its recipe."""
        ...

    def report(self, number: int, epoch: int, score: float, *, last: bool) -> bool:
        """An epoch has ended; True when no other follows."""
        ...


class Ours:
    """The ledger of `segtune run`: default recipe first, its sampler, its pruner."""

    def __init__(self, study: StudyFile, seed: int) -> None:
        self._ledger = Ledger(replace(study, seed=seed, run_cap=NO_END), InMemoryStorage())

    def ask(self) -> tuple[int, Values]:
        order = self._ledger.ask()
        assert order is not None, "nothing ends this search"
        return order.number, order.recipe.model_dump()

    def report(self, number: int, epoch: int, score: float, *, last: bool) -> bool:
        stop = self._ledger.report(number, {"epoch": epoch, "score": score, "seconds": 1.0})
        if stop or last:
            self._ledger.finish(number)
        return stop or last


class OfOptuna:
    """Optuna's study with one of its samplers and one of its pruners.

    Its name decides Hyperband's brackets, and would else be drawn by chance.
    """

    def __init__(
        self, study: StudyFile, sampler: BaseSampler, pruner: BasePruner, *, name: str
    ) -> None:
        self._space = study.space
        self._study = optuna.create_study(
            direction="maximize", sampler=sampler, pruner=pruner, study_name=name
        )
        self._trials: dict[int, optuna.Trial] = {}
        self._best: dict[int, float] = {}

    def ask(self) -> tuple[int, Values]:
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return trial.number, self._space.suggest(trial)

    def report(self, number: int, epoch: int, score: float, *, last: bool) -> bool:
        trial = self._trials[number]
        trial.report(score, epoch)
        self._best[number] = max(score, self._best.get(number, score))
        if last:
            self._study.tell(trial, self._best[number])
        elif trial.should_prune():
            self._study.tell(trial, state=TrialState.PRUNED)
            return True
        return last


@dataclass(frozen=True)
class _RayTrial:
    """As much of one of Ray's trials as its schedulers look at."""

    trial_id: str


class OfRay:
    """Ray Tune's OptunaSearch and ASHAScheduler, told in the order of its controller.

    All is as they come, but that ASHA knows how long a training is. The default recipe may be
    given to be tried first, as ours does.
    """

    def __init__(self, study: StudyFile, seed: int, *, default_first: bool = False) -> None:
        terms = {"metric": "dice", "mode": "max"}
        first = [study.space.to_fixed(study.default_point())] if default_first else None
        self._searcher = OptunaSearch(
            study.space.suggest, points_to_evaluate=first, seed=seed, **terms
        )
        self._scheduler = ASHAScheduler(max_t=study.horizon, **terms)
        self._trials: list[_RayTrial] = []

    def ask(self) -> tuple[int, Values]:
        trial = _RayTrial(str(len(self._trials)))
        self._trials.append(trial)
        self._scheduler.on_trial_add(None, trial)
        values = self._searcher.suggest(trial.trial_id)
        assert values is not None
        return len(self._trials) - 1, values

    def report(self, number: int, epoch: int, score: float, *, last: bool) -> bool:
        trial = self._trials[number]
        result = {"dice": score, "training_iteration": epoch}
        stop = self._scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
        if stop or last:
            self._searcher.on_trial_complete(trial.trial_id, result)
        else:
            self._searcher.on_trial_result(trial.trial_id, result)
        return stop or last


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Optuna and Ray announce every study and every interface that may still change."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
