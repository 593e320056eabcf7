"""Overlay: outlines of classes drawn over an image; NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["COLOURS", "draw_outlines", "trace_outlines"]

COLOURS = (
    (255, 178, 0),
    (0, 200, 255),
    (255, 64, 129),
    (118, 255, 3),
    (179, 136, 255),
    (255, 110, 64),
)
"""Red, green and blue of each class: bright, as images are dark."""


THIN = 240
"""Pixels of the longest side for each pixel of a line's width."""

_FINER = 4


def draw_outlines(
    image: npt.NDArray[np.uint8],
    planes: npt.NDArray[np.bool_],
    *,
    size: int,
    colours: Sequence[tuple[int, int, int]] = COLOURS,
) -> npt.NDArray[np.uint8]:
    """Enlarge or shrink an image and draw the edge of each class inside its region.

    Classes may overlap, as tumour regions do: smaller ones are drawn over larger
    ones. A region of one pixel still shows.

    Args:
        image: Greys, or red, green and blue.
        planes: One for each class.
        size: Longest side of the result in pixels.
        colours: One for each class; taken from the start again where they run out.

    Returns:
        The picture in colour.

    Shape:
        - image: ``(H, W)`` or ``(H, W, 3)``
        - planes: ``(K, H, W)``
        - returns: ``(h, w, 3)``, the longer of the two being ``size``
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    # Enlarged, an edge is smooth; shrunk, a region of one pixel must not vanish.
    smooth, least = (cv2.INTER_AREA, 1e-6) if scale < 1 else (cv2.INTER_LINEAR, 0.5)
    resized = cv2.resize(np.ascontiguousarray(image), shape, interpolation=how)
    picture = cv2.cvtColor(resized, cv2.COLOR_GRAY2RGB) if resized.ndim == 2 else resized
    thickness = max(1, round(size / THIN))
    for number in sorted(range(len(planes)), key=lambda number: -int(planes[number].sum())):
        plane = cv2.resize(planes[number].astype(np.float32), shape, interpolation=smooth)
        region = (plane >= least).astype(np.uint8)
        contours, _ = cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        colour = colours[number % len(colours)]
        cv2.drawContours(picture, contours, -1, colour, thickness, cv2.LINE_AA)
    drawn: npt.NDArray[np.uint8] = picture
    return drawn


def trace_outlines(plane: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float64]]:
    """The edges of a region as closed lines, for pictures that are drawn by a browser.

    The edge runs between the pixels inside and those outside, a little smoothed; no point
    of it is farther than a fifth of a pixel from where it would be with all its points.

    Args:
        plane: What belongs to the region.

    Returns:
        A line for each part and each hole: x and y in pixels from the upper left corner.

    Shape:
        - plane: ``(H, W)``
        - returns: ``(n, 2)`` each
    """
    if not plane.any():
        return []
    around = np.pad(plane.astype(np.float32), 1)  # else an edge at the border would be cut off
    fine = cv2.resize(around, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_LINEAR)
    region = (fine >= 0.5).astype(np.uint8)
    lines, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    kept = [cv2.approxPolyDP(line, 0.2 * _FINER, closed=True)[:, 0] for line in lines]
    return [(line + 0.5) / _FINER - 1.0 for line in kept]
