"""RunData: what a report is made from, gathered from one run directory or a suite's folder."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.data.splits import Splits
from seglib.errors import Problem, RunError
from seglib.foreign import is_file, read_bounded
from tune.entries import Entry
from tune.reporting.ablation import case_scores
from tune.reporting.factors import describe_points
from tune.run_view import RunView, find_runs, view_run
from tune.study_file import StudyFile
from tune.trial_files import CASES, FINAL, LEGACY, NOTES, trial_folder

__all__ = ["PointData", "RunData", "TrialData", "gather"]

_TEXT = {"case": "str", "class": "str"}
_PER_CASE = ("case", "class", "tp", "fn", "dice")
_NEEDED = {FINAL: _PER_CASE, CASES: _PER_CASE, LEGACY: ("batch_dice",)}
_MOST_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class TrialData:
    """One trial: what the ledger and what its folder hold.

    Args:
        entry: From the ledger.
        final: Figures per case and class of the network after the last epoch; None
            where the trial did not get there.
        legacy: How the lab's notebooks would have scored the same network.
        note: What happened to the trial besides training; may be empty.
        best: Figures per case and class of its best epoch so far; None where there are none.
    """

    entry: Entry
    final: pd.DataFrame | None
    legacy: Mapping[str, float] | None
    note: str
    best: pd.DataFrame | None = None

    @property
    def column(self) -> int:
        """Which seed it has; 0 where the study names none."""
        return self.entry.seed or 0

    @property
    def complete(self) -> bool:
        """Did it train to its end?"""
        return self.entry.state == "COMPLETE"

    @property
    def seconds(self) -> float:
        """Time of all its epochs."""
        return sum(row["seconds"] for row in self.entry.rows)

    def epochs(self) -> pd.DataFrame:
        """One row per epoch."""
        return pd.DataFrame([dict(row) for row in self.entry.rows])


@dataclass(frozen=True, eq=False)
class PointData:
    """One recipe of a grid, or of a search, with the trials that trained it.

    Args:
        name: The study's name for it, else the settings that tell it from the others.
        recipe: All knobs.
        settings: Factor -> level, for the factors that differ within the run.
        trials: By number.
    """

    name: str
    recipe: Mapping[str, Any]
    settings: Mapping[str, str]
    trials: tuple[TrialData, ...]

    @property
    def complete(self) -> list[TrialData]:
        """The trials that trained to their end."""
        return [trial for trial in self.trials if trial.complete]

    @property
    def trained(self) -> list[TrialData]:
        """The trials with at least one epoch."""
        return [trial for trial in self.trials if trial.entry.rows]

    def scores(self) -> pd.DataFrame:
        """Dice of the last epoch: a row per case, a column per seed.

        With folds the cases of all of them. What went on from another trial is no training
        of its length, and compares with none.
        """
        parts: dict[int, list[pd.Series[float]]] = {}
        for trial in self.complete:
            if trial.final is not None and trial.entry.extends is None:
                parts.setdefault(trial.column, []).append(case_scores(trial.final))
        columns = {
            # folds that came with the data may share cases
            seed: pd.concat(scores).groupby(level=0).mean()
            for seed, scores in parts.items()
        }
        return pd.DataFrame(columns).sort_index() if columns else pd.DataFrame()


@dataclass(frozen=True, eq=False)
class RunData:
    """One run directory.

    Args:
        view: Study and ledger.
        points: By the number of their first trial.
        splits: Which groups train and which validate; None before they are drawn.
        starts: What was written down each time that the search started.
    """

    view: RunView
    points: tuple[PointData, ...]
    splits: Splits | None
    starts: tuple[Mapping[str, Any], ...]

    @property
    def study(self) -> StudyFile:
        """What was searched."""
        return self.view.study

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.view.folder.path.name

    @property
    def data(self) -> Mapping[str, Any]:
        """What the search trained on, see :mod:`tune.data_summary`; empty before it started."""
        data: Mapping[str, Any] = self.starts[-1].get("data", {}) if self.starts else {}
        return data

    @property
    def phantom(self) -> bool:
        """Are the images generated?"""
        return bool(self.data.get("phantom")) or self.study.data.layout in PHANTOM_LAYOUTS


def gather(folder: Path, storage: str | None = None) -> tuple[RunData, ...]:
    """Read a run directory, or each run directory in a suite's folder.

    Nothing is written, so a search may be running meanwhile.

    Args:
        folder: The one or the other.
        storage: The ledger's database, where its URL has a password in it.

    Returns:
        One or more runs; those of a suite by name.

    Raises:
        RunError: There is no run, or a file of a run is damaged.
    """
    folder = folder.resolve()
    return tuple(_gather_run(run, storage) for run in find_runs(folder))


def _gather_run(folder: Path, storage: str | None) -> RunData:
    view = view_run(folder, storage)
    splits = Splits.load(view.folder.splits) if view.folder.splits.exists() else None
    return RunData(view, tuple(_points(view)), splits, tuple(view.folder.starts()))


def _points(view: RunView) -> list[PointData]:
    """Trials of the same recipe and name are one point."""
    together: dict[tuple[str, str, int | None], list[Entry]] = {}
    for entry in view.entries:
        if entry.started:
            recipe = json.dumps(dict(entry.recipe), sort_keys=True)
            together.setdefault((entry.point, recipe, entry.extends), []).append(entry)
    groups = list(together.values())
    settings = describe_points([group[0].recipe for group in groups])
    return [
        PointData(
            name=group[0].point or _name(group[0], told, view.study),
            recipe=group[0].recipe,
            settings=told,
            trials=tuple(_read_trial(view.folder.path, entry) for entry in group),
        )
        for group, told in zip(groups, settings, strict=True)
    ]


def _name(entry: Entry, settings: Mapping[str, str], study: StudyFile) -> str:
    """A short name for what has none; for sampled or for many settings the number is shorter."""
    if study.method != "grid" or not 0 < len(settings) <= 3:
        return f"trial {entry.number}"
    return ", ".join(f"{factor} {level}" for factor, level in settings.items())


def _read_trial(run: Path, entry: Entry) -> TrialData:
    folder = trial_folder(run, entry.number)
    complete, notes = entry.state == "COMPLETE", folder / NOTES
    legacy = _read_table(folder / LEGACY) if complete else None
    return TrialData(
        entry=entry,
        final=_read_table(folder / FINAL) if complete else None,
        legacy=None if legacy is None else _first_row(legacy),
        note=_read_note(notes) if is_file(notes) else "",
        best=_read_table(folder / CASES) if entry.rows else None,
    )


def _read_note(path: Path) -> str:
    try:
        return read_bounded(path, _MOST_BYTES).decode("utf-8", "replace").strip()
    except (OSError, ValueError) as error:
        raise RunError(str(path), [Problem("notes", f"an unreadable file ({error})")]) from None


def _read_table(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    try:
        content = io.BytesIO(read_bounded(path, _MOST_BYTES))
        # an empty cell is a gap, but a case may be called NA or 0012
        table = pd.read_csv(
            content, dtype=_TEXT, keep_default_na=False, na_values=[""], low_memory=False
        )
    except (OSError, ValueError, OverflowError) as error:
        raise RunError(str(path), [Problem("table", f"an unreadable file ({error})")]) from None
    lacking = [name for name in _NEEDED[path.name] if name not in table]
    words = [name for name in table if name not in _TEXT and table[name].dtype.kind not in "iufb"]
    if lacking or words or table.empty:
        found = f"no column {', '.join(lacking)}" if lacking else "no row"
        found = f"words in the column {words[0]}" if words else found
        raise RunError(str(path), [Problem("table", found, "what a search wrote")])
    return table


def _first_row(table: pd.DataFrame) -> dict[str, float]:
    return {str(name): float(value) for name, value in table.iloc[0].items()}
