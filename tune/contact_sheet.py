"""The contact sheet: some slices of a data set as the network sees them, with their outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seglib.data.convert import Prepared
from seglib.data.survey import Sight, Survey
from seglib.overlay import COLOURS, draw_outlines

__all__ = ["draw_sheet"]

MOST_PANELS = 12
_WIDTH, _MARGIN, _GAP, _HEAD, _LINE, _CAPTION, _FOOT = 1240, 20, 12, 76, 22, 24, 34
_DPI = 100
_PANELS_IN_A_ROW = {1: 4, 2: 3, 3: 2, 4: 2}
_MOST_CHANNELS = max(_PANELS_IN_A_ROW)
_GREY, _RED = "#5f6368", "#c5221f"
_COLOURED = ("red", "green", "blue")
_SEAM_PX = 2
_LETTER_PX = 6.6


@dataclass(frozen=True)
class _Panel:
    pixels: npt.NDArray[np.uint8]  # (h, w, 3)
    caption: str


def draw_sheet(survey: Survey, path: Path, *, title: str, summary: str, scaling: str) -> None:
    """Draw about a dozen slices, and write them as one PNG.

    They are spread over the patients and over the amount of foreground. Channels
    stand side by side; red, green and blue are shown as the colour that they are.

    Args:
        survey: A data set that was read; at least one item without a fault.
        path: The file to write.
        title: First line.
        summary: Second line: counts.
        scaling: What was made of the grey values, in words.
    """
    tiles = 1 if _is_coloured(survey) else min(len(survey.dataset.channels), _MOST_CHANNELS)
    columns = _PANELS_IN_A_ROW[tiles]
    width = (_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    size = (width - (tiles - 1) * _SEAM_PX) // tiles
    sights = survey.sights(MOST_PANELS)
    panels = [_panel(survey, sight, prepared, size=size) for sight, prepared in survey.show(sights)]
    rows = max(1, -(-len(panels) // columns))
    head = _HEAD + (_LINE if survey.problems else 0)
    height = head + rows * (size + _CAPTION + _GAP) + _FOOT
    figure = Figure(figsize=(_WIDTH / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        corner = (_MARGIN + column * (width + _GAP), head + row * (size + _CAPTION + _GAP))
        _place(figure, panel, corner)
    _write_texts(figure, survey, title=title, summary=summary)
    _write_foot(figure, survey, scaling)
    FigureCanvasAgg(figure).print_png(path, metadata={"Title": f"{title}: {summary}"})


def _is_coloured(survey: Survey) -> bool:
    return survey.dataset.channels == _COLOURED


def _panel(survey: Survey, sight: Sight, prepared: Prepared, *, size: int) -> _Panel:
    """The channels of a slice side by side, each with the outlines."""
    image, mask = prepared.images[sight.position], prepared.masks[sight.position]
    planes = np.moveaxis(np.array(survey.plan.target.membership())[mask], -1, 0)
    pictures = [image] if _is_coloured(survey) else np.moveaxis(image, -1, 0)[:_MOST_CHANNELS]
    seam = np.full((size, _SEAM_PX, 3), 255, dtype=np.uint8)
    parts = [part for one in pictures for part in (seam, draw_outlines(one, planes, size=size))]
    pixels = np.concatenate(parts[1:], axis=1)
    return _Panel(pixels, _caption(survey, sight, most=int(pixels.shape[1] / _LETTER_PX)))


def _caption(survey: Survey, sight: Sight, *, most: int) -> str:
    """Case, slice and amount of foreground; a long name gives way in its middle."""
    item, row = survey.dataset.items[sight.number], sight.row
    in_stack = item.slice is not None or len(survey.pieces[sight.number].rows) > 1
    rest = f", slice {row.slice}" if in_stack else ""
    marked = sum(row.label_px[1:]) / sum(row.label_px)
    if item.masks:
        rest += f": {f'{marked:.1%}' if marked >= 0.001 else '< 0.1%' if marked else 'empty'}"
    room = max(4, most - len(rest))
    if len(row.case) <= room:
        return row.case + rest
    return f"{row.case[: room // 2 - 1]}…{row.case[-(room - room // 2) :]}{rest}"


def _place(figure: Figure, panel: _Panel, corner: tuple[int, int]) -> None:
    """Put a panel at a place, in pixels from the upper left; no pixel is resampled."""
    left, top = corner
    height, width = panel.pixels.shape[:2]
    all_wide, all_high = figure.get_size_inches() * _DPI
    box = (left / all_wide, 1 - (top + height) / all_high, width / all_wide, height / all_high)
    axes = figure.add_axes(box)
    axes.imshow(panel.pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    place = (left / all_wide, 1 - (top + height + 5) / all_high)
    figure.text(*place, panel.caption, fontsize=8, color=_GREY, va="top", parse_math=False)


def _write_texts(figure: Figure, survey: Survey, *, title: str, summary: str) -> None:
    _write(figure, title, top=14, size=16, weight="bold")
    _write(figure, summary, top=44, size=10)
    problems = len(survey.problems)
    if problems:
        faults = f"{problems} fault{'s' * (problems > 1)}: segtune data names them"
        _write(figure, faults, top=44 + _LINE, size=10, weight="bold", color=_RED)
    if any(item.masks for item in survey.dataset.items):
        wide, high = figure.get_size_inches() * _DPI
        figure.legend(
            handles=_legend(survey),
            loc="upper right",
            bbox_to_anchor=(1 - _MARGIN / wide, 1 - 10 / high),
            ncols=3,
            fontsize=10,
            frameon=False,
            borderaxespad=0,
        )


def _write(figure: Figure, text: str, *, top: float, size: float, **look: Any) -> None:
    """Text at the left margin, ``top`` pixels from the upper edge."""
    wide, high = figure.get_size_inches() * _DPI
    place = (_MARGIN / wide, 1 - top / high)
    figure.text(*place, text, fontsize=size, va="top", parse_math=False, **look)


def _legend(survey: Survey) -> Sequence[Line2D]:
    lines = []
    for number, one in enumerate(survey.classes()):
        colour = [part / 255 for part in COLOURS[number % len(COLOURS)]]
        label = f"{one.name} ({', '.join(map(str, one.greys))})"
        lines.append(Line2D([], [], color=colour, linewidth=3, label=label))
    return lines


def _write_foot(figure: Figure, survey: Survey, scaling: str) -> None:
    """How to read the pictures."""
    size, channels = survey.plan.image_size, survey.dataset.channels
    text = f"As the network gets them: {size} x {size} px, {scaling}"
    if len(channels) > 1 and not _is_coloured(survey):
        text += f"; left to right: {', '.join(channels[:_MOST_CHANNELS])}"
    if any(item.masks for item in survey.dataset.items):
        text += "; per cent: marked"
    if len(channels) > _MOST_CHANNELS:
        text += f" ({len(channels) - _MOST_CHANNELS} more channels are not shown)"
    high = figure.get_size_inches()[1] * _DPI
    _write(figure, text, top=high - 26, size=9, color=_GREY)
