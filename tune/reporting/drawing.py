"""How every figure is drawn: in the house's style, as SVG for a page and as PNG for a document.

Colours are those of Okabe and Ito, told apart by the colour-blind. In the SVG each
colour is a CSS variable, so that a page recolours its figures in the dark.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = [
    "FAINT",
    "INK",
    "MUTED",
    "PAPER",
    "RED",
    "TRAIN",
    "VAL",
    "Drawing",
    "blank",
    "draw",
    "mark_trial",
    "to_png",
    "to_svg",
]

INK, FAINT, TRAIN, VAL, PAPER = "#1b1f24", "#c9cfd6", "#d98200", "#0065a8", "#ffffff"
MUTED, RED = "#6a737d", "#b3141e"
_VARIABLES = {
    INK: "--ink", FAINT: "--rule", TRAIN: "--train", VAL: "--val", PAPER: "--card",
    MUTED: "--muted", RED: "--red",
}  # fmt: skip
_DPI = 200
_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a point may be called $5
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.dpi": _DPI,
    "svg.fonttype": "none",
    "svg.hashsalt": "segtune",  # the same figure gets the same names
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
}


@contextmanager
def blank(width: float, height: float, *, constrained: bool = True) -> Iterator[Figure]:
    """A figure in the house's style; the process's own settings are left as they were.

    Args:
        width: In inches.
        height: In inches.
        constrained: Make room for labels of any length, which takes time.

    Yields:
        The figure, empty.
    """
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's font has it
        yield Figure(figsize=(width, height), layout="constrained" if constrained else None)


@dataclass(frozen=True)
class Drawing:
    """One figure in both formats.

    Args:
        svg: For the page.
        png: For a document.
    """

    svg: str
    png: bytes


def draw(figure: Figure, alt: str, titles: Mapping[int, str] | None = None) -> Drawing:
    """A figure in both formats.

    Args:
        figure: As :func:`blank` gave it, drawn upon.
        alt: What there is to see, in words.
        titles: Trial -> what a pointer that rests on its marks is told.

    Returns:
        The drawing.
    """
    svg = to_svg(figure, alt, titles)
    figure.set_layout_engine("none")  # room has been made; it need not be found twice
    return Drawing(svg, to_png(figure, alt))


def mark_trial(number: int) -> str:
    """What Matplotlib calls the marks of a trial; in the SVG they have ``data-trial``."""
    return f"trial-{number}"


def to_png(figure: Figure, alt: str) -> bytes:
    """A figure for a document.

    Args:
        figure: As :func:`blank` gave it, drawn upon.
        alt: What there is to see, in words.

    Returns:
        The content of a file.
    """
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content, metadata={"Description": alt})
    return content.getvalue()


def to_svg(figure: Figure, alt: str, titles: Mapping[int, str] | None = None) -> str:
    """A figure for a page: in its font and colours, scaled by its box, and spoken.

    Args:
        figure: As :func:`blank` gave it, drawn upon.
        alt: What there is to see, in words.
        titles: Trial -> what a pointer that rests on its marks is told.

    Returns:
        An element of HTML; its ids meet those of no other figure.
    """
    content = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    dpi = figure.dpi
    FigureCanvasSVG(figure).print_svg(content, metadata=nothing)
    figure.set_dpi(dpi)  # which print_svg changes
    return _for_page(content.getvalue(), alt, titles or {})


def _for_page(svg: str, alt: str, titles: Mapping[int, str]) -> str:
    svg = svg[svg.index("<svg") :]
    head, rest = svg.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    assert view, "matplotlib writes a viewBox"
    for color, name in _VARIABLES.items():
        rest = rest.replace(color, f"var({name}, {color})")
    rest = re.sub(r"font: (?:[a-z0-9]+ )?([\d.]+px) [^;\"]*", r"font-size: \1", rest)

    def name_marks(found: re.Match[str]) -> str:
        title = titles.get(int(found[1]), f"trial {found[1]}")
        return f'<g data-trial="{found[1]}"><title>{escape(title)}</title>'

    rest = re.sub(r'<g id="trial-(\d+)">', name_marks, rest)
    # one page holds many figures, and a name may be there but once
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    rest = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>f{own}-", rest)
    head = f'<svg {view[0]} xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
    return f'{head} aria-label="{escape(alt)}">{rest}'.strip()
