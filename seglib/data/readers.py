"""Files to arrays: PNG, TIFF and JPEG by Pillow; NIfTI and DICOM in rooms of their own.

=======  ==========================  ==========================================
file     array                       spacing_mm
=======  ==========================  ==========================================
flat     (H, W), (H, W, C)           (1, 1, 1): such files hold no millimetres
NIfTI    (Z, H, W), (Z, H, W, C)     (z, y, x) from the header
DICOM    (H, W), (Z, H, W)           (z, y, x) where the header has it
stack    (Z, H, W)                   (z, y, x) from the slices' positions
=======  ==========================  ==========================================
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from seglib.data.dicom import read_dicom, read_series
from seglib.data.dicom_header import DICOM_SUFFIXES, is_dicom
from seglib.data.nifti import NIFTI_SUFFIXES, read_nifti
from seglib.data.picture import (
    MOST_PIXELS,
    MOST_PIXELS_PER_BYTE,
    Picture,
    fault,
    native,
    reading,
)
from seglib.foreign import file_size

__all__ = ["FLAT_SUFFIXES", "NIFTI_SUFFIXES", "Picture", "file_stem", "read_array", "read_mask"]

FLAT_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
_SUFFIXES = FLAT_SUFFIXES + NIFTI_SUFFIXES
_ANY = npt.NDArray[Any]

_PLAIN_MODES = ("L", "RGB", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_WHOLE_TOLERANCE = 1e-4  # a header's slope is a float32: label 1 may come out as 1.0000001
_ZERO_TOLERANCE = 1e-6  # 0 is 0 in any scale; what is a little more was a label once
_SCALED_TOLERANCE = 0.01  # of a byte; for masks that were written with four digits
_LARGEST_LABEL = 2**31 - 1
_JPEG_MASK = ("a JPEG mask", "PNG, TIFF or NIfTI", "JPEG changes the grey values near edges")

FREE_PIXELS = 2**24
"""So many are believed of any file: 4096 by 4096, of which each byte may be a blank line."""

Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow warns from here on, and refuses twice as many


def file_stem(path: Path) -> str:
    """The file's name without its suffix, ``.nii.gz`` counted as one."""
    name = path.name
    for suffix in (".nii.gz", path.suffix):
        if suffix and name.lower().endswith(suffix.lower()):
            return name[: -len(suffix)]
    return name


def read_array(source: Path | tuple[Path, ...]) -> Picture:
    """Reads an image; whole numbers keep their type, all else becomes float32.

    Args:
        source: A file whose suffix is one of ``FLAT_SUFFIXES`` or ``NIFTI_SUFFIXES``, or
            that is DICOM; or a stack, the DICOM files of one series.

    Returns:
        The picture; every value in it is finite.

    Raises:
        DataError: The file is missing, damaged, of a kind that is not read, or
            holds NaN or infinite values; of a stack, all faults of all files.
    """
    if isinstance(source, tuple):
        return read_series(source)
    path = source
    picture = _read(path, mask=False)
    array = picture.array
    if array.dtype.kind == "f":
        _refuse_not_finite(path, array)
        array = array.astype(np.float32, copy=False)
    return replace(picture, array=array)


