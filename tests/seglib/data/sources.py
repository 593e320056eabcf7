"""Small data folders with real pixels in them: patients as volumes, pictures in pairs."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from seglib.data.spec import DataSpec

SIZE = 24
REGIONS = DataSpec(target="regions", channels=("flair", "t1ce"), image_size=SIZE, layout="brats")
PAIRS = DataSpec(image_size=SIZE, normalise="none")


def write_volume(path: Path, array: np.ndarray, spacing_mm: tuple[float, ...] = (2, 1, 1)) -> None:
    """Write ``(Z, H, W)`` with its spacing along z, y, x."""
    affine = np.diag([*spacing_mm[::-1], 1.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), affine), path)


def write_patient(root: Path, number: int, *, size: int = SIZE, depth: int = 6) -> Path:
    """A grey ball of body, a bright box of tumour in slices 2 and 3; slices 0 and 5 empty."""
    rng = np.random.default_rng(number)
    seg = np.zeros((depth, size, size), dtype=np.uint8)
    low, high = size // 4, size // 2
    seg[2:4, low:high, low : high + 2] = 2
    seg[2:4, low : high - 1, low:high] = 4
    seg[3, low : low + 2, low : low + 2] = 1
    folder = root / f"BraTS2021_{number:05d}"
    for name in ("flair", "t1ce"):
        body = np.zeros(seg.shape, dtype=np.int16)
        body[1:-1, 2:-2, 2:-2] = rng.integers(100, 200, body[1:-1, 2:-2, 2:-2].shape)
        body[seg > 0] = 900
        write_volume(folder / f"{folder.name}_{name}.nii.gz", body)
    write_volume(folder / f"{folder.name}_seg.nii.gz", seg)
    return folder


def write_pair(root: Path, name: str, *, size: tuple[int, int] = (SIZE, SIZE)) -> None:
    rng = np.random.default_rng(sum(os.fsencode(name)))
    image = rng.integers(0, 100, size, dtype=np.uint8)
    mask = np.zeros(size, dtype=np.uint8)
    mask[4:12, 6:14] = 255
    image[mask > 0] += 150
    save_pair(root, name, image, mask)


def save_pair(root: Path, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    for folder, array in (("Image", image), ("Mask", mask)):
        save_picture(root / folder / f"{name}.png", array)


def save_picture(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
