"""Entry: one trial as the ledger knows it, read from a storage without writing to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

__all__ = ["Entry", "read_entries", "to_entry"]


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
    """

    number: int
    state: str
    origin: str
    values: Mapping[str, Any]
    recipe: Mapping[str, Any] = field(repr=False)
    rows: Sequence[Mapping[str, float]] = field(repr=False)
    reason: str
    started: bool


def to_entry(trial: FrozenTrial) -> Entry:
    """One of Optuna's trials in our words."""
    attrs = trial.user_attrs
    rows = [attrs[f"row/{epoch}"] for epoch in sorted(trial.intermediate_values)]
    reason = attrs.get("reason", "")
    if "stopped_at" in attrs:
        reason = f"stopped early at epoch {attrs['stopped_at']}"
    return Entry(
        number=trial.number,
        state=trial.state.name,
        origin=attrs.get("origin", "sampler"),
        values=attrs.get("values", dict(trial.params)),
        recipe=attrs.get("recipe", {}),
        rows=rows,
        reason=reason,
        started="recipe" in attrs,
    )


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
    return [to_entry(trial) for trial in storage.get_all_trials(study, deepcopy=False)]
