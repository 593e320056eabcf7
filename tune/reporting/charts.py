"""The figures of a search over all its trials: learning curves, importance, costs.

The marks of a trial carry its number, so that the page can show the same trial in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tune.reporting.drawing import (
    INK,
    MUTED,
    PAPER,
    RED,
    TRAIN,
    VAL,
    Drawing,
    blank,
    draw,
    mark_trial,
)
from tune.reporting.importance import Importance

__all__ = ["Dot", "Track", "draw_cost", "draw_dots", "draw_importance", "draw_tracks"]

_LOOKS: dict[str, dict[str, Any]] = {
    "best": {"color": VAL, "linewidth": 2.4, "marker": "o", "markersize": 6, "zorder": 5},
    "default": {
        "color": TRAIN, "linewidth": 2.0, "marker": "s", "markersize": 5.5, "zorder": 4,
        "linestyle": (0, (5, 1.5)),
    },
    "complete": {"color": INK, "linewidth": 1.0, "alpha": 0.65, "marker": "o", "markersize": 4},
    "stopped": {
        "color": MUTED, "linewidth": 0.9, "alpha": 0.7, "marker": "x", "markersize": 5.5,
        "markeredgewidth": 1.4,
    },
    "failed": {
        "color": RED, "linewidth": 1.0, "marker": "v", "markersize": 5.5, "linestyle": ":",
    },
    "in training": {"color": INK, "linewidth": 1.0, "alpha": 0.65, "linestyle": (0, (1, 1.2))},
}  # fmt: skip
_MOST_BARS = 12


@dataclass(frozen=True)
class Track:
    """The way of one trial.

    Args:
        number: Of the trial.
        look: One of ``best``, ``default``, ``complete``, ``stopped``, ``failed`` and
            ``in training``.
        epochs: Counted from 1.
        scores: After each of them.
    """

    number: int
    look: str
    epochs: Sequence[float]
    scores: Sequence[float]


@dataclass(frozen=True)
class Dot:
    """One trial in a plane.

    Args:
        number: Of the trial.
        x: To the right.
        y: Upwards.
        strong: Is it one of those that the figure is about?
    """

    number: int
    x: float
    y: float
    strong: bool


def draw_tracks(
    tracks: Sequence[Track],
    rungs: Sequence[tuple[int, int]],
    *,
    metric: str,
    alt: str,
    titles: Mapping[int, str],
) -> Drawing:
    """All trials of a search in one plane, with the epochs at which they were compared.

    Args:
        tracks: At least one.
        rungs: Epoch of each rung, and how many trials were stopped there.
        metric: What the score is.
        alt: What there is to see, in words.
        titles: Trial -> what is said of it.

    Returns:
        The drawing.
    """
    with blank(4.3, 3.4) as figure:
        axes = figure.subplots()
        for track in tracks:
            look = {"zorder": 2} | _LOOKS[track.look]
            axes.plot(
                track.epochs, track.scores, gid=mark_trial(track.number), markevery=[-1], **look
            )
        for epoch, stopped in rungs:
            axes.axvline(epoch, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
            text = f"{stopped} stopped" if stopped else "look"
            axes.text(
                epoch, 1.01, text, transform=axes.get_xaxis_transform(), ha="center", va="bottom",
                fontsize=8,
            )  # fmt: skip
        last = max(max(track.epochs) for track in tracks)
        axes.set_xlim(min(1.0, last - 1) - 0.02 * last, last * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        shown = [look for look in _LOOKS if any(track.look == look for track in tracks)]
        marks = [Line2D([], [], **{"zorder": 2} | _LOOKS[look]) for look in shown]
        figure.legend(
            marks, shown, loc="outside lower center", ncols=4 if len(shown) == 4 else 3, fontsize=8
        )
        return draw(figure, alt, titles)


def draw_importance(found: Sequence[Importance], alt: str) -> Drawing:
    """A bar per parameter; a tick where chance ends, hollow what does not reach beyond it.

    Args:
        found: The most important first; at least one.
        alt: What there is to see, in words.

    Returns:
        The drawing.
    """
    shown = found[:_MOST_BARS]
    with blank(4.1, 0.7 + 0.27 * len(shown)) as figure:
        axes = figure.subplots()
        for place, one in enumerate(shown):
            axes.barh(
                place, 100 * one.share, height=0.62, zorder=2, linewidth=1.2,
                color=VAL if one.is_told else PAPER, edgecolor=VAL if one.is_told else MUTED,
            )  # fmt: skip
            axes.plot(
                [100 * one.chance] * 2, [place - 0.4, place + 0.4], color=TRAIN, linewidth=2.2,
                zorder=3,
            )  # fmt: skip
        axes.set_yticks(range(len(shown)), [one.name.replace("_", " ") for one in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        # where little can be told, chance may reach far beyond all that is there
        axes.set_xlim(0, 115 * max(max(one.share, 0.01) for one in shown))
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of the importance (%)")
        return draw(figure, alt)


def draw_cost(
    dots: Sequence[Dot],
    label: tuple[str, Callable[[float], str]],
    *,
    metric: str,
    alt: str,
    titles: Mapping[int, str],
) -> Drawing:
    """Score against a cost: the front is filled and joined by steps.

    Args:
        dots: A dot per trial, strong on the front; at least one.
        label: What the cost is, and how one is written.
        metric: What the score is.
        alt: What there is to see, in words.
        titles: Trial -> what is said of it.

    Returns:
        The drawing.
    """
    with blank(3.4, 2.8) as figure:
        axes = figure.subplots()
        front = sorted((dot.x, dot.y) for dot in dots if dot.strong)
        axes.plot(
            [x for x, _ in front], [y for _, y in front], drawstyle="steps-post", color=VAL,
            linewidth=1.6, zorder=2,
        )  # fmt: skip
        draw_dots(axes, dots)
        name, write = label
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.xaxis.set_major_formatter(lambda value, _: write(value))
        axes.set_xlabel(name)
        axes.set_ylabel(metric)
        return draw(figure, alt, titles)


def draw_dots(axes: Axes, dots: Sequence[Dot]) -> None:
    """Strong ones filled, the others hollow and behind them.

    Args:
        axes: Where.
        dots: The trials.
    """
    for dot in dots:
        color, order = (VAL, 4) if dot.strong else (MUTED, 3)
        axes.plot(
            [dot.x], [dot.y], "o", gid=mark_trial(dot.number), markersize=6,
            markerfacecolor=VAL if dot.strong else PAPER, markeredgewidth=1.3,
            color=color, zorder=order,
        )  # fmt: skip
