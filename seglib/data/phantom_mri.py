"""Phantom patients with a brain tumour, in the layout of BraTS 2021.

Nothing here was measured on a person. A skull-stripped brain with folds, white
and grey matter and ventricles is drawn in four contrasts; in it lie one or more
tumours of core, enhancing rim and oedema. Sites differ in scale, cases in size,
contrast, noise and field strength across the image. Bright spots that are no
tumour keep a mere threshold from solving the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from seglib.data.phantom_shapes import Array, Mask, blob, ellipse, fade, smooth_noise

__all__ = ["Brain", "draw_brain", "write_brain"]

_FIELD_MM = 200.0
_HEIGHT_MM = 132.0
_CORE, _OEDEMA, _ENHANCING = 1, 2, 4
_MODALITIES = ("flair", "t1", "t1ce", "t2")
_SITE_SCALE = (180.0, 420.0, 1100.0)

# Brightness of each tissue; oedema, core and rim as they are at full contrast.
_TISSUE = {
    #         csf   grey  white oedema core  rim   lesion
    "flair": (0.16, 0.68, 0.52, 1.02, 0.60, 0.88, 0.98),
    "t1": (0.22, 0.54, 0.84, 0.60, 0.36, 0.58, 0.66),
    "t1ce": (0.22, 0.55, 0.82, 0.60, 0.34, 1.28, 0.68),
    "t2": (1.30, 0.78, 0.52, 1.04, 1.14, 0.86, 0.92),
}


@dataclass(frozen=True)
class Brain:
    """One phantom patient.

    Args:
        images: Modality -> (Z, H, W) int16, 0 outside the brain.
        mask: (Z, H, W) uint8 with 1 core, 2 oedema, 4 enhancing rim.
        spacing_mm: Along z, y, x.
    """

    images: dict[str, np.ndarray]
    mask: np.ndarray
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class _Anatomy:
    axes: tuple[Array, Array, Array]
    spacing_mm: tuple[float, float, float]
    depth_mm: Array
    csf: Array
    white: Array
    lesions: Array
    vessels: Array

    @property
    def inside(self) -> Mask:
        return np.asarray(self.depth_mm > 0)


def draw_brain(rng: np.random.Generator, size: int) -> Brain:
    """Draws one patient.

    Args:
        rng: Decides everything about the patient.
        size: In-plane pixels; a sixth as many slices.

    Returns:
        Four images and the mask.
    """
    anatomy = _anatomy(rng, size)
    mask = _tumour(rng, anatomy)
    while not (mask > 0).any():
        mask = _tumour(rng, anatomy)
    return Brain(_images(rng, anatomy, mask), mask, anatomy.spacing_mm)


def write_brain(folder: Path, number: int, rng: np.random.Generator, size: int) -> None:
    """Draws one patient and writes it as BraTS 2021 would."""
    import nibabel

    name = f"PhantomBraTS_{number:05d}"
    brain = draw_brain(rng, size)
    (folder / name).mkdir(parents=True)
    # As in BraTS: x grows to the left, y to the back, z to the head.
    z, y, x = brain.spacing_mm
    affine = np.diag([-x, -y, z, 1.0])
    for part, volume in {**brain.images, "seg": brain.mask}.items():
        image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, folder / name / f"{name}_{part}.nii.gz")


def _anatomy(rng: np.random.Generator, size: int) -> _Anatomy:
    num_slices = max(4, round(size / 6))
    pixel_mm, slice_mm = _FIELD_MM / size, _HEIGHT_MM / num_slices
    shape = (num_slices, size, size)
    middle = (size - 1) / 2
    in_plane = (np.arange(size, dtype=np.float32) - np.float32(middle)) * np.float32(pixel_mm)
    z = (np.arange(num_slices, dtype=np.float32) + np.float32(0.5)) * np.float32(slice_mm)
    axes = (z[:, None, None] - 56, in_plane[None, :, None], in_plane[None, None, :])
    grain = np.array([1 / slice_mm, 1 / pixel_mm, 1 / pixel_mm])
    head = rng.uniform(0.9, 1.08)
    z, y, x = axes
    narrow = 1 - np.float32(0.10) * np.clip(-y / 84, 0, 1) ** 2
    reach = ellipse((z, y, x / narrow), (-4, 0, 0), (70 * head, 84 * head, 67 * head))
    reach = reach + np.float32(0.022) * smooth_noise(rng, shape, 9 * grain)
    depth = (1 - reach) * np.float32(70 * head)
    folds = np.abs(smooth_noise(rng, shape, 4.2 * grain))
    # Distance from the nearest fluid: the surface, or a fold that reaches in from it.
    pial = np.minimum(depth, folds * 9 + np.maximum(depth - 18, 0))
    gap = np.abs(x + 1.5 * smooth_noise(rng, shape, 14 * grain)) + np.maximum(depth - 24, 0) * 0.4
    pial = np.minimum(pial, gap * 1.2)
    ventricles = _ventricles(rng, axes, head)
    csf = np.maximum(fade(pial / 1.3, 0.3), ventricles)
    nuclei = np.maximum(
        fade(ellipse(axes, (2, 2, 17), (13, 20, 9)), 0.10),
        fade(ellipse(axes, (2, 2, -17), (13, 20, 9)), 0.10),
    )
    white = fade(4.4 / np.maximum(pial, np.float32(0.1)), 0.2) * (1 - np.float32(0.8) * nuclei)
    lesions = _lesions(rng, axes, ventricles, grain=grain)
    vessels = (smooth_noise(rng, shape, 1.3 * grain) > 2.2) & (pial < 4)
    vessels |= (np.abs(x) < 2.5) & (depth < 5) & (z > 20)
    return _Anatomy(
        axes,
        (slice_mm, pixel_mm, pixel_mm),
        depth,
        csf,
        white,
        lesions,
        vessels.astype(np.float32),
    )


def _ventricles(rng: np.random.Generator, axes: tuple[Array, Array, Array], head: float) -> Array:
    z, y, x = axes
    width = rng.uniform(0.6, 1.5)
    total = fade(ellipse(axes, (-4, 4, 0), (12, 12, 2.2 * width)), 0.2)
    for side in (-1, 1):
        # The horns bend outwards at both ends.
        bend = x - np.float32(side) * (6 * np.float32(width) + (y / 22) ** 2 * 3)
        lateral = ellipse((z, y, bend), (10, 2, 0), (13, 33 * head, 5.2 * width))
        total = np.maximum(total, fade(lateral, 0.12))
    return total


def _lesions(
    rng: np.random.Generator,
    axes: tuple[Array, Array, Array],
    ventricles: Array,
    *,
    grain: np.ndarray,
) -> Array:
    """Bright on FLAIR yet no tumour: caps around the ventricles and small white spots."""
    caps = ndimage.gaussian_filter(ventricles, 3.5 * grain) * np.float32(rng.uniform(0.3, 1.5))
    spots = fade(1.9 / np.maximum(smooth_noise(rng, ventricles.shape, 3.0 * grain), 0.1), 0.04)
    strength = np.float32(rng.choice([0.0, 0.6, 1.0]))
    return np.asarray(np.clip(np.maximum(caps, spots * strength), 0, 1), np.float32)


def _tumour(rng: np.random.Generator, anatomy: _Anatomy) -> np.ndarray:
    mask = np.zeros(anatomy.depth_mm.shape, np.uint8)
    size = rng.uniform(0.8, 1.4)
    enhances = rng.random() < 0.8
    for _ in range(1 if rng.random() < 0.75 else int(rng.integers(2, 4))):
        _grow(rng, anatomy, mask, size_mm=18 * size, enhances=enhances)
        size *= rng.uniform(0.4, 0.7)
    return mask


def _grow(
    rng: np.random.Generator,
    anatomy: _Anatomy,
    mask: np.ndarray,
    *,
    size_mm: float,
    enhances: bool,
) -> None:
    """One focus: core and rim where there is brain, oedema where there is white matter."""
    candidates = np.argwhere((anatomy.depth_mm > 12) & (anatomy.csf < 0.1))
    place = candidates[rng.integers(len(candidates))]
    centre = [float(axis.ravel()[i]) for axis, i in zip(anatomy.axes, place, strict=True)]
    stretch = rng.uniform(0.75, 1.3, 3)
    core = blob(rng, anatomy.axes, centre, radii=size_mm * stretch, roughness=0.22)
    shift = np.add(centre, rng.normal(0, 0.3 * size_mm, 3))
    spread = size_mm * rng.uniform(1.25, 2.1) * rng.uniform(0.8, 1.2, 3)
    swelling = blob(rng, anatomy.axes, list(shift), radii=spread, roughness=0.35)
    follows = (anatomy.white > 0.45) | (swelling < 0.45)
    oedema = (swelling < 1) & follows & (anatomy.csf < 0.5) & (anatomy.depth_mm > 2)
    mask[oedema & (mask == 0)] = _OEDEMA
    inside = (core < 1) & (anatomy.depth_mm > 3)
    mask[inside] = _CORE
    if enhances:
        necrosis = blob(
            rng,
            anatomy.axes,
            centre,
            radii=size_mm * stretch * rng.uniform(0.45, 0.85),
            roughness=0.25,
        )
        mask[inside & (necrosis > 1)] = _ENHANCING


def _images(rng: np.random.Generator, anatomy: _Anatomy, mask: np.ndarray) -> dict[str, np.ndarray]:
    contrast = rng.uniform(0.6, 1.0)
    noise = rng.uniform(0.02, 0.05)
    site = _SITE_SCALE[int(rng.integers(len(_SITE_SCALE)))]
    grain = 1 / np.array(anatomy.spacing_mm)
    # Edges of the tumour are soft in the image, sharp in the truth.
    soft = {
        label: ndimage.gaussian_filter((mask == label).astype(np.float32), width * grain)
        for label, width in ((_OEDEMA, 2.0), (_CORE, 1.2), (_ENHANCING, 0.9))
    }
    patchy = 1 + np.float32(0.18) * smooth_noise(rng, mask.shape, 5 * grain)
    images = {}
    for name in _MODALITIES:
        csf, grey, white, oedema, core, rim, lesion = _TISSUE[name]
        plain = grey + (white - grey) * anatomy.white
        plain += (lesion - plain) * anatomy.lesions * np.float32(0.9)
        plain += (csf - plain) * anatomy.csf
        full = plain + (oedema - plain) * np.clip(soft[_OEDEMA] * patchy, 0, 1.2)
        full += (core - full) * soft[_CORE]
        full += (rim - full) * soft[_ENHANCING] * np.clip(patchy, 0.5, 1.5)
        image = plain + (full - plain) * np.float32(contrast)
        if name == "t1ce":
            image += (np.float32(1.15) - image) * anatomy.vessels * np.float32(0.7)
        images[name] = _acquire(rng, image, anatomy, noise=noise) * np.float32(
            site * rng.uniform(0.75, 1.3)
        )
    inside = anatomy.inside
    return {
        name: np.where(inside, np.clip(np.rint(image), 1, 32000), 0).astype(np.int16)
        for name, image in images.items()
    }


def _acquire(rng: np.random.Generator, image: Array, anatomy: _Anatomy, *, noise: float) -> Array:
    """What the scanner adds: blur, uneven sensitivity, and noise of a magnitude image."""
    shape = image.shape
    blurred = ndimage.gaussian_filter(image, (0, 0.55, 0.55))
    slope = rng.normal(0, 1, 3)
    field: Array = np.zeros((1, 1, 1), np.float32)
    for axis, part in zip(anatomy.axes, slope / np.linalg.norm(slope), strict=True):
        field = field + axis * np.float32(part / 80)
    blurred = blurred * (1 + np.float32(rng.uniform(0.05, 0.25)) * field)
    blurred *= 1 + np.float32(0.03) * smooth_noise(rng, shape, (0.4, 1.2, 1.2))
    real = blurred + np.float32(noise) * rng.standard_normal(shape, dtype=np.float32)
    ghost = np.float32(noise) * rng.standard_normal(shape, dtype=np.float32)
    return np.asarray(np.hypot(real, ghost), np.float32)