def read_mask(path: Path) -> Picture:
    """Reads a mask; its values come out exactly as stored, as whole numbers.

    A colour file is a mask only if its three channels agree; a palette file only
    if the palette is plain grey. Float files hold whole values or are refused.

    Args:
        path: A file whose suffix is one of ``FLAT_SUFFIXES`` or ``NIFTI_SUFFIXES``.

    Returns:
        The picture, (H, W) or (Z, H, W), of an integer type.

    Raises:
        DataError: As for ``read_array``, or the values are not whole or not one
            number per pixel.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise fault(path, *_JPEG_MASK)
    picture = _read(path, mask=True)
    array = picture.array
    if picture.volume and array.ndim == 4:
        raise fault(path, f"a mask of {array.shape[3]} channels", "one number per voxel")
    if not picture.volume and array.ndim == 3:
        if not (array == array[..., :1]).all():
            raise fault(path, "a mask in colour", "one grey value per pixel")
        array = array[..., 0]
    if array.dtype.kind == "f":
        array = _whole(path, array)
    return replace(picture, array=array)


def _read(path: Path, *, mask: bool) -> Picture:
    name = path.name.lower()
    if not name.endswith(_SUFFIXES):
        return _read_other(path, mask=mask)
    with reading(path):
        size = file_size(path)
        if name.endswith(NIFTI_SUFFIXES):
            return read_nifti(path, np.float64 if mask else np.float32)
        return Picture(_read_flat(path, size, mask=mask), (1.0, 1.0, 1.0), volume=False)


def _read_other(path: Path, *, mask: bool) -> Picture:
    """A file whose name does not tell its kind."""
    if not is_dicom(path) and path.suffix.lower() not in (*DICOM_SUFFIXES, ""):
        raise fault(path, f"a file of kind '{path.suffix}'", ", ".join((*_SUFFIXES, "DICOM")))
    if mask:
        raise fault(path, "a DICOM file as a mask", "PNG, TIFF or NIfTI")
    return read_dicom(path)


def _read_flat(path: Path, size: int, *, mask: bool) -> _ANY:
    # Pillow knows many more formats, and opens some of them with programs of their own.
    with Image.open(path, formats=("PNG", "TIFF", "JPEG")) as image:
        pages = getattr(image, "n_frames", 1)
        if pages > 1:
            raise fault(path, f"{pages} pages", "one image per file")
        if mask and image.format == "JPEG":
            raise fault(path, *_JPEG_MASK)
        _refuse_bomb(path, size, image.size)
        mode = image.mode
        if mode == "P":
            return _from_palette(path, image, mask=mask)
        if mode in ("LA", "RGBA"):
            return _without_alpha(path, np.asarray(image))
        if mode == "1":
            return np.asarray(image).astype(np.uint8)
        if mode not in _PLAIN_MODES:
            raise fault(path, f"colour mode {mode}", "grey or RGB")
        array = native(np.array(image))
    depth = _png_bits(path)
    if depth == 16 and mode == "RGB":
        raise fault(path, "16 bits per colour", "8 bits per colour, or 16-bit grey")
    # Pillow stretches 2- and 4-bit greys over 0..255; the stored numbers are wanted.
    return array // {2: 85, 4: 17}[depth] if mode == "L" and depth in (2, 4) else array


def _refuse_bomb(path: Path, size: int, pixels: tuple[int, int]) -> None:
    """A small file that claims to be a large image would fill the memory before it fails."""
    most = min(MOST_PIXELS, max(FREE_PIXELS, MOST_PIXELS_PER_BYTE * size))
    if pixels[0] * pixels[1] > most:
        found = f"a header that claims {pixels[0]} x {pixels[1]} pixels"
        raise fault(path, found, f"at most {most} in a file of {size} bytes")


def _png_bits(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(26)
    return head[24] if len(head) == 26 and head.startswith(b"\x89PNG") else 8


def _from_palette(path: Path, image: Image.Image, *, mask: bool) -> _ANY:
    indices = np.array(image)
    colours = np.asarray(image.convert("RGB"))
    grey = bool((colours == colours[..., :1]).all())
    if grey and (not mask or bool((colours[..., 0] == indices).all())):
        return colours[..., 0].copy()
    if mask:
        raise fault(
            path,
            "a mask in palette colours",
            "grey values",
            "palette number and colour disagree, so it is not clear which is meant",
        )
    return colours.copy()


def _without_alpha(path: Path, array: _ANY) -> _ANY:
    if not (array[..., -1] == 255).all():
        raise fault(path, "transparent pixels", "an image without transparency")
    plain = array[..., :-1]
    return (plain[..., 0] if plain.shape[-1] == 1 else plain).copy()


def _refuse_not_finite(path: Path, array: _ANY) -> None:
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise fault(path, f"{bad} values that are NaN or infinite", "finite numbers only")


def _whole(path: Path, array: _ANY) -> _ANY:
    _refuse_not_finite(path, array)
    whole = np.rint(array)
    off = (np.abs(array - whole) > _WHOLE_TOLERANCE) | (np.abs(whole) > _LARGEST_LABEL)
    off |= (whole == 0) & (np.abs(array) > _ZERO_TOLERANCE)
    if off.any():
        values = np.unique(array[off])
        found = f"grey values {_listed([f'{value:g}' for value in values], ', ')}"
        scaled = _undo_scaling(values)
        hint = "write the masks with the grey values that they had" if scaled else ""
        raise fault(path, found + scaled, "whole numbers of at most 32 bits", hint)
    return whole.astype(np.int32)


def _undo_scaling(values: _ANY) -> str:
    """The bytes that these values were before a division by 255, or two; empty if none."""
    if np.abs(values).max() > 1:
        return ""
    for factor, how in ((255, "255"), (255**2, "255 twice")):
        greys = np.rint(values * factor)
        close = np.abs(values * factor - greys) < _SCALED_TOLERANCE
        if close.all() and greys.min() >= 1 and greys.max() <= 255:
            verb = "is" if len(greys) == 1 else "are"
            names = _listed([f"{grey:g}" for grey in greys], " and ")
            return f", which {verb} {names} divided by {how}"
    return ""


def _listed(texts: list[str], last: str) -> str:
    """The first five, and how many more."""
    if len(texts) > 5:
        return f"{', '.join(texts[:5])} and {len(texts) - 5} more"
    return last.join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]
