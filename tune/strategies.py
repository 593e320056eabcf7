"""A study's method and early stopping as Optuna's samplers and pruners."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace, _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState
from typing_extensions import override

from seglib.seeds import derive_seed
from tune.study_file import StudyFile

__all__ = ["SAMPLER_NOTES", "ReplayedCmaEs", "SwiftTpe", "build_pruner", "build_sampler"]

SAMPLER_NOTES = ("cma:generation",)
"""What samplers write on a trial that they propose, and look for later."""


def build_sampler(study: StudyFile, number: int) -> optuna.samplers.BaseSampler:
    """A sampler for one proposal: seeded by the trial's number, it needs no saved state.

    Args:
        study: Names the method.
        number: The trial to be proposed.

    Returns:
        Optuna's sampler.
    """
    seed = derive_seed(study.seed, "sampler", number)
    with _experimental_allowed():
        if study.method == "bayes":
            return SwiftTpe(
                n_startup_trials=min(10, max(4, (study.run_cap or 40) // 4)),
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )
        if study.method == "gp":
            return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        if study.method == "cmaes":
            return ReplayedCmaEs(seed=seed, warn_independent_sampling=False)
    return optuna.samplers.RandomSampler(seed=seed)


def build_pruner(study: StudyFile) -> optuna.pruners.BasePruner:
    """The rule that stops trials early; it keeps no memory of its own.

    Args:
        study: Names the rule.

    Returns:
        Optuna's pruner.
    """
    rule = study.early_terminate
    with _experimental_allowed():
        if rule.type == "asha":
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=rule.min_iter, reduction_factor=rule.eta
            )
        if rule.type == "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=rule.min_iter, max_resource=study.horizon, reduction_factor=rule.eta
            )
        if rule.type == "median":
            return optuna.pruners.MedianPruner(n_warmup_steps=rule.min_iter)
        if rule.type == "patience":
            return optuna.pruners.PatientPruner(None, patience=rule.min_iter)
    return optuna.pruners.NopPruner()


class _Groups(_GroupDecomposedSearchSpace):
    """Which parameters occur together: the same answer from one trial of each kind as from all."""

    @override
    def calculate(self, study: optuna.Study, use_cache: bool = False) -> _SearchSpaceGroup:
        kinds: dict[tuple[str, ...], dict[str, BaseDistribution]] = {}
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        for trial in study._get_trials(deepcopy=False, states=states, use_cache=use_cache):
            kinds.setdefault(tuple(trial.distributions), trial.distributions)
        for distributions in kinds.values():
            self._search_space.add_distributions(distributions)
        return self._search_space


class SwiftTpe(optuna.samplers.TPESampler):
    """TPE that proposes what Optuna's would, at a smaller cost for each trial before.

    It is for one proposal: trials are divided into good and others once, not for each
    group of parameters anew.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._group_decomposed_search_space = _Groups(include_pruned=True)
        self._divided: tuple[list[FrozenTrial], list[FrozenTrial]] | None = None

    @override
    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._divided is None:
            states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
            known = study._get_trials(deepcopy=False, states=states)
            others = [one for one in known if one.number != trial.number]
            ended = sum(one.state != TrialState.RUNNING for one in others)
            self._divided = _split_trials(study, others, default_gamma(ended))
        good, rest = (  # what Optuna is told of good ones counts with several objectives only
            self._build_parzen_estimator(study, search_space, part, handle_below=False)
            for part in self._divided
        )
        points = good.sample(self._rng.rng, self._n_ei_candidates)
        chosen = self._compare(points, self._compute_acquisition_func(points, good, rest))
        return {n: one.to_external_repr(chosen[n]) for n, one in search_space.items()}

    @override
    def _get_internal_repr(
        self,
        trials: list[FrozenTrial],
        search_space: dict[str, BaseDistribution],
        study: optuna.Study,
    ) -> dict[str, Any]:
        known = [trial.params for trial in trials]  # also of those at work: all are set at once
        known = [params for params in known if search_space.keys() <= params.keys()]
        return {
            name: np.asarray([one.to_internal_repr(params[name]) for params in known])
            for name, one in search_space.items()
        }


class ReplayedCmaEs(optuna.samplers.CmaEsSampler):
    """CMA-ES whose state is worked out again for each proposal.

    Optuna's own writes its state into the storage, pickled: it would be read from a file
    that anybody may have written, and would be wrong once the space is edited.
    """

    @override
    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> None:
        self._completed = completed_trials

    @override
    def _init_optimizer(self, trans: Any, direction: Any) -> Any:
        optimizer = super()._init_optimizer(trans, direction)
        sign = -1.0 if direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
        while True:
            generation = self._get_solution_trials(self._completed, optimizer.generation)
            if len(generation) < optimizer.population_size:
                return optimizer
            optimizer.tell(
                [
                    (trans.transform(trial.params), sign * float(trial.value or 0.0))
                    for trial in generation[: optimizer.population_size]
                ]
            )


@contextmanager
def _experimental_allowed() -> Iterator[None]:
    """Optuna warns of each feature whose interface may still change; the version is pinned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
