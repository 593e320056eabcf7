"""A study's method and early stopping as Optuna's samplers and pruners."""

from __future__ import annotations

import warnings

import optuna

from seglib.seeds import derive_seed
from tune.study_file import StudyFile

__all__ = ["build_pruner", "build_sampler"]


def build_sampler(study: StudyFile, number: int) -> optuna.samplers.BaseSampler:
    """A sampler for one proposal: seeded by the trial's number, it needs no saved state."""
    seed = derive_seed(study.seed, "sampler", number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if study.method == "bayes":
            return optuna.samplers.TPESampler(
                n_startup_trials=min(10, max(4, (study.run_cap or 40) // 4)),
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )
        if study.method == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        if study.method == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def build_pruner(study: StudyFile) -> optuna.pruners.BasePruner:
    rule = study.early_terminate
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
    return optuna.pruners.NopPruner()
