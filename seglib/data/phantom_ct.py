"""Phantom chest CT with left and right lung apart, in the layout of the lab.

Nothing here was measured on a person. Slices run from the belly (0) to the neck.
A slice holds skin and fat, muscle, ribs, spine and shoulder blades, heart and
great vessels, two lungs with their vessels and the dome of the liver. Air around
the body, in the windpipe and in the bowel is as dark as lungs and is no lung.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seglib.data.phantom_shapes import Array, ellipse, fade, smooth_noise

__all__ = ["LEFT_LUNG", "RIGHT_LUNG", "draw_slices", "write_torso"]

LEFT_LUNG, RIGHT_LUNG = 156, 251

# Grey values of a wide window, as in the lab's files.
_AIR, _LUNG, _FAT, _MUSCLE, _BLOOD, _BONE = 4.0, 24.0, 150.0, 178.0, 188.0, 245.0


@dataclass(frozen=True)
class _Torso:
    """One patient; lengths in half widths of the image, heights from 0 (belly) to 1."""

    width: float
    depth: float
    fat: float
    base: float
    apex: float
    lung: tuple[float, float]
    heart: tuple[float, float]
    contrast: float
    noise: float
    waves: tuple[float, ...]
    bowel: tuple[float, float]


def draw_slices(rng: np.random.Generator, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draws one patient's stack.

    Args:
        rng: Decides everything about the patient.
        size: In-plane pixels; a sixth as many slices.

    Returns:
        Image and mask (H, W) uint8 of each slice; mask values 0, 156 and 251.
    """
    torso = _torso(rng)
    count = max(6, round(size / 6))
    step = (2 * np.arange(size, dtype=np.float32) + 1) / np.float32(size) - 1
    shift = rng.normal(0, 0.02, 2)
    axes = (step[:, None] + np.float32(shift[0]), step[None, :] + np.float32(shift[1]))
    grain = smooth_noise(rng, (count, size, size), (0.7, size / 90, size / 90))
    return [
        _draw_slice(rng, torso, axes, height=(i + 0.5) / count, grain=grain[i])
        for i in range(count)
    ]


def write_torso(folder: Path, number: int, rng: np.random.Generator, size: int) -> None:
    """Draws one patient and writes every slice under the lab's names."""
    images, masks = folder / "CT" / "Image", folder / "CT" / "Mask"
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    for z, (image, mask) in enumerate(draw_slices(rng, size)):
        Image.fromarray(image).save(images / f"Im{number}_{z}.png", compress_level=1)
        Image.fromarray(mask).save(masks / f"Im{number}_{z}_Mask.png", compress_level=1)


def _torso(rng: np.random.Generator) -> _Torso:
    width = rng.uniform(0.74, 0.9)
    return _Torso(
        width=width,
        depth=width * rng.uniform(0.64, 0.76),
        fat=rng.uniform(0.03, 0.1),
        base=rng.uniform(0.12, 0.24),
        apex=rng.uniform(0.84, 0.94),
        lung=(rng.uniform(0.84, 0.98), rng.uniform(0.84, 0.98)),
        heart=(rng.uniform(0.85, 1.2), rng.uniform(0.85, 1.2)),
        contrast=rng.uniform(0.75, 1.1),
        noise=rng.uniform(4.0, 13.0),
        waves=tuple(rng.uniform(0, 6.3, 6)),
        bowel=(rng.uniform(0.1, 0.4), rng.uniform(-0.35, 0.0)),
    )


def _draw_slice(
    rng: np.random.Generator,
    torso: _Torso,
    axes: tuple[Array, Array],
    *,
    height: float,
    grain: Array,
) -> tuple[np.ndarray, np.ndarray]:
    y, x = axes
    skin = ellipse((y, np.abs(x) ** 1.12), (0.06, 0), (torso.depth, torso.width**1.12))
    skin = skin * (1 - 0.10 * np.clip(height - 0.75, 0, 1) * np.abs(x) / torso.width * 4)
    image = np.full(grain.shape, np.float32(_AIR))
    image += fade(skin, 0.012) * (_FAT - _AIR)
    wall = skin + np.float32(torso.fat)
    image = _lay(image, fade(wall / 0.97, 0.012), _MUSCLE)
    image = _lay(image, _wall_fat(torso, wall, axes, height=height), _FAT)
    heart = _heart(torso, axes, height=height)
    lungs = [_lung(torso, axes, side=side, height=height) for side in (-1, 1)]
    inner = fade(heart, 0.05)
    lungs = [lung * (1 - inner) * (1 - _spine(torso, axes)) for lung in lungs]
    image = _lay(image, fade(heart * 0.96, 0.05), _BLOOD)
    image = _lay(image, _belly(torso, axes, height=height), _AIR + 8)
    air = np.maximum(lungs[0], lungs[1])
    thread = np.clip(grain - 1.6, 0, 1) * fade(ellipse(axes, (0.05, 0), (0.45, 0.55)), 0.25)
    image = _lay(image, air, _LUNG)
    image = _lay(image, air * np.clip(thread * 2.2, 0, 1), _BLOOD)
    image = _lay(image, _bones(torso, wall, axes, height=height), _BONE)
    image = _lay(image, _windpipe(axes, height=height), _AIR)
    mask = np.zeros(image.shape, np.uint8)
    # As on the light box: the patient's left is on the right of the image.
    mask[(lungs[1] > 0.5) & (lungs[1] >= lungs[0])] = LEFT_LUNG
    mask[(lungs[0] > 0.5) & (lungs[0] > lungs[1])] = RIGHT_LUNG
    image = _lay(image, _table(torso, axes), 120.0)
    return _scan(rng, torso, image, grain), mask


