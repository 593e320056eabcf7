"""The view of a search in Weights & Biases: a server may do what it likes, nothing waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune.ledger import Ledger, Order
from tune.wandb_client import (
    SECONDS_TO_END,
    Background,
    ask_server,
    end_wandb,
    first_line,
    open_run,
    say_sync,
)

__all__ = ["WandbTracker"]

MOST_SECONDS_AT_EXIT = 30.0
_TOO_LATE = TimeoutError("it takes too long to send all runs")

log = logging.getLogger("segtune")


@dataclass
class _Story:
    """All that W&B shall know of a trial, so that it can be told again from the beginning."""

    heading: Mapping[str, Any]
    rows: list[Mapping[str, float]]
    summary: dict[str, Any] = field(default_factory=dict)
    has_ended: bool = False
    run: Any = None  # W&B's own, while it is open

    def open(self, mode: str, folder: Path) -> None:
        """Begin a run and tell all so far."""
        self.run = open_run(self.heading, mode, folder)
        for row in self.rows:
            self.tell(row)
        if self.has_ended:
            self.close()

    def tell(self, row: Mapping[str, float]) -> None:
        """Log an epoch."""
        figures = {key: value for key, value in row.items() if key != "epoch"}
        self.run.log(figures, step=int(row["epoch"]))

    def close(self) -> None:
        """Write the summary; online, wait until all is sent."""
        self.run.summary.update(self.summary)
        self.run.finish()


class WandbTracker:
    """One W&B run per trial, grouped by study, made in the driver and never in a trial.

    A run's id follows from the study and the trial's number, so a continued search
    continues the same runs. A run is told all that the ledger knows of its trial, so
    the files of the last one written under an id are complete. At the first fault of
    the server (no answer, a refusal, an end that takes too long) all runs that are not
    known to be sent are written anew offline, and all later ones, too, for ``wandb sync``.

    Args:
        ledger: The memory of the search.
        folder: Where W&B keeps its files: the run directory.
        mode: ``online`` or ``offline``.
        shared: Configuration that all trials share, such as the data.
    """

    def __init__(self, ledger: Ledger, folder: Path, mode: str, shared: Mapping[str, Any]) -> None:
        self._ledger, self._folder, self._mode = ledger, folder, mode
        self._shared = dict(shared)
        self._answered = False
        self._online_until = float("inf")
        self._stories: dict[int, _Story] = {}
        self._background = Background("Weights & Biases")

    def started(self, order: Order) -> None:
        """Open the trial's run."""
        story = _Story(self._heading(order), list(self._ledger.entry(order.number).rows))
        self._background.submit(lambda: self._begin(order.number, story))

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Log an epoch's figures."""
        self._background.submit(lambda: self._add(number, row))

    def finished(self, number: int) -> None:
        """Write the summary and close the trial's run."""
        entry = self._ledger.entry(number)
        scores = [row["score"] for row in entry.rows]
        summary: dict[str, Any] = {"state": entry.state, "epochs": len(scores)}
        if entry.reason:
            summary["reason"] = entry.reason
        if scores:
            choose = max if self._ledger.file.metric.goal == "maximize" else min
            summary |= {"best_score": choose(scores), "last_score": scores[-1]}
        self._background.submit(lambda: self._end(number, summary))

    def close(self) -> None:
        """Finish what is open, within ``MOST_SECONDS_AT_EXIT`` in all."""
        self._online_until = time.monotonic() + MOST_SECONDS_AT_EXIT / 3
        self._background.submit(self._end_all)
        done = self._background.close(MOST_SECONDS_AT_EXIT - SECONDS_TO_END)
        if not done:
            said = "Weights & Biases did not finish in %.0f s; what it has can be sent later: %s"
            log.warning(said, MOST_SECONDS_AT_EXIT, say_sync(self._folder, "*run-*"))
        end_wandb(SECONDS_TO_END if done else 0)

    def _heading(self, order: Order) -> dict[str, Any]:
        file, entry = self._ledger.file, self._ledger.entry(order.number)
        name = f"{file.name}-{entry.point or order.number}"
        given = {"extends": entry.extends, "fold": entry.fold}
        extends = {key: value for key, value in given.items() if value is not None}
        name += "" if entry.seed is None else f"-seed{entry.seed}"
        return {
            "project": file.project or "segtune",
            "entity": file.entity,
            "group": file.name,
            "name": name if entry.fold is None else f"{name}-fold{entry.fold}",
            "id": f"{self._ledger.uid}-{order.number}",
            "config": {**self._shared, **order.recipe.model_dump(), "seed": order.seed, **extends},
        }

    def _begin(self, number: int, story: _Story) -> None:
        if number in self._stories:
            return
        self._stories[number] = story
        self._attempt(lambda: self._open(story))

    def _open(self, story: _Story) -> None:
        if self._mode == "online" and not self._answered:
            ask_server()
            self._answered = True
        story.open(self._mode, self._folder)

    def _add(self, number: int, row: Mapping[str, float]) -> None:
        story = self._stories[number]
        story.rows.append(row)
        self._attempt(lambda: story.tell(row))

    def _end(self, number: int, summary: dict[str, Any]) -> None:
        story = self._stories[number]
        story.summary, story.has_ended = summary, True
        self._attempt(story.close)
        del self._stories[number]

    def _end_all(self) -> None:
        """Those of trials that were interrupted; the server gets them all at the same time."""
        for story in self._stories.values():
            story.has_ended = True
        if self._is_too_late():
            self._give_up(_TOO_LATE)
            return
        with ThreadPoolExecutor(max(len(self._stories), 1)) as pool:
            ends = {n: pool.submit(story.close) for n, story in self._stories.items()}
        faults = {number: error for number, end in ends.items() if (error := end.exception())}
        self._stories = {number: self._stories[number] for number in faults}
        for error in list(faults.values())[:1]:
            self._give_up(error)

    def _attempt(self, job: Callable[[], None]) -> None:
        try:
            if self._is_too_late():
                raise _TOO_LATE
            job()
        except Exception as error:
            self._give_up(error)

    def _is_too_late(self) -> bool:
        return self._mode == "online" and time.monotonic() > self._online_until

    def _give_up(self, error: BaseException) -> None:
        """On the server: what is not known to be sent is told again, to files."""
        if self._mode == "offline":
            raise error
        self._mode = "offline"
        said = "W&B: %s; runs are written offline from now on, to be sent later: %s"
        log.warning(said, first_line(error), say_sync(self._folder, "offline-run-*"))
        end_wandb(0)  # with all that it still tries to send
        for story in self._stories.values():
            story.open(self._mode, self._folder)
