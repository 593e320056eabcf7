"""Agenda: the trials that a study file names beforehand, held against those of the ledger.

A trial is known by its recipe and its seed, not by its place in a list: a study file
that gains a point or a seed gains trials, and what was trained stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune.entries import NAMES, recipe_key
from tune.study_file import StudyFile
from tune.study_parameters import whole_domain

__all__ = ["LEFT_OUT", "Planned", "list_planned", "record_values", "settle_agenda"]

LEFT_OUT = "left out of the study file"


@dataclass(frozen=True)
class Planned:
    """One trial that is sure to be tried.

    Args:
        origin: ``default``, ``point`` or ``grid``.
        values: Of the searched parameters that count.
        seed: Which of the study's seeds it is for; None for a seed of its own.
    """

    origin: str
    values: dict[str, Any]
    seed: int | None = None

    @property
    def key(self) -> tuple[str, int | None]:
        """What it is known by. There is one default, however the space was edited."""
        name = "default" if self.origin == "default" else recipe_key(self.values)
        return name, self.seed


def list_planned(file: StudyFile) -> list[Planned]:
    """What is tried first, each recipe once: the default, then the points; or the whole grid.

    A grid goes through all its rows under the first seed, then under the next: ended
    early, it has compared them all.

    Args:
        file: The study file.

    Returns:
        The trials in their order.
    """
    if file.method == "grid":
        seeds = file.seeds or (None,)
        return [Planned("grid", row.values, seed) for seed in seeds for row in file.rows]
    planned = [Planned("default", file.default_point())]
    for partial in file.points:
        point = file.full_point(partial)
        if all(point != other.values for other in planned):
            planned.append(Planned("point", point))
    return planned


def settle_agenda(study: optuna.Study, file: StudyFile) -> None:
    """Enqueue what is planned and not yet there; of a grid, end what is no longer planned.

    Args:
        study: Optuna's study.
        file: The study file as it is now.
    """
    planned, trials = list_planned(file), study.get_trials(deepcopy=False)
    keys = {one.key for one in planned}
    known = set()
    for trial in trials:
        key = _key(trial)
        if file.method == "grid" and key not in keys and not trial.state.is_finished():
            _withdraw(study, trial)
        elif "withdrawn" not in trial.user_attrs:
            known.add(key)
    for one in planned:
        if one.key not in known:
            seed = {} if one.seed is None else {"seed": one.seed}
            attrs = {"origin": one.origin, "values": one.values, **seed}
            study.enqueue_trial(_fixed(file, one.values), user_attrs=attrs)
    _settle_names(study, file)


def record_values(trial: optuna.Trial) -> dict[str, Any]:
    """A grid's values as Optuna's parameters, each within all that its field allows.

    So a row beside the product, or one that is added later, is a parameter like any
    other. Optuna cannot be told of free text: its choices would have to be known.

    Args:
        trial: One that was enqueued by :func:`settle_agenda`.

    Returns:
        The trial's values.
    """
    values: dict[str, Any] = trial.user_attrs["values"]
    for name in values:
        if (domain := whole_domain(name)) is not None:
            domain.suggest(trial, name)
    return values


def _key(trial: FrozenTrial) -> tuple[str, int | None]:
    attrs = trial.user_attrs
    values = attrs.get("recipe", attrs.get("values", {}))
    return Planned(attrs.get("origin", "sampler"), values, attrs.get("seed")).key


def _fixed(file: StudyFile, values: dict[str, Any]) -> dict[str, Any]:
    if file.method != "grid":
        return file.space.to_fixed(values)
    return {name: value for name, value in values.items() if whole_domain(name) is not None}


def _withdraw(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a trial that nobody wants any more; given again, its point is trained anew."""
    storage = study._storage
    storage.set_trial_user_attr(trial._trial_id, "withdrawn", True)
    storage.set_trial_user_attr(trial._trial_id, "reason", LEFT_OUT)
    storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _settle_names(study: optuna.Study, file: StudyFile) -> None:
    """Points are called what they are called now; those left out keep the name they had."""
    before: dict[str, str] = study.user_attrs.get(NAMES, {})
    now = {recipe_key(row.values): row.name for row in file.rows if row.name}
    current = {recipe_key(row.values) for row in file.rows} if before else set()
    kept = {
        key: name for key, name in before.items() if key not in current and name not in now.values()
    }
    if kept | now != before:
        study.set_user_attr(NAMES, kept | now)
