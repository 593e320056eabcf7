"""Phantom chest X-rays with both lungs as the mask, in paired folders.

Nothing here was measured on a person. Brightness is how much lies in the beam:
soft tissue and bones add, lungs take away. Air beside the body and gas below the
diaphragm are as dark as lungs, so that darkness alone does not find them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seglib.data.phantom_shapes import Array, blob, ellipse, fade, smooth_noise

__all__ = ["draw_chest", "write_chest"]

_Axes = tuple[Array, Array]


@dataclass(frozen=True)
class _Lung:
    """One lung in the frame: x from -1 to 1, y from 0 (top) to 1; side -1 is drawn left."""

    side: int
    inner: float
    outer: float
    top: float
    base: float


def draw_chest(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws one X-ray.

    Args:
        rng: Decides everything about the patient.
        size: Side in pixels.

    Returns:
        Image and mask, both (H, W) uint8; the mask is 0 or 255.
    """
    shape = (size, size)
    y, x = _frame(rng, size)
    lungs = [_lung(rng, side) for side in (-1, 1)]
    heart = blob(
        rng,
        (y, x),
        (lungs[1].base - 0.10, 0.12 * rng.uniform(0.7, 1.3)),
        radii=(rng.uniform(0.15, 0.22), 0.3 * rng.uniform(0.8, 1.2)),
        roughness=0.08,
    )
    inside = [_lung_shape(rng, (y, x), lung) for lung in lungs]
    air = np.maximum(inside[0], inside[1]) * (1 - fade(heart, 0.03))
    mask = np.where(air > 0.5, 255, 0).astype(np.uint8)

    body = _body(rng, (y, x), lungs)
    image = 0.62 * body * (1 - 0.12 * x**2) + 0.14 * np.clip((y - lungs[0].base) / 0.1, 0, 1) * body
    deep = 0.30 + 0.07 * np.clip(ellipse((y, x), (0.5, 0.0), (0.5, 0.8)), 0, 1)
    image = image - air * deep * rng.uniform(0.8, 1.15)
    image += 0.11 * fade(heart, 0.09) + 0.07 * fade(np.abs(x) / 0.17 + 0 * y, 0.12) * body
    image += _spine((y, x)) * 0.10 * body
    image += _ribs(rng, (y, x), lungs) * body
    image += _vessels(rng, (y, x), air)
    if rng.random() < 0.35:
        image += _opacity(rng, (y, x), lungs) * air
    gas = blob(rng, (y, x), (lungs[1].base + 0.07, 0.38), radii=(0.035, 0.12), roughness=0.2)
    image -= 0.22 * fade(gas, 0.1) * rng.choice([0.0, 1.0])
    return _expose(rng, image, shape), mask


def write_chest(folder: Path, number: int, rng: np.random.Generator, size: int) -> None:
    """Draws one X-ray and writes it with its mask, both under the same name."""
    name = f"phantom_{number:04d}.png"
    for part, pixels in zip(("Image", "Mask"), draw_chest(rng, size), strict=True):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / part / name, compress_level=1)


def _frame(rng: np.random.Generator, size: int) -> _Axes:
    """Coordinates of a patient who stands a little turned, shifted, near or far."""
    step = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    y, x = step[:, None], 2 * step[None, :] - 1
    zoom, turn = rng.uniform(0.92, 1.12), rng.normal(0, 0.04)
    x, y = (x + rng.normal(0, 0.04)) * zoom, (y - 0.5 + rng.normal(0, 0.025)) * zoom
    return (
        np.asarray(y - x * turn / 2 + 0.5, np.float32),
        np.asarray(x + y * turn * 2, np.float32),
    )


def _lung(rng: np.random.Generator, side: int) -> _Lung:
    return _Lung(
        side,
        inner=rng.uniform(0.10, 0.15),
        outer=rng.uniform(0.62, 0.76),
        top=rng.uniform(0.11, 0.17),
        base=rng.uniform(0.66, 0.82) - (0.03 if side < 0 else 0.0),
    )


def _lung_shape(rng: np.random.Generator, axes: _Axes, lung: _Lung) -> Array:
    """Softly 1 inside: round at the apex, wide below, cut by the dome of the diaphragm."""
    y, x = axes
    out = x * lung.side
    down = np.clip((y - lung.top) / (lung.base + 0.12 - lung.top), 0, 1)
    wave = 0.012 * np.sin(rng.uniform(8, 14) * y + rng.uniform(0, 6))
    outer = lung.outer * (1 - (1 - down) ** rng.uniform(2.6, 3.6)) ** 0.5 + wave
    inner = lung.inner + 0.05 * (1 - down) ** 4 + 0.05 * np.abs(down - 0.45) + wave
    middle = (lung.inner + lung.outer) / 2 - 0.08
    dome = lung.base + rng.uniform(0.25, 0.5) * (out - middle) ** 2 + 0.1 * np.clip(out - 0.5, 0, 1)
    edges = np.minimum(np.minimum(outer - out, out - inner) / 2, np.minimum(dome - y, y - lung.top))
    return fade(np.asarray(1 - edges, np.float32), 0.006)


