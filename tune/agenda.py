"""Agenda: the trials that a study file names beforehand, held against those of the ledger.

A trial is known by its recipe, its seed and its fold, not by its place in a list: a study
file that gains a point or a seed gains trials, and what was trained stays what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune.entries import NAMES, recipe_key
from tune.study_file import StudyFile
from tune.study_parameters import whole_domain
from tune.study_parts import Fold

__all__ = [
    "LEFT_OUT",
    "Planned",
    "add_extension",
    "add_trial",
    "list_planned",
    "settle_agenda",
]

LEFT_OUT = "left out of the study file"

Key = tuple[str, int | None, Fold | None]


@dataclass(frozen=True)
class Planned:
    """One trial that is sure to be tried.

    Args:
        origin: ``default``, ``point``, ``grid`` or ``sampler``.
        values: Of the searched parameters that count.
        seed: Which of the study's seeds it is for; None for a seed of its own.
        fold: Which of the study's folds validates; None for the split's own parts.
    """

    origin: str
    values: dict[str, Any]
    seed: int | None = None
    fold: Fold | None = None

    @property
    def key(self) -> Key:
        """What it is known by. There is one default, however the space was edited."""
        name = "default" if self.origin == "default" else recipe_key(self.values)
        return name, self.seed, self.fold


def list_planned(file: StudyFile) -> list[Planned]:
    """What is tried first, each recipe once: the default, then the points; or the whole grid.

    A grid goes through all its rows under the first seed and fold, then under the next:
    ended early, it has compared them all.

    Args:
        file: The study file.

    Returns:
        The trials in their order.
    """
    if file.method == "grid":
        return [
            Planned("grid", row.values, *training)
            for training in file.trainings
            for row in file.rows
        ]
    planned = [Planned("default", file.default_point())]
    for partial in file.points:
        point = file.full_point(partial)
        if all(point != other.values for other in planned):
            planned.append(Planned("point", point))
    return planned


def settle_agenda(study: optuna.Study, file: StudyFile) -> None:
    """Add what is planned and not yet there; end what waits and is no longer wanted.

    Of a grid, what is in training and no longer planned ends, too. A search lets it
    finish: the leaderboard has room for it.

    Args:
        study: Optuna's study.
        file: The study file as it is now.
    """
    planned, trials = list_planned(file), study.get_trials(deepcopy=False)
    known = set()
    for trial in trials:
        if _is_left_out(trial, file, planned):
            _withdraw(study, trial)
        elif not {"withdrawn", "extends"} & set(trial.user_attrs):
            known.add(_key(trial))
    for one in planned:
        if one.key not in known:
            add_trial(study, one)
    _settle_names(study, file)


def add_trial(study: optuna.Study, one: Planned, notes: Mapping[str, Any] | None = None) -> None:
    """Let a trial wait for its turn. It enters the storage whole, in one write.

    To Optuna its values are parameters within all that their fields allow, so that
    trials from before and after an edit of the space are of one kind. Optuna cannot be
    told of free text: its choices would have to be known.

    Args:
        study: Optuna's study.
        one: The trial.
        notes: What the sampler wants to find on it later.
    """
    domains = {name: domain for name in one.values if (domain := whole_domain(name)) is not None}
    point = optuna.trial.FixedTrial({name: one.values[name] for name in domains})
    for name, domain in domains.items():
        domain.suggest(point, name)
    given = {"seed": one.seed, "fold": one.fold}
    training = {name: value for name, value in given.items() if value is not None}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=point.params,
            distributions=point.distributions,
            user_attrs={"origin": one.origin, "values": one.values, **training},
            system_attrs=dict(notes or {}),
        )
    )


def add_extension(study: optuna.Study, trial: FrozenTrial, epochs: int) -> int:
    """A trial that goes on from a complete one, whose epochs are its own first ones.

    It enters the storage as one that a death left unfinished, so that it is given out
    before all that waits, and whatever the caps say.

    Args:
        study: Optuna's study.
        trial: The complete one; it stays what it is.
        epochs: How long to train, in all.

    Returns:
        The new trial's number.
    """
    attrs = trial.user_attrs
    longer = {"epochs": epochs}
    kept = {name: attrs[name] for name in attrs if name == "seed" or name.startswith("row/")}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.RUNNING,
            params={name: longer.get(name, v) for name, v in trial.params.items()},
            distributions=trial.distributions,
            intermediate_values=trial.intermediate_values,
            user_attrs={
                **kept,
                "origin": f"extends {trial.number}",
                "extends": trial.number,
                "values": {name: longer.get(name, v) for name, v in attrs["values"].items()},
                "recipe": attrs["recipe"] | longer,
            },
        )
    )
    return study.get_trials(deepcopy=False)[-1].number


def _key(trial: FrozenTrial) -> Key:
    attrs = trial.user_attrs
    values = attrs.get("recipe", attrs.get("values", {}))
    return Planned(attrs.get("origin", "sampler"), values, attrs.get("seed"), attrs.get("fold")).key


def _is_left_out(trial: FrozenTrial, file: StudyFile, planned: Sequence[Planned]) -> bool:
    if trial.state.is_finished():
        return False
    if file.method == "grid":
        return _key(trial) not in {one.key for one in planned}
    if trial.state != TrialState.WAITING:
        return False
    values = trial.user_attrs["values"]
    if trial.user_attrs["origin"] == "sampler":
        return not file.space.contains(values)
    return all(values != one.values for one in planned)


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
