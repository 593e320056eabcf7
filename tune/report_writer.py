"""The files that say what a search found, kept current while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from seglib.architectures import means_something
from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.files import write_whole
from seglib.recipe import Recipe
from tune.entries import Entry
from tune.ledger import Ledger, Order
from tune.report import best_entry, best_point, build_leaderboard
from tune.run_directory import RunDirectory
from tune.study import StudyFile
from tune.trial_files import RECIPE, trial_folder
from tune.yaml_lines import write_yaml

__all__ = ["ReportWriter"]

DEMO_COMMENT = "# Found on generated phantoms, not on patients.\n"

_LONGER_THAN_WRITING = 19


class ReportWriter:
    """Keeps ``leaderboard.csv`` and ``best.yaml`` current while trials end.

    They are made anew of all trials. Where that takes long, as with a thousand trials of
    a second each, they wait a little: it may take a twentieth of the driver's time.

    Args:
        ledger: The memory of the search.
        folder: Where the files go.
        clock: Tells seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        folder: RunDirectory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._folder, self._clock = ledger, folder, clock
        self._next_at, self._is_behind = clock(), False

    def started(self, order: Order) -> None:
        """Write the trial's recipe beside its other files."""
        path = trial_folder(self._folder.path, order.number) / RECIPE
        write_whole(path, write_yaml(order.recipe.model_dump()))

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Write both files if they had to wait."""
        if self._is_behind:
            self.finished(number)

    def finished(self, number: int) -> None:
        """Write both files, now or at the next event after a while."""
        self._is_behind = self._clock() < self._next_at
        if not self._is_behind:
            begun = self._clock()
            self.write()
            now = self._clock()
            self._next_at = now + _LONGER_THAN_WRITING * (now - begun)

    def write(self) -> None:
        """Write both files, each whole or not at all."""
        study, entries = self._ledger.file, self._ledger.entries()
        table = build_leaderboard(study, entries)
        write_whole(self._folder.leaderboard, table.to_csv(index=False))
        best = _best_study(study, entries)
        if best is not None:
            comment = DEMO_COMMENT if study.data.layout in PHANTOM_LAYOUTS else ""
            write_whole(self._folder.best, comment + write_yaml(best))


def _best_study(study: StudyFile, entries: Sequence[Entry]) -> dict[str, Any] | None:
    """The best recipe as a study file of its own: one trial that trains it alone."""
    point, best = best_point(study, entries), best_entry(study, entries)
    if best is None or ((study.seeds or study.folds) and point is None):
        return None
    recipe = best.recipe if point is None else point.recipe
    # the first of its seeds, so that the trial is one of those that were trained
    seeds: dict[str, Any] = {}
    if point is not None and study.seeds:
        seeds = {"seeds": [min(point.scores, key=study.seeds.index)]}
    went_on = point is None and best.extends is not None
    differs = f" It went on from trial {best.extends}; from the start it differs." * went_on
    network = recipe.get("architecture", Recipe().architecture)
    resolved = study.resolved()
    kept = ("metric", "data", "split", "seed", "resources", "tracking", "project", "entity")
    return {
        "name": f"{study.name[:95]}-best",
        "description": f"The best recipe of the study {study.name}, to be trained alone.{differs}",
        "method": "grid",
        **seeds,
        **{key: resolved[key] for key in kept if key in resolved},
        "parameters": {
            key: {"value": value} for key, value in recipe.items() if means_something(key, network)
        },
    }