def _body(rng: np.random.Generator, axes: _Axes, lungs: list[_Lung]) -> Array:
    y, x = axes
    chest = max(lung.outer for lung in lungs) + rng.uniform(0.08, 0.16)
    neck = 0.24 * rng.uniform(0.9, 1.2)
    slope = np.clip((y - 0.02) / rng.uniform(0.13, 0.2), 0, 1)
    arms = 0.5 * np.clip((0.42 - y) / 0.3, 0, 1)
    half = neck + (chest + arms - neck) * slope**0.8
    return fade(np.asarray(1 + (np.abs(x) - half), np.float32), 0.02)


def _spine(axes: _Axes) -> Array:
    y, x = axes
    vertebrae: Array = 0.75 + 0.25 * np.sin(y * 75)
    return np.asarray(fade(np.abs(x) / 0.085, 0.08) * vertebrae)


def _ribs(rng: np.random.Generator, axes: _Axes, lungs: list[_Lung]) -> Array:
    """Rear ribs fall outwards, front ribs inwards and fainter; collar bones on top."""
    y, x = axes
    total = np.zeros(np.broadcast_shapes(y.shape, x.shape), np.float32)
    thick = rng.uniform(0.011, 0.015)
    bright = rng.uniform(0.05, 0.10)
    for lung in lungs:
        out = np.clip(x * lung.side, 0, 1.2)
        reach = fade(out / (lung.outer + 0.05), 0.03) * (x * lung.side > 0.06)
        for k in range(9):
            start = lung.top - 0.02 + 0.078 * k
            rear = start - 0.10 * out + (0.36 + 0.02 * k) * out**2
            total += bright * _tube(y - rear, thick) * reach
            front = start + 0.20 - 0.28 * (out - 0.2)
            total += 0.45 * bright * _tube(y - front, thick * 1.1) * reach * (out > 0.25)
        collar = lung.top + 0.055 - 0.11 * out + 0.03 * np.sin(5 * out)
        total += 0.11 * _tube(y - collar, 0.014) * ((out > 0.06) & (out < 0.85))
    return total


def _tube(distance: Array, radius: float) -> Array:
    """A bone seen in projection: bright at its two walls."""
    r = np.abs(distance) / np.float32(radius)
    return np.asarray(fade(r, 0.12) * (0.65 + 0.35 * np.clip(r, 0, 1) ** 2), np.float32)


def _vessels(rng: np.random.Generator, axes: _Axes, air: Array) -> Array:
    y, x = axes
    near = np.exp(-(((np.abs(x) - 0.16) / 0.2) ** 2) - ((y - 0.46) / 0.18) ** 2)
    size = air.shape[0]
    thin = np.exp(-((smooth_noise(rng, air.shape, size / 45) / 0.25) ** 2))
    return np.asarray(air * (0.02 + 0.10 * near) * thin + 0.05 * near, np.float32)


def _opacity(rng: np.random.Generator, axes: _Axes, lungs: list[_Lung]) -> Array:
    """Fluid or consolidation: bright as soft tissue, and still lung."""
    lung = lungs[int(rng.integers(2))]
    place = (
        rng.uniform(lung.top + 0.1, lung.base),
        lung.side * rng.uniform(lung.inner, lung.outer - 0.1),
    )
    spot = blob(
        rng, axes, place, radii=(rng.uniform(0.06, 0.16), rng.uniform(0.1, 0.26)), roughness=0.3
    )
    return np.asarray(rng.uniform(0.12, 0.28) * fade(spot, 0.25), np.float32)


def _expose(rng: np.random.Generator, image: Array, shape: tuple[int, int]) -> np.ndarray:
    """Exposure, scatter, grain and the film's curve."""
    image = image + 0.03 * smooth_noise(rng, shape, shape[0] / 6)
    image = (image + rng.uniform(0.0, 0.12)) * rng.uniform(0.85, 1.15)
    image = np.clip(image, 0.005, 1.1) ** rng.uniform(0.75, 1.3)
    grain = rng.uniform(0.012, 0.035) * np.sqrt(image + 0.05)
    image = image + grain * rng.standard_normal(shape, dtype=np.float32)
    return np.clip(image * 240, 0, 255).astype(np.uint8)
