"""Entry: one trial as the ledger knows it, read from a storage without writing to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from seglib.recipe import Recipe

__all__ = ["NAMES", "Entry", "read_entries", "recipe_key", "to_entries", "to_entry"]

NAMES = "points"
"""Where a study keeps its points' names, by the key of their recipe."""


@dataclass(frozen=True)
class Entry:
    """One trial as the ledger knows it.

    Args:
        number: The trial's number in the study.
        state: Optuna's word: WAITING, RUNNING, COMPLETE, PRUNED or FAIL.
        origin: ``default``, ``point``, ``grid`` or ``sampler``.
        values: The searched parameters that are active in this trial.
        recipe: All knobs of the trial; empty if it never trained.
        rows: One row per finished epoch, in order.
        reason: Why it failed or was stopped; may be empty.
        started: Did it ever train? A proposal that cannot fit never does.
        point: Name of the row of a grid that it trains; empty if that has none.
        seed: Which of the study's seeds it is for; None for a seed of its own.
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


def recipe_key(values: Mapping[str, Any]) -> str:
    """The same for values that make the same recipe, however many of them are given."""
    whole = {**Recipe().model_dump(), **values}
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
        reason=reason,
        started="recipe" in attrs,
        point=names.get(recipe_key(values), "") if names else "",
        seed=attrs.get("seed"),
    )


def to_entries(trials: Sequence[FrozenTrial], names: Mapping[str, str]) -> list[Entry]:
    """All of Optuna's trials but those taken out of the study file before they began.

    Args:
        trials: In the order of their numbers.
        names: Points' names by the key of their recipe.

    Returns:
        One entry per trial.
    """
    kept = [t for t in trials if "recipe" in t.user_attrs or "withdrawn" not in t.user_attrs]
    return [to_entry(trial, names) for trial in kept]


def read_entries(study_name: str, storage: BaseStorage) -> list[Entry]:
    """All trials of a study, by number; none if the storage does not know it yet.

    Args:
        study_name: As the study file names it.
        storage: From :func:`tune.storage.view_storage`.

    Returns:
        One entry per trial.
    """
    try:
        study = storage.get_study_id_from_name(study_name)
    except KeyError:
        return []
    names = storage.get_study_user_attrs(study).get(NAMES, {})
    return to_entries(storage.get_all_trials(study, deepcopy=False), names)
