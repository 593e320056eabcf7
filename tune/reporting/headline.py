"""The head of the page: a few figures that say how a search went, and how far it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tune.leaderboard import as_clock
from tune.reporting.ablation import Effect
from tune.reporting.early_stopping import StoppingAudit
from tune.reporting.evidence import RunData
from tune.reporting.trials import Leaderboard, TrialLine

__all__ = ["Progress", "Tile", "show_progress", "show_tiles"]


@dataclass(frozen=True)
class Tile:
    """One figure.

    Args:
        label: What it is.
        value: The figure.
        detail: What belongs to it.
    """

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Progress:
    """A search at work.

    Args:
        ended: Trials that ended.
        planned: Trials in all; 0 where only a budget ends the search.
        training: Trials in training now.
    """

    ended: int
    planned: int
    training: int


def show_progress(runs: Sequence[RunData]) -> Progress | None:
    """How far the searches are.

    Args:
        runs: All runs of the report.

    Returns:
        Nothing when no process is at work.
    """
    entries = [entry for run in runs if run.view.held for entry in run.view.entries]
    training = sum(entry.state == "RUNNING" for entry in entries)
    if not training:
        return None
    # a trial that goes on from another one comes on top of those planned
    planned = [
        None if run.study.num_planned is None
        else run.study.num_planned + sum(e.extends is not None for e in run.view.entries)
        for run in runs
    ]  # fmt: skip
    ended = [
        entry
        for run in runs
        for entry in run.view.entries
        if entry.started and entry.state not in ("RUNNING", "WAITING")
    ]
    return Progress(
        len(ended), sum(p or 0 for p in planned) if None not in planned else 0, training
    )


def show_tiles(
    run: RunData, board: Leaderboard, audit: StoppingAudit | None, effects: Sequence[Effect]
) -> tuple[Tile, ...]:
    """The figures of one run.

    Args:
        run: The run.
        board: Its leaderboard.
        audit: Of early stopping; None where no trials are compared.
        effects: All comparisons of the report.

    Returns:
        From two to five tiles.
    """
    tiles = _score_tiles(run, board)
    states = [line.state for line in board.lines]
    words = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    planned = run.study.num_planned
    of = f" of {planned}" if planned and planned > len(states) else ""
    tiles.append(Tile("Trials", f"{len(states)}{of}", ", ".join(words)))
    if run.study.method == "grid" and effects:
        hold = sum(effect.holds for effect in effects)
        tiles.append(Tile("Comparisons", str(len(effects)), f"{hold} differ from 0 after Holm"))
    seconds = sum(line.seconds for line in board.lines)
    epochs = sum(line.epochs for line in board.lines)
    detail = f"{epochs:,} epochs of all trials together"
    if audit and audit.num_stopped:
        whole = audit.seconds_saved + audit.seconds_trained
        detail += f"; stopping early saved {audit.seconds_saved / whole:.0%}" if whole else ""
    return (*tiles, Tile("Training", as_clock(seconds), detail))


def _score_tiles(run: RunData, board: Leaderboard) -> list[Tile]:
    """The best trial and what it gained; in a grid the points are compared instead."""
    first = next((line for line in board.lines if line.rank == 1), None)
    if first is None or board.num_folds > 1:  # the best of many folds had the easiest patients
        return []
    what = f"Best {board.metric}"
    told = f"trial {first.number}, epoch {first.best_epoch}"
    if first.interval.known:
        low, high = first.interval.low, first.interval.high
        told += f"; 95 % over cases {low:.3f} to {high:.3f}"
    tiles = [Tile(what, f"{first.score:.3f}", told)]
    default = _default(run, board)
    if run.study.method == "grid" or default is None or math.isnan(default.score):
        return tiles
    if default.number == first.number:
        return [*tiles, Tile("Against the default", "±0", "no trial beat the default recipe")]
    gain = first.score - default.score
    detail = f"the default reached {default.score:.3f}; both are best epochs, chosen on these cases"
    return [*tiles, Tile("Against the default", f"{gain:+.3f}", detail)]


def _default(run: RunData, board: Leaderboard) -> TrialLine | None:
    numbers = [entry.number for entry in run.view.entries if entry.origin == "default"]
    return next((line for line in board.lines if line.number in numbers[:1]), None)