def _lay(image: Array, amount: Array, value: float) -> Array:
    return np.asarray(image + (np.float32(value) - image) * amount, np.float32)


def _lung(torso: _Torso, axes: tuple[Array, Array], *, side: int, height: float) -> Array:
    """Softly 1 inside; narrow at the apex, hollowed by the dome of the liver at the base."""
    y, x = axes
    base = torso.base + (0.03 if side < 0 else 0.0)
    up = (height - base) / (torso.apex - base)
    if not 0 < up < 1:
        return np.zeros(np.broadcast_shapes(y.shape, x.shape), np.float32)
    swell = np.sqrt(1 - up**3.2) * torso.lung[side > 0]
    half = 0.42 * torso.width * swell
    centre = side * (0.09 + 0.36 * torso.width * (0.55 + 0.45 * swell))
    tall = 0.80 * torso.depth * swell
    angle = np.arctan2(y - 0.02, x - centre)
    first = 3 * (side > 0)
    bumps = (
        1
        + 0.05 * np.sin(2 * angle + torso.waves[first])
        + 0.03 * np.sin(3 * angle + torso.waves[first + 1] + 4 * height)
    )
    reach = ellipse((y, x), (0.02 + 0.05 * (1 - up), centre), (tall, half)) / bumps
    lung = fade(np.asarray(reach, np.float32), 0.02)
    dome = (0.30 - up) / 0.30
    if dome > 0:
        radii = (tall * dome**0.5 * 0.97, half * dome**0.5 * 0.99)
        lung *= 1 - fade(ellipse(axes, (-0.06, centre - side * 0.03), radii), 0.03)
    return lung


def _heart(torso: _Torso, axes: tuple[Array, Array], *, height: float) -> Array:
    """Heart below, great vessels above: below 1 inside."""
    up = (height - torso.base) / (torso.apex - torso.base)
    low = np.exp(-(((up - 0.28) / 0.24) ** 2))
    radii = (
        torso.depth * (0.22 + 0.24 * low * torso.heart[0]),
        torso.width * (0.13 + 0.20 * low * torso.heart[1]),
    )
    y, x = axes
    tilted = (y + 0.25 * x, x - 0.2 * y)
    return ellipse(tilted, (-0.10, 0.03 + 0.09 * low), radii)


def _spine(torso: _Torso, axes: tuple[Array, Array]) -> Array:
    return fade(ellipse(axes, (0.62 * torso.depth, 0), (0.17, 0.13)), 0.08)


def _bones(torso: _Torso, wall: Array, axes: tuple[Array, Array], *, height: float) -> Array:
    y, x = axes
    spine = fade(ellipse(axes, (0.58 * torso.depth, 0), (0.10, 0.12)), 0.08)
    canal = fade(ellipse(axes, (0.58 * torso.depth + 0.13, 0), (0.035, 0.045)), 0.1)
    arch = fade(ellipse(axes, (0.58 * torso.depth + 0.16, 0), (0.11, 0.1)), 0.1)
    bones = np.maximum(spine, arch) * (1 - canal)
    # Ribs slope, so a slice cuts each one somewhere else around the wall.
    angle = np.arctan2(y - 0.06, np.abs(x) + 1e-3)
    cuts = np.sin(9 * angle + 40 * height + torso.waves[2]) > 0.25
    ring = fade(np.abs(wall - 0.87) / 0.028, 0.2) * cuts * (np.abs(x) > 0.12)
    bones = np.maximum(bones, ring * 0.85)
    if height > 0.35:
        breast = ellipse(axes, (0.06 - 0.86 * (torso.depth - torso.fat), 0), (0.03, 0.11))
        bones = np.maximum(bones, fade(breast, 0.15) * 0.7)
    return np.asarray(bones, np.float32)


def _wall_fat(torso: _Torso, wall: Array, axes: tuple[Array, Array], *, height: float) -> Array:
    """Layers of fat between the muscles of the chest wall."""
    y, x = axes
    ripple = 0.02 * np.sin(6 * x + torso.waves[0]) + 0.02 * np.sin(7 * y + torso.waves[1])
    layer = fade(np.abs(wall + ripple - 0.93) / 0.02, 0.3)
    return np.asarray(0.8 * layer * min(1.0, 2 * height), np.float32)


def _belly(torso: _Torso, axes: tuple[Array, Array], *, height: float) -> Array:
    """Gas in stomach and bowel: dark, below the lungs."""
    depth = (torso.base + 0.06 - height) / 0.12
    if depth <= 0:
        return np.zeros((1, 1), np.float32)
    side, front = torso.bowel
    return fade(ellipse(axes, (front, side), (0.10 * min(1, depth), 0.16)), 0.1)


def _windpipe(axes: tuple[Array, Array], *, height: float) -> Array:
    if height < 0.6:
        return np.zeros((1, 1), np.float32)
    return fade(ellipse(axes, (0.10, 0.0), (0.045, 0.04)), 0.1)


def _table(torso: _Torso, axes: tuple[Array, Array]) -> Array:
    y, x = axes
    line = y - (0.12 + torso.depth) + 0.12 * x**2
    return np.asarray(fade(np.abs(line) / 0.012, 0.3) * (np.abs(x) < 0.9), np.float32)


def _scan(rng: np.random.Generator, torso: _Torso, image: Array, grain: Array) -> np.ndarray:
    middle = np.float32(130)
    image = middle + (image - middle) * np.float32(torso.contrast)
    image += np.float32(0.35 * torso.noise) * grain
    image += np.float32(torso.noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.clip(image, 0, 255), np.uint8)
