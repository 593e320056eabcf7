"""Importance: which parameters the best trials of a search share, and what chance would show.

PED-ANOVA asks how far the values of the best trials lie from those of all trials. With few
trials and many parameters some always look important, so each is held against the same
trials with their scores dealt out anew.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FixedTrial, TrialState, create_trial

from tune.entries import Entry
from tune.report import best_row
from tune.study_file import StudyFile

__all__ = ["FEWEST", "Importance", "rank_parameters", "score_trials"]

FEWEST = 10
"""Of fewer trials nothing is told: the best of them are too few to share anything."""

_SHUFFLES = 60
_QUANTILE_OF_CHANCE = 0.95
_TOP, _LEAST_TOP = 0.1, 5  # the best tenth, and at least five trials


@dataclass(frozen=True)
class Importance:
    """How much one parameter had to do with being among the best.

    Args:
        name: Of the parameter.
        share: Of all parameters' importance, from 0 to 1.
        chance: The share that it stays below in 95 of 100 searches in which it does nothing.
    """

    name: str
    share: float
    chance: float

    @property
    def is_told(self) -> bool:
        """Is it more than chance would show?"""
        return self.share > self.chance


def score_trials(study: StudyFile, entries: Sequence[Entry]) -> dict[int, float]:
    """Trial -> its best score so far, negative where less is better; -inf for a diverged one.

    A trial that was stopped early has the best of its few epochs: it was stopped because
    others were better at the same epoch, so it is not among the best of all.

    Args:
        study: Says which way is better.
        entries: All trials.

    Returns:
        The trials that trained, but for those that go on from another one.
    """
    sign = 1.0 if study.metric.goal == "maximize" else -1.0
    scores = {}
    for entry in entries:
        if entry.extends is not None or not entry.started:
            continue
        row = best_row(study, entry)
        if row is not None and entry.state != "FAIL":
            scores[entry.number] = sign * row["score"]
        elif entry.state == "FAIL" and entry.reason.startswith("diverged"):
            scores[entry.number] = -np.inf
    return scores


def rank_parameters(study: StudyFile, entries: Sequence[Entry]) -> tuple[Importance, ...]:
    """Rank the searched parameters.

    Args:
        study: What is searched.
        entries: All trials.

    Returns:
        The most important first; none for a grid, or where fewer than :data:`FEWEST` trials
        of the present space trained.

    Source:
        Watanabe et al. 2023, IJCAI, arXiv:2304.10255.
    """
    if study.method == "grid":
        return ()
    scores = score_trials(study, entries)
    placed = [(scores[e.number], _place(study, e)) for e in entries if e.number in scores]
    known = [(score, trial) for score, trial in placed if trial is not None]
    if len(known) < FEWEST or len({score for score, _ in known}) < 2:
        return ()
    order = np.argsort(np.argsort([-score for score, _ in known], kind="stable"))
    ranks = [int(rank) for rank in order]
    memory = _build_study([trial for _, trial in known])
    found = _divergences(memory, ranks)
    dealer = random.Random(0)  # the same report every time
    chance = [_divergences(memory, dealer.sample(ranks, len(ranks))) for _ in range(_SHUFFLES)]
    whole = sum(found.values()) or 1.0
    told = [
        Importance(
            name.removesuffix(":quantile"),
            value / whole,
            float(np.quantile([one[name] for one in chance], _QUANTILE_OF_CHANCE)) / whole,
        )
        for name, value in found.items()
    ]
    return tuple(sorted(told, key=lambda one: (one.is_told, one.share), reverse=True))


def _place(study: StudyFile, entry: Entry) -> Mapping[str, Any] | None:
    """The trial as Optuna's parameters; None where the space was edited and it lies outside."""
    space, values = study.space, dict(entry.values)
    if not set(values) <= set(space.names) or not space.contains(values):
        return None
    trial = FixedTrial(space.to_fixed(values))
    for name in values:
        space[name].domain.suggest(trial, name)
    return {"params": trial.params, "distributions": trial.distributions}


def _build_study(trials: Sequence[Mapping[str, Any]]) -> optuna.Study:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        memory = optuna.create_study(direction="minimize")
    finally:
        optuna.logging.set_verbosity(before)
    memory.add_trials(
        [create_trial(state=TrialState.COMPLETE, value=0.0, **parts) for parts in trials]
    )
    return memory


def _divergences(memory: optuna.Study, ranks: Sequence[int]) -> dict[str, float]:
    """Parameter -> divergence of the best from all, if these were the ranks (0 is the best)."""
    top = max(_TOP, min(0.5, _LEAST_TOP / len(ranks)))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=top)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*low `target` values")  # ranks are
        return evaluator.evaluate(memory, target=lambda trial: float(ranks[trial.number]))
