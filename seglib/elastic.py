"""Elastic deformation: a smooth random field, drawn at few points instead of every pixel.

White noise blurred by a Gaussian of width sigma is the usual field. It holds nothing finer
than sigma, so pushes at points sigma apart make the same: each spreads as a Gaussian, and
their sum is the field. Its deviation is the same at every pixel to one part in ten thousand,
at the border too. Two pixels that are d apart move alike to ``exp(-(d / (2 sigma)) ** 2)``.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["ELASTIC_MOVE_PX", "ELASTIC_SIGMA_PX", "draw_field", "spread"]

ELASTIC_SIGMA_PX = 10.0
"""Smoothness of an elastic deformation."""

ELASTIC_MOVE_PX = 3.0
"""Standard deviation of the way that a pixel moves, along each axis."""

_REACH = 4
"""A push is not felt further away than so many sigma."""


@lru_cache(maxsize=8)
def spread(size: int) -> npt.NDArray[np.float32]:
    """What each pixel of a line feels of each push of deviation 1, so that it has deviation 1.

    Args:
        size: Pixels of the line.

    Returns:
        One row for each pixel, one column for each point; read-only.

    Shape:
        - returns: ``(size, points)``
    """
    last = _REACH + int(np.ceil((size - 1) / ELASTIC_SIGMA_PX))
    points = np.arange(-_REACH, last + 1) * ELASTIC_SIGMA_PX
    away = (np.arange(size)[:, None] - points) / ELASTIC_SIGMA_PX
    felt = np.exp(-0.5 * away**2)
    felt /= np.sqrt((felt**2).sum(axis=1, keepdims=True))
    matrix: npt.NDArray[np.float32] = felt.astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def draw_field(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    """Draw how far each pixel moves along x and along y.

    Args:
        rng: Generator to draw with.
        height: Of the image in pixels.
        width: Of the image in pixels.

    Returns:
        Pixels, of deviation ``ELASTIC_MOVE_PX``.

    Shape:
        - returns: ``(2, height, width)``
    """
    rows, columns = spread(height), spread(width)
    shape = (2, rows.shape[1], columns.shape[1])
    pushes = ELASTIC_MOVE_PX * rng.standard_normal(shape, dtype=np.float32)
    field = np.empty((2, height, width), dtype=np.float32)
    for one, push in zip(field, pushes, strict=True):
        # NumPy would set all cores to these small products, and make them wait for each other
        cv2.gemm(cv2.gemm(rows, push, 1, None, 0), columns, 1, None, 0, one, cv2.GEMM_2_T)
    return field
