"""What a search found: the leaderboard as a table, and which trial and point are best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from seglib.recipe import Recipe
from tune.entries import Entry, recipe_key
from tune.study import StudyFile
from tune.study_parts import Fold

__all__ = [
    "PointScore",
    "best_entry",
    "best_point",
    "best_row",
    "build_leaderboard",
    "class_columns",
    "older_entries",
    "parameter_columns",
    "score_points",
]

_FIRST = (
    *("trial", "state", "origin", "data", "score", "last_score"),
    *("best_epoch", "epochs", "seconds"),
)
# knobs that have the name of a figure
_RENAMED = {"epochs": "planned_epochs", "precision": "number_format"}
_FIGURES = ("iou", "precision", "recall", "val_loss", "num_cases")


def build_leaderboard(study: StudyFile, entries: Sequence[Entry]) -> pd.DataFrame:
    """One row per trial that was proposed, best first; unscored trials last.

    ``score`` is the trial's best epoch, ``last_score`` its last; the figures per
    class belong to the best epoch. ``state`` is Optuna's word. The columns are
    the same for every state of a search.

    Args:
        study: What is searched.
        entries: All its trials.

    Returns:
        The table; ``reason`` is its last column.
    """
    shown = [entry for entry in entries if entry.state != "WAITING"]
    table = pd.DataFrame([_row(entry, study) for entry in shown])
    classes = [name for name in table.columns if name in class_columns(table)]
    figures = [name for name in _FIGURES if name in table.columns]
    columns = [*_FIRST, *classes, *figures, "peak_memory_mb", *parameter_columns(study), "reason"]
    columns[1:1] = _grid_columns(study, entries)
    table = table.reindex(columns=columns)
    if "seed" in table:
        table["seed"] = table["seed"].astype("Int64")  # whole, also beside trials without
    if "fold" in table:
        table["fold"] = [None if pd.isna(fold) else str(fold) for fold in table["fold"]]
    return table.sort_values(
        ["score", "trial"],
        ascending=[study.metric.goal == "minimize", True],
        na_position="last",
        ignore_index=True,
    )


def best_row(study: StudyFile, entry: Entry) -> Mapping[str, float] | None:
    """A trial's best epoch, the first of equals; None before the first epoch.

    Args:
        study: Says whether more or less is better.
        entry: The trial.

    Returns:
        The epoch's row.
    """
    choose = max if study.metric.goal == "maximize" else min
    return choose(entry.rows, key=lambda row: row["score"], default=None)


def best_entry(study: StudyFile, entries: Sequence[Entry]) -> Entry | None:
    """The trial with the best epoch of all, the first of equals; None before any epoch.

    Args:
        study: Says whether more or less is better.
        entries: All trials.

    Returns:
        The trial.
    """
    choose = max if study.metric.goal == "maximize" else min
    scored = [entry for entry in entries if entry.rows]
    return choose(scored, key=lambda entry: (best_row(study, entry) or {})["score"], default=None)


@dataclass(frozen=True)
class PointScore:
    """How a row of a grid did in the trials of it that ended well.

    Args:
        name: Of the point; empty if the row has none.
        values: Of its parameters.
        recipe: All its knobs.
        scores: Best epoch of each trial, by seed, with folds the mean over all of them; None
            is the seed of a trial's own.
    """

    name: str
    values: Mapping[str, Any]
    recipe: Mapping[str, Any]
    scores: Mapping[int | None, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN without one."""
        return fmean(self.scores.values()) if self.scores else float("nan")


