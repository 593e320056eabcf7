"""Small valid files for the attacks to start from, made by the project's own phantoms."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from seglib.data.phantom import write_phantoms
from tests.seglib.data.dicom_files import stored_ct, write_dicom, write_enhanced, write_xray

__all__ = ["dicom", "dicom_slice", "jpeg", "nifti", "nifti_gz", "picture", "png", "studies", "tiff"]

SIZE = 16
ROOT = Path(__file__).parents[2]


@cache
def png() -> tuple[bytes, ...]:
    """A chest, its mask, and one with a palette."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "xray"
        write_phantoms("phantom-xray", folder, cases=1, seed=0, size=SIZE)
        whole = tuple(path.read_bytes() for path in sorted(folder.rglob("*.png")))
    return (*whole, _save("PNG", picture().convert("P")), _save("PNG", picture().convert("RGBA")))


def picture() -> Image.Image:
    """The first PNG, in memory."""
    return Image.open(io.BytesIO(png_of_pixels(np.arange(SIZE * SIZE, dtype=np.uint8))))


def png_of_pixels(values: np.ndarray) -> bytes:
    return _save("PNG", Image.fromarray(values.reshape(SIZE, -1)))


@cache
def tiff() -> tuple[bytes, ...]:
    """Grey, deflated colour, floats, and two pages."""
    grey, floats = picture(), Image.fromarray(np.eye(SIZE, dtype=np.float32))
    return (
        _save("TIFF", grey),
        _save("TIFF", grey.convert("RGB"), compression="tiff_adobe_deflate"),
        _save("TIFF", floats),
        _save("TIFF", grey, save_all=True, append_images=[grey]),
    )


@cache
def jpeg() -> tuple[bytes, ...]:
    """Grey, and progressive colour."""
    return (
        _save("JPEG", picture()),
        _save("JPEG", picture().convert("RGB"), progressive=True),
    )


@cache
def nifti() -> tuple[bytes, ...]:
    """A brain's images and mask, unpacked."""
    return tuple(map(gzip.decompress, nifti_gz()))


@cache
def nifti_gz() -> tuple[bytes, ...]:
    """A brain's images and mask."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "brain"
        write_phantoms("phantom-brats", folder, cases=1, seed=0, size=SIZE)
        return tuple(path.read_bytes() for path in sorted(folder.rglob("*.nii.gz")))


@cache
def dicom() -> tuple[bytes, ...]:
    """A slice, an X-ray, one in JPEG 2000, and an Enhanced CT of three frames."""
    stored = stored_ct(0)
    heights = [0.0, 2.0, 4.0]
    return (
        _written(lambda path: write_dicom(path, stored)),
        _written(lambda path: write_xray(path, stored, PhotometricInterpretation="MONOCHROME1")),
        _written(lambda path: write_dicom(path, stored, codec="jpeg2000")),
        _written(lambda path: write_enhanced(path, np.stack([stored] * 3), heights)),
    )


def dicom_slice(**elements: object) -> bytes:
    """A slice whose header says something else."""
    stored = stored_ct(0)
    return _written(lambda path: write_dicom(path, stored, **elements))


@cache
def studies() -> tuple[bytes, ...]:
    """The study files that the project ships."""
    return tuple(path.read_bytes() for path in sorted((ROOT / "searchspaces").glob("*.yaml")))


def _save(kind: str, image: Image.Image, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _written(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.dcm"
        write(path)
        return path.read_bytes()
