"""What the page shows of a search over all its trials: curves, parameters, costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tune.report import best_row
from tune.reporting.charts import Dot, Track, draw_cost, draw_importance, draw_tracks
from tune.reporting.costs import COSTS, Bargain, cost_of, find_bargains, front_of, paid
from tune.reporting.drawing import Drawing
from tune.reporting.early_stopping import StoppingAudit
from tune.reporting.evidence import RunData
from tune.reporting.factors import in_words
from tune.reporting.importance import FEWEST, Importance, rank_parameters
from tune.reporting.spaces import (
    Axis,
    build_axis,
    draw_parallel,
    draw_plane,
    draw_slice,
    scale_axis,
)
from tune.reporting.trials import Leaderboard, TrialLine

__all__ = ["Costs", "Parameters", "Show", "view_costs", "view_parameters", "view_tracks"]

Show = Callable[[str, Drawing], str]
"""Keeps a drawing as a file of that name, and gives what the page has of it."""

_MOST_AXES = 9
_BEST = 5  # one in so many is drawn as one of the best


@dataclass(frozen=True)
class Parameters:
    """What a search says of its parameters.

    Args:
        lead: Which matter, in a sentence.
        importance: Bars; empty where nothing can be told.
        num_told: Parameters held against chance.
        parallel: Parallel coordinates; empty below two trials.
        parallel_note: Which axes are shown, if not all.
        slices: Along the two most important parameters, and their plane.
        slices_note: Which these are.
    """

    lead: str
    importance: str
    num_told: int
    parallel: str
    parallel_note: str
    slices: tuple[str, ...]
    slices_note: str


@dataclass(frozen=True)
class Costs:
    """Score against what it was paid with.

    Args:
        drawings: One for each cost that is known.
        bargains: The trials on a front.
        num_complete: Trials that were paid for in full.
    """

    drawings: tuple[str, ...]
    bargains: tuple[Bargain, ...]
    num_complete: int


def view_tracks(run: RunData, board: Leaderboard, audit: StoppingAudit | None, show: Show) -> str:
    """The learning curves of all trials in one figure.

    Args:
        run: The run.
        board: Its leaderboard.
        audit: Of its rungs; None where no trials are compared.
        show: What to do with a drawing.

    Returns:
        For the page; empty before the second trial has an epoch.
    """
    lines = {line.number: line for line in board.lines}
    tracks = [
        Track(e.number, _look(lines[e.number], e.origin), [r["epoch"] for r in e.rows],
              [r["score"] for r in e.rows])
        for e in run.view.entries
        if e.rows and e.number in lines
    ]  # fmt: skip
    if len(tracks) < 2:
        return ""
    rungs = [(rung.epoch, rung.num_stopped) for rung in audit.rungs] if audit else []
    alt = (
        f"{board.metric} of {len(tracks)} trials over their epochs; the leaderboard has the same "
        f"in numbers"
    )
    drawing = draw_tracks(tracks, rungs, metric=board.metric, alt=alt, titles=_titles(board))
    return show("trials", drawing)


def view_parameters(run: RunData, board: Leaderboard, show: Show) -> Parameters | None:
    """Importance, parallel coordinates and slices.

    Args:
        run: The run.
        board: Its leaderboard.
        show: What to do with a drawing.

    Returns:
        Nothing for a grid, whose rows are compared one by one, or where nothing varies.
    """
    if run.study.method == "grid" or not board.columns:
        return None
    found, titles = rank_parameters(run.study, run.view.entries), _titles(board)
    bars = ""
    if found:
        alt = f"Importance of {len(found)} parameters: {_list_importance(found)}"
        bars = show("importance", draw_importance(found, alt))
    axes, strong = _axes(run, board, found), _best(board)
    shown = axes[: _MOST_AXES - 1]
    scores = {line.number: line.score for line in board.lines if not math.isnan(line.score)}
    parallel = ""
    if len(scores) > 1 and shown:
        alt = f"Parallel coordinates of {len(scores)} trials and {len(shown)} parameters"
        whole = [*shown, scale_axis(board.metric, scores)]
        parallel = show("parallel", draw_parallel(whole, strong, alt=alt, titles=titles))
    # a parameter that hardly ever counts has no slice to show
    along = [axis for axis in axes if 2 * len(axis.places) >= len(scores)][:2]
    order = "by importance" if found else "in the study's order"
    note = "" if shown == axes else f"The first {len(shown)} of {len(axes)} parameters, {order}."
    return Parameters(
        lead=_say_importance(found, len(scores)),
        importance=bars,
        num_told=len(found),
        parallel=parallel,
        parallel_note=note,
        slices=_slices(along, scores, board, show) if len(scores) > 1 else (),
        slices_note=" and ".join(axis.label for axis in along),
    )


def view_costs(board: Leaderboard, show: Show) -> Costs | None:
    """Score against time, memory and parameters.

    Args:
        board: The leaderboard.
        show: What to do with a drawing.

    Returns:
        Nothing below two complete trials, or where trials were scored on different patients.
    """
    if board.num_folds > 1:
        return None
    drawings, titles, most = [], _titles(board), 0
    for field, label, write in COSTS:
        lines = paid(board, field)
        if len(lines) < 2:
            continue
        front = {line.number for line in front_of(board, field)}
        dots = [
            Dot(line.number, cost_of(line, field) or 0.0, line.score, line.number in front)
            for line in lines
        ]
        alt = f"{board.metric} against {label}, {len(dots)} trials, {len(front)} on the front"
        drawing = draw_cost(dots, (label, write), metric=board.metric, alt=alt, titles=titles)
        drawings.append(show(f"cost-{field.removesuffix('_mb')}", drawing))
        most = max(most, len(lines))
    return Costs(tuple(drawings), find_bargains(board), most) if drawings else None


def _look(line: TrialLine, origin: str) -> str:
    if line.rank == 1:
        return "best"
    if origin == "default":
        return "default"
    return "in training" if line.state == "unfinished" else line.state


def _best(board: Leaderboard) -> set[int]:
    scored = [line.number for line in board.lines if line.rank]
    return set(scored[: max(1, math.ceil(len(scored) / _BEST))])


def _titles(board: Leaderboard) -> dict[int, str]:
    return {
        line.number: f"trial {line.number}{f' ({line.name})' if line.name else ''}: "
        f"{board.metric} {line.score:.3f}, {line.state}, {line.epochs} of {line.planned} epochs"
        for line in board.lines
    }


def _axes(run: RunData, board: Leaderboard, found: tuple[Importance, ...]) -> list[Axis]:
    """Of the parameters that differ: the most important first, then in the study's order."""
    ranks = {one.name: place for place, one in enumerate(found)}
    varying = [name for name in run.study.space.names if in_words(name) in board.columns]
    axes = []
    for name in sorted(varying, key=lambda name: ranks.get(name, len(ranks))):
        values = {
            entry.number: entry.values[name]
            for entry in run.view.entries
            if name in entry.values and best_row(run.study, entry)
        }
        if values:
            axes.append(build_axis(run.study.space[name], values))
    return axes


