"""Entry: one trial as the ledger knows it, read from a storage without writing to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seglib.errors import Problem, RunError, printable
from seglib.recipe import Recipe
from tune.study_parts import Fold

__all__ = [
    "NAMES",
    "Entry",
    "EntryReader",
    "read_entries",
    "recipe_key",
    "require_ours",
    "to_entry",
]

NAMES = "points"
"""Where a study keeps its points' names, by the key of their recipe."""

_LATER = ("architecture", "encoder")


@dataclass(frozen=True)
class Entry:
    """One trial as the ledger knows it.

    Args:
        number: The trial's number in the study.
        state: Optuna's word: WAITING, RUNNING, COMPLETE, PRUNED or FAIL.
        origin: ``default``, ``point``, ``grid``, ``sampler``, or ``extends`` and a number.
        values: The searched parameters that are active in this trial.
        recipe: All knobs of the trial; empty if it never trained.
        rows: One row per finished epoch, in order.
        reason: Why it failed or was stopped; may be empty.
        started: Did it ever train? A proposal that cannot fit never does.
        point: Name of the row of a grid that it trains; empty if that has none.
        seed: Which of the study's seeds it is for; None for a seed of its own.
        extends: The trial that this one goes on from, after that one was complete; or None.
        fold: Which of the study's folds validates; None for the split's own parts.
    """

    number: int
    state: str
    origin: str
    values: Mapping[str, Any]
    recipe: Mapping[str, Any] = field(repr=False)
    rows: Sequence[Mapping[str, float]] = field(repr=False)
    reason: str
    started: bool
    point: str = ""
    seed: int | None = None
    extends: int | None = None
    fold: Fold | None = None


def recipe_key(values: Mapping[str, Any]) -> str:
    """The same for values that make the same recipe, however many of them are given.

    Fields that came later are left out at their default: ledgers of before know no other key.
    """
    defaults = Recipe().model_dump()
    whole = {**defaults, **values}
    for name in _LATER:
        if whole[name] == defaults[name]:
            del whole[name]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def to_entry(trial: FrozenTrial, names: Mapping[str, str]) -> Entry:
    """One of Optuna's trials in our words.

    Args:
        trial: The trial.
        names: Points' names by the key of their recipe.

    Returns:
        What the ledger knows of it.
    """
    attrs = trial.user_attrs
    rows = [attrs[f"row/{epoch}"] for epoch in sorted(trial.intermediate_values)]
    reason = attrs.get("reason", "")
    if "stopped_at" in attrs:
        reason = f"stopped early at epoch {attrs['stopped_at']}"
    values = attrs.get("values", dict(trial.params))
    return Entry(
        number=trial.number,
        state=trial.state.name,
        origin=attrs.get("origin", "sampler"),
        values=values,
        recipe=attrs.get("recipe", {}),
        rows=rows,
        reason=printable(" ".join(reason.split())),
        started="recipe" in attrs,
        point=names.get(recipe_key(values), "") if names else "",
        seed=attrs.get("seed"),
        extends=attrs.get("extends"),
        fold=attrs.get("fold"),
    )


class EntryReader:
    """Reads trials as entries, each that has ended but once: it never changes again.

    Args:
        names: Points' names by the key of their recipe.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._ended: dict[int, Entry] = {}

    def read(self, trials: Sequence[FrozenTrial]) -> list[Entry]:
        """All but those taken out of the study file before they began.

        Args:
            trials: In the order of their numbers.

        Returns:
            One entry per trial.
        """
        kept = [t for t in trials if "recipe" in t.user_attrs or "withdrawn" not in t.user_attrs]
        return [self.read_one(trial) for trial in kept]

    def read_one(self, trial: FrozenTrial) -> Entry:
        """One trial.

        Args:
            trial: Of the same study as all others.

        Returns:
            What the ledger knows of it.
        """
        entry = self._ended.get(trial.number) or to_entry(trial, self._names)
        if trial.state.is_finished():
            self._ended[trial.number] = entry
        return entry


def read_entries(study_name: str, storage: BaseStorage) -> list[Entry]:
    """All trials of a study, by number; none if the storage does not know it yet.

    Args:
        study_name: As the study file names it.
        storage: From :func:`tune.storage.view_storage`.

    Returns:
        One entry per trial.

    Raises:
        RunError: A trial is not what a search writes.
    """
    try:
        study = storage.get_study_id_from_name(study_name)
    except KeyError:
        return []
    names = storage.get_study_user_attrs(study).get(NAMES, {})
    trials = storage.get_all_trials(study, deepcopy=False)
    require_ours(trials)
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and name.isprintable() for name in names.values()
    ):
        raise _damaged("study", "names of points that are none")
    return EntryReader(names).read(trials)


Knob = bool | int | float | str | None


class _Attrs(BaseModel):
    """What a search notes of a trial besides its rows; of other types it is not ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    origin: str = Field("", pattern=r"^(default|point|grid|sampler|extends [0-9]{1,9})?$")
    values: dict[str, Knob] = {}
    recipe: dict[str, Knob] = {}
    reason: str = ""
    stopped_at: int = 0
    seed: int | None = None
    fold: Fold | None = None
    extends: int | None = None


class _Row(BaseModel):
    """The figures of an epoch that every row has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    epoch: float
    score: float
    seconds: float


def require_ours(trials: Sequence[FrozenTrial]) -> None:
    """The storage takes any JSON for an attribute, so a damaged journal may hold any.

    Args:
        trials: As the storage gives them.

    Raises:
        RunError: One is not what a search writes.
    """
    for trial in trials:
        _require_one(trial)


def _require_one(trial: FrozenTrial) -> None:
    attrs = trial.user_attrs
    try:
        own = {name: attrs[name] for name in _Attrs.model_fields if name in attrs}
        extends = _Attrs.model_validate(own).extends
        if extends is not None and not 0 <= extends < trial.number:
            raise _damaged(f"trial {trial.number}", f"trial {extends} as the one it goes on from")
        for epoch in trial.intermediate_values:
            row = attrs[f"row/{epoch}"]
            _Row.model_validate({name: row[name] for name in _Row.model_fields})
            if not all(isinstance(figure, int | float) for figure in row.values()):
                raise TypeError(f"a figure of epoch {epoch} that is no number")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(f"trial {trial.number}", f"{where}: {first['msg']}") from None
    except (AttributeError, KeyError, TypeError) as error:
        raise _damaged(f"trial {trial.number}", f"no such row or figure ({error})") from None


def _damaged(place: str, found: str) -> RunError:
    hint = "put back a copy of the file, or give another --out to start anew"
    return RunError("journal", [Problem(place, found, "what a search wrote", hint)])