def score_points(study: StudyFile, entries: Sequence[Entry]) -> list[PointScore]:
    """The rows of a grid, in the order of the study file.

    Args:
        study: A grid; other methods have no rows.
        entries: All trials.

    Returns:
        One per row, also for rows that no trial has ended of.
    """
    found: dict[tuple[str, int | None], dict[Fold | None, float]] = {}
    for entry in entries:
        row = best_row(study, entry)
        wanted = (entry.seed, entry.fold) in study.trainings
        if row is not None and entry.state in ("COMPLETE", "PRUNED") and wanted:
            found.setdefault((recipe_key(entry.recipe), entry.seed), {})[entry.fold] = row["score"]
    means = {key: fmean(parts.values()) for key, parts in found.items()
             if len(parts) == len(study.parts)}  # fmt: skip
    points = []
    for point in study.rows:
        key = recipe_key(point.values)
        scores = {seed: mean for (of, seed), mean in means.items() if of == key}
        recipe = Recipe(**point.values).model_dump()
        points.append(PointScore(point.name, point.values, recipe, scores))
    return points


def older_entries(study: StudyFile, entries: Sequence[Entry]) -> list[Entry]:
    """Trials that the study file no longer asks for: a grid was edited after they began.

    Args:
        study: As it is now.
        entries: All trials.

    Returns:
        Those that began and belong to no row, seed and fold of today; none unless it is a grid.
    """
    if not study.rows:
        return []
    rows = {recipe_key(row.values) for row in study.rows}
    return [
        entry
        for entry in entries
        if entry.started
        and (
            recipe_key(entry.recipe) not in rows or (entry.seed, entry.fold) not in study.trainings
        )
    ]


def best_point(study: StudyFile, entries: Sequence[Entry]) -> PointScore | None:
    """The row with the best mean over seeds, the first of equals.

    Only rows that ended under the most seeds are compared: a single lucky one proves
    less than three.

    Args:
        study: What was trained.
        entries: All its trials.

    Returns:
        The row; None before any has ended, and for studies without ``seeds`` and ``folds``.
    """
    points = score_points(study, entries) if study.seeds or study.folds else []
    most = max((len(point.scores) for point in points), default=0)
    choose = max if study.metric.goal == "maximize" else min
    compared = [point for point in points if most and len(point.scores) == most]
    return choose(compared, key=lambda point: point.mean, default=None)


def class_columns(table: pd.DataFrame) -> list[str]:
    """The columns with a class's Dice.

    Args:
        table: A leaderboard.

    Returns:
        Their names; ``dice_weight`` is a knob and none of them.
    """
    return [name for name in table.columns if name.startswith("dice_") and name != "dice_weight"]


def parameter_columns(study: StudyFile) -> list[str]:
    """The columns with the searched parameters, in the order of the study file.

    Args:
        study: What is searched.

    Returns:
        Their names; ``epochs`` and ``precision`` have others here.
    """
    return [_RENAMED.get(name, name) for name in study.space.names]


def _grid_columns(study: StudyFile, entries: Sequence[Entry]) -> list[str]:
    """``point``, ``seed`` and ``fold``, where a study has them."""
    named = any(study.point_names) or any(entry.point for entry in entries)
    seeded = bool(study.seeds) or any(entry.seed is not None for entry in entries)
    folded = bool(study.folds) or any(entry.fold is not None for entry in entries)
    columns = (("point", named), ("seed", seeded), ("fold", folded))
    return [name for name, used in columns if used]


def _row(entry: Entry, study: StudyFile) -> dict[str, Any]:
    best = best_row(study, entry) or {}
    named = {name: value for name, value in best.items() if name.startswith("dice_")}
    figures = {name: value for name, value in best.items() if name in _FIGURES}
    return {
        "trial": entry.number,
        "point": entry.point,
        "seed": entry.seed,
        "fold": entry.fold,
        "state": entry.state,
        "origin": entry.origin,
        "data": study.data.layout,
        "score": best.get("score"),
        "last_score": entry.rows[-1]["score"] if entry.rows else None,
        "best_epoch": int(best["epoch"]) if best else None,
        "epochs": len(entry.rows),
        "seconds": round(sum(row["seconds"] for row in entry.rows), 1),
        **named,
        **figures,
        "peak_memory_mb": max((row["peak_memory_mb"] for row in entry.rows), default=None),
        **{_RENAMED.get(name, name): value for name, value in entry.values.items()},
        "reason": entry.reason,
    }
