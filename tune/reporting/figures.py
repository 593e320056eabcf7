"""The figures of a report: learning curves, effects, cases.

Line style and darkness tell apart what colour does, so that they are readable in grey.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tune.reporting.ablation import Effect, signed
from tune.reporting.drawing import INK, PAPER, TRAIN, VAL, Drawing, blank, draw, to_png, to_svg

__all__ = [
    "FEWEST_FOR_BOX",
    "CurvePanel",
    "draw_cases",
    "draw_curve_sheet",
    "draw_curves",
    "draw_effects",
]

FEWEST_FOR_BOX = 10  # quartiles of fewer are hardly more than the cases themselves
_CELL = (3.4, 3.6)  # a panel of curves, in inches
# what is drawn in the two axes of a panel: column, label, colour, dash
_LINES = {
    "loss": (("train_loss", "train", TRAIN, "--"), ("val_loss", "validation", VAL, "-")),
    "Dice": (("train_dice", "train", TRAIN, "--"), ("dice", "validation", VAL, "-")),
}


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """The learning curves of one point.

    Args:
        name: Of the point.
        seeds: One table of epochs per trial.
        alt: What there is to see, in words.
    """

    name: str
    seeds: Sequence[pd.DataFrame]
    alt: str


def draw_curves(panels: Sequence[CurvePanel]) -> list[str]:
    """One figure per point: loss and Dice over the epochs, the same axes for all.

    Args:
        panels: The points; each has at least one epoch.

    Returns:
        An SVG for each.
    """
    ranges, drawings = _ranges(panels), []
    for panel in panels:
        with blank(*_CELL, constrained=False) as figure:
            _draw_panel(_add_pair(figure, row=0, column=0), panel, ranges)
            drawings.append(to_svg(figure, panel.alt))
    return drawings


def draw_curve_sheet(panels: Sequence[CurvePanel], alt: str) -> bytes:
    """All points on one sheet, as a lab report shows them.

    Args:
        panels: The points; each has at least one epoch.
        alt: What there is to see, in words.

    Returns:
        A PNG.
    """
    ranges = _ranges(panels)
    columns = len(panels) if len(panels) < 4 else min(4, math.isqrt(len(panels) - 1) + 1)
    rows = math.ceil(len(panels) / columns)
    with blank(_CELL[0] * columns, _CELL[1] * rows, constrained=False) as figure:
        for place, panel in enumerate(panels):
            row, column = divmod(place, columns)
            _draw_panel(_add_pair(figure, row=row, column=column), panel, ranges)
        return to_png(figure, alt)


def draw_effects(effects: Sequence[Effect], alt: str) -> Drawing:
    """A forest plot: an interval per comparison under its words, grouped by factor.

    Words and number stand above the interval, so that it is narrow enough for a phone.

    Args:
        effects: By factor; at least one.
        alt: What there is to see, in words.

    Returns:
        The drawing.
    """
    factors = list(dict.fromkeys(effect.factor for effect in effects))
    inches = 0.52 * len(effects) + 0.4 * len(factors)  # in which a unit of y is an inch
    width, height, below = 4.0, inches + 0.65, 0.6
    with blank(width, height, constrained=False) as figure:
        axes = figure.add_axes((0.05, below / height, 0.9, inches / height))
        axes.set_ylim(inches, 0)
        at = 0.0
        for factor in factors:
            at += 0.4
            _write_in(axes, factor, at - 0.12, size=11, weight="bold")
            for effect in (effect for effect in effects if effect.factor == factor):
                _draw_effect(axes, effect, at)
                at += 0.52
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -1.0), max(high, 1.0))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        axes.tick_params(axis="y", length=0, labelleft=False)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("change in Dice points (right of 0: better)")
        return draw(figure, alt)


def draw_cases(scores: Mapping[str, pd.Series[float]], alt: str) -> Drawing:
    """Dice of every case, a line of dots per point, and a box from 10 cases on.

    Args:
        scores: Point -> one number per case; at least one point with a case.
        alt: What there is to see, in words.

    Returns:
        The drawing.
    """
    with blank(5.4, 0.8 + 0.42 * len(scores)) as figure:
        axes = figure.subplots()
        boxes = {place: s for place, s in enumerate(scores.values()) if len(s) >= FEWEST_FOR_BOX}
        if boxes:
            axes.boxplot(
                [series.to_numpy() for series in boxes.values()], positions=list(boxes),
                orientation="horizontal", widths=0.62, showfliers=False, whis=(0, 100),
                manage_ticks=False, medianprops={"color": VAL, "linewidth": 2},
                boxprops={"color": INK}, whiskerprops={"color": INK}, capprops={"color": INK},
            )  # fmt: skip
        for place, series in enumerate(scores.values()):
            # spread by the golden ratio: no two neighbours alike, and the same every time
            offsets = (np.arange(len(series)) * 0.618) % 1 * 0.44 - 0.22
            axes.plot(series, place + offsets, "o", color=VAL, markersize=3, alpha=0.55, mew=0)
        axes.set_yticks(range(len(scores)), list(scores))
        axes.set_ylim(len(scores) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Dice of a case, last epoch, mean over trainings")
        return draw(figure, alt)


def _add_pair(figure: Figure, *, row: int, column: int) -> tuple[Axes, Axes]:
    """Two axes, one above the other, in a cell of a grid that is counted from the top left."""
    width, height = figure.get_size_inches()
    left, right, bottom, top, gap = 0.56, 0.12, 0.48, 0.34, 0.16
    each = (_CELL[1] - bottom - top - gap) / 2
    x, y = column * _CELL[0] + left, height - (row + 1) * _CELL[1] + bottom
    size = ((_CELL[0] - left - right) / width, each / height)
    lower = figure.add_axes((x / width, y / height, *size))
    upper = figure.add_axes((x / width, (y + each + gap) / height, *size), sharex=lower)
    return upper, lower


def _draw_panel(
    pair: tuple[Axes, Axes], panel: CurvePanel, ranges: Mapping[str, tuple[float, float]]
) -> None:
    for axes, (word, lines) in zip(pair, _LINES.items(), strict=True):
        for column, label, color, dash in lines:
            seeds = [table.set_index("epoch")[column] for table in panel.seeds if column in table]
            if not seeds:
                continue
            furthest = max(map(len, seeds))
            whole = [seed for seed in seeds if len(seed) == furthest]
            mean = pd.concat(whole, axis="columns").mean(axis="columns")
            thin = [(seed, 0.7, 0.55, "") for seed in seeds if len(seeds) > 1]
            for line, width, alpha, name in (*thin, (mean, 2.0, 1.0, label)):
                axes.plot(
                    line.index, line, color=color, linestyle=dash, linewidth=width, alpha=alpha,
                    label=name or None, marker="o" if len(line) == 1 else "",
                )  # fmt: skip
        axes.set_ylabel(word)
        axes.set_ylim(*ranges[word])
        axes.set_xlim(*ranges["epoch"])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    pair[0].tick_params(labelbottom=False)
    pair[1].set_xlabel("epoch")
    pair[0].set_title(_short(panel.name, 42), loc="left")
    pair[1].legend(loc="best", fontsize=8, handlelength=2.2)


def _ranges(panels: Sequence[CurvePanel]) -> dict[str, tuple[float, float]]:
    """The same axes for all points; Dice from 0 to 1, the loss as high as it goes."""
    tables = [table for panel in panels for table in panel.seeds]
    columns = [table[name] for table in tables for name, *_ in _LINES["loss"] if name in table]
    losses = pd.concat(columns) if columns else pd.Series([1.0])
    # the first steps may be far above all that follows
    ends = [column.iloc[-1] for column in columns] or [1.0]
    high = float(max(losses.quantile(0.98) if len(losses) > 100 else losses.max(), *ends))
    low = min(0.0, float(losses.min()))
    last = max(float(table["epoch"].max()) for table in tables)
    top = high + 0.06 * (high - low or 1.0)
    return {"loss": (low, top), "Dice": (-0.02, 1.02), "epoch": (min(1.0, last - 1), last)}


def _draw_effect(axes: Axes, effect: Effect, top: float) -> None:
    """Two lines of words, then the interval."""
    found, pooled = effect.interval, effect.num_pairs > 1
    weight = "bold" if effect.holds else "normal"
    change = f"{_short(effect.before, 13)} → {_short(effect.after, 13)}"
    _write_in(axes, change, top + 0.08, weight=weight)
    detail = effect.setting if pooled else " → ".join(effect.names)
    _write_in(axes, _short(detail, 46), top + 0.23, size=8)
    text = f"{signed(found.estimate)} "
    text += f"[{signed(found.low)}, {signed(found.high)}]" if found.known else "(one case)"
    _write_in(axes, text, top + 0.08, right=True, weight=weight)
    at = top + 0.38
    if found.known:
        axes.plot([found.low, found.high], [at, at], color=VAL, linewidth=2.6 if pooled else 1.6)
    axes.plot(
        [found.estimate], [at], "D" if pooled else "o", color=VAL, markersize=7,
        markerfacecolor=VAL if effect.holds else PAPER, markeredgewidth=1.6,
    )  # fmt: skip


def _write_in(axes: Axes, text: str, y: float, *, right: bool = False, **how: Any) -> None:
    """At an edge of the axes; nothing drawn behind it shines through."""
    axes.text(
        1.0 if right else 0.0, y, text, transform=axes.get_yaxis_transform(), va="center",
        ha="right" if right else "left", zorder=3,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}, **how,
    )  # fmt: skip


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
