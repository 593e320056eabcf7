"""The section of pictures: truth and prediction on the slices of three cases, for a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglib.overlay import COLOURS, trace_outlines
from tune.reporting.case_pictures import picture_cases
from tune.reporting.evidence import RunData
from tune.reporting.kept_pictures import CasePicture, CasePictures

__all__ = ["Overlay", "OverlaySlice", "Overlays", "show_overlays", "view_overlays"]

MOST_BYTES = 900_000
"""Of a run's images in the page: with the nine studies of a lab it stays below 10 MB."""

_MOST_PX = 384
_QUALITIES = (80, 60, 40, 20)
_RANKS = {
    "best": "Best case",
    "median": "Median case",
    "worst": "Worst case",
    "only": "The only case",
}


@dataclass(frozen=True)
class OverlaySlice:
    """One slice.

    Args:
        label: Which it is, and what is marked there, in words.
        image: A data URI.
        truth: Colour and SVG path of each class that is marked.
        pred: The same of the network.
    """

    label: str
    image: str
    truth: tuple[tuple[str, str], ...]
    pred: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Overlay:
    """One case.

    Args:
        title: Its place among all cases, and its name.
        text: Its Dice, and how much of it is shown.
        first: Place of the slice with the largest truth.
        width: Of the slices, in pixels.
        height: The same.
        slices: In the order of the volume.
    """

    title: str
    text: str
    first: int
    width: int
    height: int
    slices: tuple[OverlaySlice, ...]


@dataclass(frozen=True)
class Overlays:
    """What the page shows of a run's cases.

    Args:
        lead: Whose network it is, and what the images are.
        note: Why there are no pictures; empty if there are.
        classes: Name and colour of each class.
        cases: Best first.
    """

    lead: str
    note: str
    classes: tuple[tuple[str, str], ...]
    cases: tuple[Overlay, ...]


def view_overlays(run: RunData) -> Overlays | None:
    """What the report shows of the best, a middling and the worst validation case.

    Args:
        run: The run; its figures' folder gets a file that makes the next time quick.

    Returns:
        The pictures, or a word on why there are none; None before any epoch.
    """
    found = picture_cases(run)
    return None if found is None else show_overlays(found)


def show_overlays(found: CasePictures) -> Overlays:
    """Turn predicted cases into what a browser draws.

    Args:
        found: The cases.

    Returns:
        Images of ``MOST_BYTES`` at most in all, and outlines in their pixels.
    """
    images = _encode_all([image for case in found.cases for image in case.images])
    cases = tuple(_show_case(case, found.classes, images) for case in found.cases)
    classes = tuple((name, _colour(number)) for number, name in enumerate(found.classes))
    lead = f"Predicted by trial {found.trial} as it was after epoch {found.epoch}, its best"
    if found.channel:
        lead += ", on the image in colour" if found.channel == "colour" else f", on {found.channel}"
    return Overlays(f"{lead}.", found.note, classes, cases)


def _show_case(case: CasePicture, classes: Sequence[str], images: Iterator[str]) -> Overlay:
    height, width = case.images.shape[1:3]
    sizes = case.truth.sum(axis=(1, 2, 3))
    text = f"Dice {case.dice:.3f}"
    if case.num_slices > len(case.slices):
        text += f"; {len(case.slices)} of {case.num_slices} slices, around the truth"
    slices = tuple(
        OverlaySlice(
            label=_label(number, classes, truth, pred),
            image=next(images),
            truth=_paths(truth),
            pred=_paths(pred),
        )
        for number, truth, pred in zip(case.slices, case.truth, case.pred, strict=True)
    )
    title = f"{_RANKS[case.rank]}: {case.case}"
    return Overlay(title, text, int(np.argmax(sizes)), width, height, slices)


def _label(
    number: int, classes: Sequence[str], truth: NDArray[np.bool_], pred: NDArray[np.bool_]
) -> str:
    """Of each class there, how many pixels are marked by whom: also for those who see nothing."""
    parts = [
        f"{name} {int(plane.sum())} px, predicted {int(guess.sum())}"
        for name, plane, guess in zip(classes, truth, pred, strict=True)
        if plane.any() or guess.any()
    ]
    return f"slice {number}: {'; '.join(parts) or 'nothing marked'}"


def _paths(planes: NDArray[np.bool_]) -> tuple[tuple[str, str], ...]:
    """Smaller classes last, as they may lie in larger ones."""
    order = sorted(range(len(planes)), key=lambda number: -int(planes[number].sum()))
    paths = [(_colour(number), _path(planes[number])) for number in order]
    return tuple((colour, path) for colour, path in paths if path)


def _colour(number: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[number % len(COLOURS)])


def _path(plane: NDArray[np.bool_]) -> str:
    """All edges of a plane as one SVG path."""
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line) + "Z" for line in trace_outlines(plane)
    )


def _encode_all(images: Sequence[NDArray[np.uint8]]) -> Iterator[str]:
    """As good as fits."""
    encoded: list[bytes] = []
    for quality in _QUALITIES:
        encoded = [_encode(image, quality) for image in images]
        if sum(map(len, encoded)) * 4 / 3 <= MOST_BYTES:
            break
    return (f"data:image/webp;base64,{base64.b64encode(one).decode()}" for one in encoded)


def _encode(image: NDArray[np.uint8], quality: int) -> bytes:
    content = io.BytesIO()
    picture = Image.fromarray(image)
    picture.thumbnail((_MOST_PX, _MOST_PX))
    picture.save(content, "WEBP", quality=quality, method=4)
    return content.getvalue()
