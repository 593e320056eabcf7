"""A database with one writer: what this process wrote it knows, and need not ask for again.

Optuna's own cache holds trials that have ended. Of those at work it reads all rows anew for
each question, which with 256 of them takes seconds for each new trial. A run directory's lock
and its mark in the database leave a search one driver, so that nobody else writes its trials:
in PostgreSQL by a lock there, in SQLite as both lie on one machine. Of other databases nobody
knows that, and they are asked each time.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

__all__ = ["OneWriter", "spare_reading"]

_ONE_WRITER = ("postgresql", "sqlite")


def spare_reading(storage: BaseStorage) -> BaseStorage:
    """A storage that a ledger may question often.

    Args:
        storage: Any of Optuna's.

    Returns:
        The same, or what stands before it where that is a database with one writer.
        Optuna's others hold all trials in memory as they are.
    """
    if isinstance(storage, RDBStorage) and storage.engine.dialect.name in _ONE_WRITER:
        return OneWriter(storage)
    return storage


class OneWriter(BaseStorage):
    """Writes each change to the database first, then into its copy; reads from the copy.

    Trials in the copy are replaced and never changed, so that they may be handed out.
    Where the database refuses a change, or nobody knows whether it took it, the copy is
    given up and read anew at the next question.

    Args:
        database: Optuna's, of which this is the only writer as long as it is used.
    """

    def __init__(self, database: RDBStorage) -> None:
        self._database = database
        self._studies: dict[int, list[FrozenTrial]] = {}
        self._places: dict[int, tuple[int, int]] = {}

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Add a trial, and read it once as the database holds it."""
        trials = self._known(study_id)
        with self._writing():
            trial_id = self._database.create_new_trial(study_id, template_trial)
            trial = self._database.get_trial(trial_id)
        if trial.number != len(trials):  # made twice, as the line broke: there are more by now
            self._forget()
            return trial_id
        self._places[trial_id] = (study_id, trial.number)
        trials.append(trial)
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter, and read the trial again: the database has its own idea of values."""
        with self._writing():
            self._database.set_trial_param(trial_id, param_name, param_value_internal, distribution)
            self._replace(self._database.get_trial(trial_id))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Begin or end a trial, and read it again for its times."""
        with self._writing():
            done = self._database.set_trial_state_values(trial_id, state, values)
            self._replace(self._database.get_trial(trial_id))
        return done

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set the score of an epoch."""
        with self._writing():
            self._database.set_trial_intermediate_value(trial_id, step, intermediate_value)
            self._add(trial_id, "intermediate_values", {step: intermediate_value})

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note something on a trial."""
        with self._writing():
            self._database.set_trial_user_attr(trial_id, key, value)
            self._add(trial_id, "user_attrs", {key: json.loads(json.dumps(value))})

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note something for a sampler or a pruner."""
        with self._writing():
            self._database.set_trial_system_attr(trial_id, key, value)
            self._add(trial_id, "system_attrs", {key: json.loads(json.dumps(value))})

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One trial, from the copy."""
        if trial_id not in self._places:
            return self._database.get_trial(trial_id)
        study_id, number = self._places[trial_id]
        return self._studies[study_id][number]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """All trials by number, from the copy."""
        trials = [t for t in self._known(study_id) if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """What the database calls a trial."""
        trials = self._known(study_id)
        if not 0 <= trial_number < len(trials):
            raise KeyError(f"no trial {trial_number} in study {study_id}")
        return trials[trial_number]._trial_id

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """The database's answer, as for all that concerns whole studies."""
        return self._database.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """Remove a study."""
        with self._writing():
            self._database.delete_study(study_id)
            self._forget()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Note something on a study."""
        self._database.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Note something for a sampler."""
        self._database.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """What the database calls a study."""
        return self._database.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """What a study is called."""
        return self._database.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Whether more is better."""
        return self._database.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """What is noted on a study."""
        return self._database.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """What samplers noted on a study."""
        return self._database.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        """All that lie in the database."""
        return self._database.get_all_studies()

    def remove_session(self) -> None:
        """Close this thread's connection."""
        self._database.remove_session()

    def _known(self, study_id: int) -> list[FrozenTrial]:
        if study_id not in self._studies:
            trials = self._database.get_all_trials(study_id, deepcopy=False)
            trials.sort(key=lambda trial: trial.number)
            self._places.update((t._trial_id, (study_id, t.number)) for t in trials)
            self._studies[study_id] = trials
        return self._studies[study_id]

    def _add(self, trial_id: int, kind: str, news: dict[Any, Any]) -> None:
        if trial_id in self._places:
            trial = copy.copy(self.get_trial(trial_id))
            setattr(trial, kind, {**getattr(trial, kind), **news})
            self._replace(trial)

    def _replace(self, trial: FrozenTrial) -> None:
        if trial._trial_id in self._places:
            study_id, number = self._places[trial._trial_id]
            self._studies[study_id][number] = trial

    def _forget(self) -> None:
        self._studies.clear()
        self._places.clear()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._forget()
            raise
