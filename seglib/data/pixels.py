"""Grey values to bytes, and any rectangle into the square that the network takes.

Preparation and prediction share this file, so an image is treated alike in both.

==========  =================================  ======================  ==================
normalise   range that is kept                 of                      network sees
==========  =================================  ======================  ==================
zscore      mean -3 to +5 deviations, in body  a file and channel      -3 to 5, 0 outside
percentile  0.5 % to 99.5 %                    a file and channel      -1 to 1
window      the window, in HU                  all files alike         -1 to 1
none        0 to 255, as stored                all files alike         -1 to 1
==========  =================================  ======================  ==================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["SCALES", "Frame", "Scale", "channel_ranges", "exact_sums", "to_bytes"]


class Scale(NamedTuple):
    """How stored bytes become what the network sees: ``byte * scale + offset``.

    ``fill`` is the byte for whatever holds no image: outside the body, padding, and
    what an augmentation moves in from beyond the border.
    """

    scale: float
    offset: float
    fill: int


_GREYS = Scale(2 / 255, -1.0, fill=0)

SCALES: dict[str, Scale] = {
    # The body's mean is exactly 0, and so is all that lies outside: an edge of three
    # deviations around every brain would drown what differs within it.
    "zscore": Scale(1 / 32, -3.0, fill=96),
    "percentile": _GREYS,
    "window": _GREYS,
    "none": _GREYS,
}
"""The scale of each way to normalise."""

OUTSIDE_SHARE = 0.05
"""Zeros are taken for "outside the body" when at least so many voxels are zero."""


def to_bytes(
    image: npt.NDArray[Any], normalise: str, window_hu: tuple[float, float]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Normalise the content of one file, each channel by itself.

    For ``zscore`` the body is where a channel is not 0, if 5 % of it or more is
    exactly 0, else everything. For ``window`` it is what lies above the low end,
    for the others what lies above the lowest value. A blank channel has no body and
    is stored as fill where its own values would set the range.

    Args:
        image: All slices of the file.
        normalise: One of ``SCALES``.
        window_hu: Low and high end, for ``window``.

    Returns:
        What is stored, and where the body is.

    Shape:
        - image: ``(N, H, W, C)``, any real type
        - returns: bytes ``(N, H, W, C)`` and body ``(N, H, W)``

    Raises:
        ValueError: ``none`` meets values that are not bytes.
    """
    # One channel after another in memory: each is worked on by itself.
    bytes_ = np.moveaxis(np.empty((image.shape[3], *image.shape[:3]), dtype=np.uint8), 0, 3)
    body = np.zeros(image.shape[:3], dtype=np.bool_)
    for number in range(image.shape[3]):
        channel = image[..., number]
        if normalise in ("zscore", "percentile") and channel.min() == channel.max():
            bytes_[..., number] = SCALES[normalise].fill
            continue
        if normalise == "zscore":
            bytes_[..., number], inside = _zscore(channel)
        elif normalise == "none":
            if image.dtype != np.uint8:
                raise ValueError(f"{image.dtype} values, which 'normalise: none' cannot store")
            bytes_[..., number], inside = channel, channel > channel.min()
        else:
            low, high = window_hu if normalise == "window" else _percentiles(channel)
            bytes_[..., number] = _stretch(channel, low, high)
            inside = channel > (low if normalise == "window" else channel.min())
        body |= inside
    return bytes_, body


def channel_ranges(image: npt.NDArray[Any]) -> tuple[tuple[float, float], ...]:
    """Least and largest value of each channel; they are equal where it is blank.

    Args:
        image: All slices of a file.

    Returns:
        A pair for each channel.

    Shape:
        - image: ``(N, H, W, C)``, any real type
    """
    # One by one: NumPy reduces the leading axes of an array with few channels slowly.
    channels = (image[..., number] for number in range(image.shape[3]))
    return tuple((float(channel.min()), float(channel.max())) for channel in channels)


def exact_sums(volume: npt.NDArray[Any]) -> tuple[int, int]:
    """Sum of all values and of their squares, in whole numbers: the order cannot matter.

    Args:
        volume: Whole numbers; exact for those of one or two bytes. A slice of very large
            ones is summed modulo 2 ** 64.

    Returns:
        Sum, sum of squares.

    Shape:
        - volume: ``(N, H, W)``
    """
    total = squares = 0
    for plane in volume:
        filled = np.ascontiguousarray(plane != 0)
        x, y, width, height = cv2.boundingRect(filled.view(np.uint8))
        flat = plane[y : y + height, x : x + width].astype(np.int64).ravel()
        total += int(flat.sum())
        squares += int(flat @ flat)
    return total, squares