def _slices(
    axes: list[Axis], scores: dict[int, float], board: Leaderboard, show: Show
) -> tuple[str, ...]:
    strong, titles, drawings = _best(board), _titles(board), []
    for place, axis in enumerate(axes, start=1):
        alt = f"{board.metric} against {axis.label}, {len(axis.places)} trials"
        one = draw_slice(axis, scores, strong, metric=board.metric, alt=alt, titles=titles)
        drawings.append(show(f"slice-{place}", one))
    if len(axes) == 2:
        alt = f"{axes[1].label} against {axes[0].label}; filled: the best trials"
        both = draw_plane(axes[0], axes[1], strong, alt=alt, titles=titles)
        drawings.append(show("slice-both", both))
    return tuple(drawings)


def _say_importance(found: tuple[Importance, ...], num_scored: int) -> str:
    if not found:
        return (
            f"Which parameters matter cannot be told: {FEWEST} trials of different scores are "
            f"needed, {num_scored} have one."
        )
    told = [in_words(one.name) for one in found if one.is_told]
    if not told:
        return (
            f"None of {len(found)} parameters sets the best trials apart by more than chance would."
        )
    names = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    return (
        f"Of {len(found)} parameters, {names} {'sets' if len(told) == 1 else 'set'} the best "
        "trials apart by more than chance would."
    )


def _list_importance(found: tuple[Importance, ...]) -> str:
    return ", ".join(
        f"{in_words(one.name)} {one.share:.0%}{'' if one.is_told else ' (within chance)'}"
        for one in found
    )
