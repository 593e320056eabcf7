"""The figures of a search's space: parallel coordinates, and slices along two parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from tune.domains import Value, show
from tune.reporting.charts import Dot, draw_dots
from tune.reporting.drawing import INK, MUTED, PAPER, VAL, Drawing, blank, draw, mark_trial
from tune.space import Parameter

__all__ = ["Axis", "build_axis", "draw_parallel", "draw_plane", "draw_slice", "scale_axis"]

_ABSENT = -0.13  # where a parameter does not count, below the axis
_INCHES = 1.02  # from one axis to the next


@dataclass(frozen=True)
class Axis:
    """One parameter, or the score, from 0 to 1.

    Args:
        label: What it is called.
        places: Trial -> where it lies; a trial in which it does not count is not there.
        ticks: Place and text, rising.
        is_choice: Are its values words, or so few that each has its own place?
    """

    label: str
    places: Mapping[int, float]
    ticks: tuple[tuple[float, str], ...]
    is_choice: bool = False


def build_axis(parameter: Parameter, values: Mapping[int, Value]) -> Axis:
    """Lay a parameter's values out.

    Args:
        parameter: The parameter.
        values: Trial -> value, of those in which it counts; at least one.

    Returns:
        Numbers by size, on a log scale if the study says so; words in the study's order.
    """
    label = parameter.name.replace("_", " ")
    listed = parameter.domain.grid()
    numbers = {number: _as_float(value) for number, value in values.items()}
    if listed is not None or None in numbers.values():
        told = [show(value) for value in listed or ()]
        told = list(dict.fromkeys([*told, *map(show, values.values())]))
        step = {text: place / max(1, len(told) - 1) for place, text in enumerate(told)}
        places = {number: step[show(value)] for number, value in values.items()}
        return Axis(label, places, tuple((place, text) for text, place in step.items()), True)
    known = {number: value for number, value in numbers.items() if value is not None}
    log = "log" in str(parameter.domain.spec().get("distribution", "")) and min(known.values()) > 0
    return scale_axis(label, known, log=log)


def _as_float(value: Value) -> float | None:
    """A number as a float; None for words and truth values."""
    return None if value is None or isinstance(value, bool | str) else float(value)


def scale_axis(label: str, values: Mapping[int, float], *, log: bool = False) -> Axis:
    """Lay numbers out between their smallest and their largest.

    Args:
        label: What they are.
        values: Trial -> number; at least one.
        log: By their logarithms?

    Returns:
        The axis.
    """
    bend = math.log if log else float
    low, high = min(values.values()), max(values.values())
    width = bend(high) - bend(low) or 1.0
    places = {number: (bend(value) - bend(low)) / width for number, value in values.items()}
    if low == high:
        return Axis(label, dict.fromkeys(places, 0.5), ((0.5, f"{low:.3g}"),))
    middle = math.exp((math.log(low) + math.log(high)) / 2) if log else (low + high) / 2
    return Axis(label, places, ((0.0, f"{low:.2g}"), (0.5, f"{middle:.2g}"), (1.0, f"{high:.2g}")))


def draw_parallel(
    axes_of: Sequence[Axis], strong: set[int], *, alt: str, titles: Mapping[int, str]
) -> Drawing:
    """A line per trial through all axes; the best ones bold and on top.

    Args:
        axes_of: The parameters and, last, the score, which has every trial.
        strong: The best trials.
        alt: What there is to see, in words.
        titles: Trial -> what is said of it.

    Returns:
        The drawing.
    """
    count = len(axes_of)
    with blank(_INCHES * count + 0.5, 3.4, constrained=False) as figure:
        width = _INCHES * count + 0.5
        axes = figure.add_axes((0.35 / width, 0.01, 1 - 1.0 / width, 0.87))
        for number in sorted(axes_of[-1].places, key=lambda number: number in strong):
            ys = [axis.places.get(number, _ABSENT) for axis in axes_of]
            best = number in strong
            axes.plot(
                range(count), ys, gid=mark_trial(number), color=VAL if best else MUTED,
                linewidth=2.0 if best else 0.9, alpha=0.95 if best else 0.5,
                zorder=3 if best else 2, solid_joinstyle="round",
            )  # fmt: skip
        for place, axis in enumerate(axes_of):
            _draw_axis(axes, place, axis, absent=len(axis.places) < len(axes_of[-1].places))
        axes.set_xlim(-0.05, count - 0.95)
        axes.set_ylim(-0.2, 1.04)
        axes.set_axis_off()
        return draw(figure, alt, titles)


def draw_slice(
    axis: Axis, scores: Mapping[int, float], strong: set[int], *, metric: str, alt: str,
    titles: Mapping[int, str],
) -> Drawing:  # fmt: skip
    """Score against one parameter.

    Args:
        axis: The parameter.
        scores: Trial -> score.
        strong: The best trials.
        metric: What the score is.
        alt: What there is to see, in words.
        titles: Trial -> what is said of it.

    Returns:
        The drawing.
    """
    dots = [
        Dot(number, x + _spread(axis, number), scores[number], number in strong)
        for number, x in axis.places.items()
        if number in scores
    ]
    with blank(3.4, 2.8) as figure:
        axes = figure.subplots()
        draw_dots(axes, dots)
        _set_ticks(axes, axis)
        axes.set_ylabel(metric)
        return draw(figure, alt, titles)


def draw_plane(
    across: Axis, up: Axis, strong: set[int], *, alt: str, titles: Mapping[int, str]
) -> Drawing:
    """Where the trials lie in two parameters, the best ones filled.

    Args:
        across: To the right.
        up: Upwards.
        strong: The best trials.
        alt: What there is to see, in words.
        titles: Trial -> what is said of it.

    Returns:
        The drawing.
    """
    both = [number for number in across.places if number in up.places]
    dots = [
        Dot(number, across.places[number] + _spread(across, number),
            up.places[number] + _spread(up, number + 1), number in strong)
        for number in both
    ]  # fmt: skip
    with blank(3.4, 2.8) as figure:
        axes = figure.subplots()
        draw_dots(axes, dots)
        _set_ticks(axes, across)
        axes.set_yticks([place for place, _ in up.ticks], [text for _, text in up.ticks])
        axes.set_ylim(-0.15, 1.15)
        axes.set_ylabel(up.label)
        return draw(figure, alt, titles)


def _set_ticks(axes: Axes, axis: Axis) -> None:
    axes.set_xticks([place for place, _ in axis.ticks], [text for _, text in axis.ticks])
    axes.set_xlim(-0.15, 1.15)
    axes.set_xlabel(axis.label)


def _spread(axis: Axis, number: int) -> float:
    """Trials of the same value beside each other, at the same place every time."""
    return ((number * 0.618) % 1 - 0.5) * 0.12 if axis.is_choice else 0.0


def _draw_axis(axes: Axes, place: int, axis: Axis, *, absent: bool) -> None:
    axes.plot([place, place], [0, 1], color=INK, linewidth=1.1, zorder=4)
    words = axis.label.split(" ")
    half = (len(words) + 1) // 2
    name = " ".join(words[:half]) + ("\n" + " ".join(words[half:]) if words[half:] else "")
    axes.text(
        place, 1.08, name, ha="center", va="bottom", fontsize=8.5, weight="bold", linespacing=1.1
    )
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    for y, text in axis.ticks:
        axes.text(place + 0.05, y, text, ha="left", va="center", fontsize=8, zorder=5, bbox=box)
    if absent:
        axes.plot([place - 0.05, place + 0.05], [_ABSENT] * 2, color=INK, linewidth=1.1)