def _zscore(
    channel: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Standard deviations from the mean of the body, as bytes; fill outside."""
    inside = channel != 0
    if np.count_nonzero(inside) > (1 - OUTSIDE_SHARE) * inside.size:
        inside = np.ones_like(inside)
    mean, std = _mean_and_std(channel, inside)
    scale, offset, fill = SCALES["zscore"]
    stored = np.full(channel.shape, fill, dtype=np.uint8)
    # Slice by slice, and of each the body's box alone: so much fits into a core's cache.
    for plane, within, into in zip(channel, inside, stored, strict=True):
        x, y, width, height = cv2.boundingRect(within.view(np.uint8))
        box = np.s_[y : y + height, x : x + width]
        z = (plane[box].astype(np.float32) - np.float32(mean)) / np.float32(std or 1.0)
        z -= offset
        z /= scale
        np.rint(np.clip(z, 0, 255, out=z), out=z)
        np.copyto(into[box], z, where=within[box], casting="unsafe")
    return stored, inside


def _mean_and_std(channel: npt.NDArray[Any], inside: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Of what lies inside; all the rest is 0."""
    if channel.dtype.kind not in "iu" or channel.dtype.itemsize > 2:  # no exact sums
        values = channel[inside].astype(np.float32)
        return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    count = int(np.count_nonzero(inside))
    total, squares = exact_sums(channel)
    return total / count, math.sqrt((count * squares - total**2) / count**2)


def _percentiles(channel: npt.NDArray[Any]) -> tuple[float, float]:
    """Range of a channel without its extremes, unless hardly anything else is there."""
    low, high = np.percentile(channel, (0.5, 99.5))
    if low == high:
        low, high = channel.min(), channel.max()
    return float(low), float(high)


def _stretch(channel: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map low to 0 and high to 255; what lies beyond is cut."""
    stored = np.empty(channel.shape, dtype=np.uint8)
    for plane, bytes_ in zip(channel, stored, strict=True):  # no floats of a whole large volume
        share = (plane.astype(np.float32) - np.float32(low)) / np.float32(high - low)
        bytes_[...] = np.rint(np.clip(share, 0, 1) * 255)
    return stored


@dataclass(frozen=True)
class Frame:
    """A rectangle in the middle of a square, its longest side filling it.

    Args:
        height: Of the source, in pixels.
        width: Of the source, in pixels.
        size: Side of the square.
    """

    height: int
    width: int
    size: int

    @cached_property
    def inner(self) -> tuple[int, int]:
        """Height and width of the content in the square."""
        longest = max(self.height, self.width)
        return (
            max(1, round(self.height * self.size / longest)),
            max(1, round(self.width * self.size / longest)),
        )

    @cached_property
    def corner(self) -> tuple[int, int]:
        """First row and column of the content in the square."""
        return (self.size - self.inner[0]) // 2, (self.size - self.inner[1]) // 2

    def place_image(self, image: npt.NDArray[np.uint8], fill: int) -> npt.NDArray[np.uint8]:
        """Resize and pad: area when shrinking, cubic when enlarging.

        Args:
            image: Each channel is resized by itself.
            fill: Byte for the padding.

        Returns:
            The square.

        Shape:
            - image: ``(height, width, C)``
            - returns: ``(size, size, C)``
        """
        shrinks = self.size < max(self.height, self.width)
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        planes = [self._place(image[..., i], how, fill) for i in range(image.shape[2])]
        square: npt.NDArray[np.uint8] = cv2.merge(planes).reshape(self.size, self.size, -1)
        return square

    def place_mask(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Resize to the nearest label and pad with 0.

        Args:
            mask: Labels.

        Returns:
            The square.

        Shape:
            - mask: ``(height, width)``
            - returns: ``(size, size)``
        """
        return self._place(mask, cv2.INTER_NEAREST_EXACT, 0)

    def take_back(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Cut the padding off and return to the size of the source.

        Args:
            plane: Labels (whole numbers, nearest) or probabilities (real, linear).

        Returns:
            The rectangle.

        Shape:
            - plane: ``(size, size)``
            - returns: ``(height, width)``
        """
        (top, left), (height, width) = self.corner, self.inner
        content = np.ascontiguousarray(plane[top : top + height, left : left + width])
        if (height, width) == (self.height, self.width):
            return content
        how = cv2.INTER_LINEAR if plane.dtype.kind == "f" else cv2.INTER_NEAREST_EXACT
        restored: npt.NDArray[Any] = cv2.resize(
            content, (self.width, self.height), interpolation=how
        )
        return restored

    def _place(self, plane: npt.NDArray[np.uint8], how: int, fill: int) -> npt.NDArray[np.uint8]:
        (top, left), (height, width) = self.corner, self.inner
        content = np.ascontiguousarray(plane)
        if (height, width) != plane.shape:
            content = cv2.resize(content, (width, height), interpolation=how)
        if height == width:
            return content
        square = np.full((self.size, self.size), fill, dtype=np.uint8)
        square[top : top + height, left : left + width] = content
        return square
