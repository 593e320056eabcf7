"""History: the trials so far as a sampler sees them, placed in the space as it is now.

A study file may be edited between two starts, and Optuna knows no space that changes.
So no sampler reads the storage. It reads a copy in memory, in which each trial that lies
in the present space is told in the present space's terms. The storage keeps the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from seglib.recipe import Recipe
from tune.entries import recipe_key
from tune.strategies import SAMPLER_NOTES, build_pruner, build_sampler
from tune.study_file import StudyFile

__all__ = ["History", "Proposal"]

_GUIDING = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class _Placed(FrozenTrial):
    """A trial in the present space's terms; without any, it guides nothing and keeps a number."""

    def __init__(self, number: int, state: TrialState = TrialState.FAIL, **parts: Any) -> None:
        nothing: dict[str, Any] = {
            "value": None,
            "params": {},
            "distributions": {},
            "system_attrs": {},
            "intermediate_values": {},
        }
        times = {"datetime_start": None, "datetime_complete": None}
        ids = {"number": number, "trial_id": number}
        super().__init__(state=state, user_attrs={}, **(nothing | times | ids | parts))


class _Memory(InMemoryStorage):
    """Holds given trials as they are. Optuna would copy each of them for each proposal."""

    def hold(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Let these be the trials of a study that has none yet.

        Args:
            study_id: The study.
            trials: By number from 0, which is each one's id, too; nothing changes them.
        """
        self._studies[study_id].trials.extend(trials)
        self._trial_id_to_study_id_and_number.update((i, (study_id, i)) for i in range(len(trials)))
        self._max_trial_id = len(trials) - 1


@dataclass(frozen=True)
class Proposal:
    """What a sampler would train next.

    Args:
        values: Of the parameters that count.
        notes: What the sampler wants to find on the trial later.
    """

    values: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)


class History:
    """Proposes trials from those that lie in the present space.

    Args:
        file: The study file as it is now.
    """

    def __init__(self, file: StudyFile) -> None:
        self._file = file
        self._ended: dict[int, _Placed] = {}
        self._points: dict[int, FixedTrial | None] = {}

    def propose(self, trials: Sequence[FrozenTrial]) -> Proposal:
        """The next trial; it follows from the study file and ``trials`` alone.

        Args:
            trials: All of the ledger, by number.

        Returns:
            The proposal.
        """
        storage = _Memory()
        memory = optuna.create_study(
            storage=storage,
            study_name=self._file.name,  # Hyperband's brackets go by name and number
            direction=self._file.metric.goal,
            sampler=build_sampler(self._file, len(trials)),
            pruner=build_pruner(self._file),
        )
        if self._is_guided():
            storage.hold(memory._study_id, [self._place(trial) for trial in trials])
        values = self._file.space.suggest(memory.ask())
        return Proposal(values, _notes(memory.get_trials(deepcopy=False)[-1]))

    def num_outside(self, trials: Sequence[FrozenTrial]) -> int:
        """Trials that would guide the search, but for an edit of the study file.

        Args:
            trials: All of the ledger, by number.

        Returns:
            Their number; 0 for a grid or a random search, which nothing guides.
        """
        if not self._is_guided():
            return 0
        guiding = [trial for trial in trials if _guides(trial)]
        return sum(self._place(trial).state not in _GUIDING for trial in guiding)

    def _is_guided(self) -> bool:
        return self._file.method not in ("grid", "random")

    def _place(self, trial: FrozenTrial) -> _Placed:
        if trial.number in self._ended:
            return self._ended[trial.number]
        placed = self._translate(trial) if _guides(trial) else None
        placed = _Placed(trial.number) if placed is None else placed
        if trial.state.is_finished():
            self._ended[trial.number] = placed
        return placed

    def _translate(self, trial: FrozenTrial) -> _Placed | None:
        if trial.number not in self._points:  # a recipe is given once, while scores come in
            self._points[trial.number] = self._find_point(trial.user_attrs["recipe"])
        point = self._points[trial.number]
        if point is None:
            return None
        return _Placed(
            trial.number,
            trial.state,
            value=trial.value,
            params=point.params,
            distributions=point.distributions,
            system_attrs=_notes(trial),
            intermediate_values=trial.intermediate_values,
        )

    def _find_point(self, recipe: Mapping[str, Any]) -> FixedTrial | None:
        values = self._locate(recipe)
        if values is None:
            return None
        space = self._file.space
        point = FixedTrial(space.to_fixed(values))
        for name in values:
            space[name].domain.suggest(point, name)
        return point

    def _locate(self, recipe: Mapping[str, Any]) -> dict[str, Any] | None:
        """The point of the space that trains this recipe, for however many epochs."""
        # trials of older versions lack the fields that came later
        point = self._file.space.point({}, {**Recipe().model_dump(), **recipe})
        length = {"epochs": recipe["epochs"]}
        same = recipe_key(point.values | length) == recipe_key(recipe)
        return point.values if same and not set(point.moved) - set(length) else None


def _guides(trial: FrozenTrial) -> bool:
    """What goes on from another trial was proposed once, and is told once."""
    attrs = trial.user_attrs
    return trial.state in _GUIDING and "recipe" in attrs and "extends" not in attrs


def _notes(trial: FrozenTrial) -> dict[str, Any]:
    return {key: trial.system_attrs[key] for key in SAMPLER_NOTES if key in trial.system_attrs}
