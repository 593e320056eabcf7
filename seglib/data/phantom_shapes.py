"""Shapes and textures that all phantoms are drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["Array", "Mask", "Numbers", "blob", "ellipse", "fade", "smooth_noise"]

Array = npt.NDArray[Any]
Numbers = Sequence[float] | npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma_px: float | Numbers
) -> Array:
    """Gaussian noise of a given grain, mean 0 and standard deviation 1."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, sigma_px, mode="wrap", truncate=3.0)
    noise -= noise.mean()
    noise /= noise.std() + 1e-6
    return noise


def ellipse(axes: Sequence[Array], centre: Numbers, radii: Numbers) -> Array:
    """Distance from the centre in radii: below 1 inside, in as many dimensions as axes."""
    total = np.zeros((1,) * axes[0].ndim, np.float32)
    for axis, middle, radius in zip(axes, centre, radii, strict=True):
        total = total + ((axis - np.float32(middle)) / np.float32(radius)) ** 2
    root: Array = np.sqrt(total)
    return root


def blob(
    rng: np.random.Generator,
    axes: Sequence[Array],
    centre: Numbers,
    *,
    radii: Numbers,
    roughness: float,
) -> Array:
    """As ``ellipse``, with a smooth bumpy surface: a sum of waves over directions.

    Args:
        rng: Where the bumps come from.
        axes: Coordinates that broadcast against each other.
        centre: Middle of the blob.
        radii: Mean extent along each axis.
        roughness: Height of the bumps as a share of the radius, 0 to about 0.4.

    Returns:
        Distance from the centre over the distance of the surface there.
    """
    reach = ellipse(axes, centre, radii)
    bumps = np.zeros_like(reach)
    for order in (2.0, 3.0, 4.0, 6.0):
        direction = rng.standard_normal(len(axes))
        direction /= np.linalg.norm(direction)
        along = np.zeros((1,) * reach.ndim, np.float32)
        for axis, part, middle, radius in zip(axes, direction, centre, radii, strict=True):
            along = along + (axis - np.float32(middle)) * np.float32(part / radius)
        phase = rng.uniform(0, 2 * np.pi)
        bumps += np.float32(rng.normal() / order) * np.cos(
            np.float32(order) * along / (reach + np.float32(0.2)) + np.float32(phase)
        )
    surface = np.maximum(1 + np.float32(roughness) * 2 * bumps, np.float32(0.35))
    return np.asarray(reach / surface, np.float32)


def fade(distance: Array, width: float) -> Array:
    """1 well inside ``distance < 1``, 0 well outside, a smooth edge between."""
    return np.asarray(1 / (1 + np.exp(np.clip((distance - 1) / width, -30, 30))), np.float32)
