"""Files to arrays: PNG, TIFF and JPEG by Pillow, NIfTI by nibabel.

=========  ====================  =======================================
file       array                 spacing_mm
=========  ====================  =======================================
flat       (H, W), (H, W, C)     (1, 1, 1): such files hold no millimetres
NIfTI      (Z, H, W)             (z, y, x) from the header
=========  ====================  =======================================

A NIfTI file stores (x, y, z); it is transposed to (z, y, x), so rows are y and
columns are x. Nothing is flipped or resampled: index ``[z, y, x]`` here is voxel
``(x, y, z)`` of the file, and a prediction goes back the same way.
"""

from __future__ import annotations

import gzip
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from seglib.errors import DataError, Problem

__all__ = ["FLAT_SUFFIXES", "NIFTI_SUFFIXES", "Picture", "file_stem", "read_array", "read_mask"]

FLAT_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
_SUFFIXES = FLAT_SUFFIXES + NIFTI_SUFFIXES
_ANY = npt.NDArray[Any]

# What Pillow, nibabel, gzip and zlib raise on damaged files, as found by damaging them.
_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_PLAIN_MODES = ("L", "RGB", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_WHOLE_TOLERANCE = 1e-4  # a header's slope is a float32: label 1 may come out as 1.0000001
_LARGEST_LABEL = 2**31 - 1


@dataclass(frozen=True)
class Picture:
    """An image or a mask in memory.

    Args:
        array: (H, W) or (H, W, C) of a flat file, (Z, H, W) of a volume.
        spacing_mm: Distance between voxels along z, y, x; ones for a flat file.
        volume: The array has a z axis.
        affine: Index (x, y, z, 1) to millimetres in RAS, ``(4, 4)``; None where the
            file does not say where it lies, and its spacing means nothing then.
    """

    array: _ANY
    spacing_mm: tuple[float, float, float]
    volume: bool
    affine: npt.NDArray[np.float64] | None = None


def file_stem(path: Path) -> str:
    """The file's name without its suffix, ``.nii.gz`` counted as one."""
    name = path.name
    for suffix in (".nii.gz", path.suffix):
        if suffix and name.lower().endswith(suffix.lower()):
            return name[: -len(suffix)]
    return name


def read_array(path: Path) -> Picture:
    """Reads an image; whole numbers keep their type, all else becomes float32.

    Args:
        path: A file whose suffix is one of ``FLAT_SUFFIXES`` or ``NIFTI_SUFFIXES``.

    Returns:
        The picture; every value in it is finite.

    Raises:
        DataError: The file is missing, damaged, of a kind that is not read, or
            holds NaN or infinite values.
    """
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
        raise _fault(
            path, "a JPEG mask", "PNG, TIFF or NIfTI", "JPEG changes the grey values near edges"
        )
    picture = _read(path, mask=True)
    array = picture.array
    if not picture.volume and array.ndim == 3:
        if not (array == array[..., :1]).all():
            raise _fault(path, "a mask in colour", "one grey value per pixel")
        array = array[..., 0]
    if array.dtype.kind == "f":
        array = _whole(path, array)
    return replace(picture, array=array)


def _read(path: Path, *, mask: bool) -> Picture:
    name = path.name.lower()
    if not name.endswith(_SUFFIXES):
        raise _fault(path, f"a file of kind '{path.suffix}'", ", ".join(_SUFFIXES))
    try:
        if name.endswith(NIFTI_SUFFIXES):
            return _read_nifti(path, np.float64 if mask else np.float32)
        with warnings.catch_warnings():
            # Odd metadata is no concern of ours, and damage that matters raises.
            warnings.simplefilter("ignore")
            return Picture(_read_flat(path, mask=mask), (1.0, 1.0, 1.0), volume=False)
    except DataError:
        raise
    except FileNotFoundError:
        raise _fault(path, "no such file") from None
    except _DAMAGE as error:
        raise _unreadable(path, error) from None


def _read_flat(path: Path, *, mask: bool) -> _ANY:
    with Image.open(path) as image:
        pages = getattr(image, "n_frames", 1)
        if pages > 1:
            raise _fault(path, f"{pages} pages", "one image per file")
        mode = image.mode
        if mode == "P":
            return _from_palette(path, image, mask=mask)
        if mode in ("LA", "RGBA"):
            return _without_alpha(path, np.asarray(image))
        if mode == "1":
            return np.asarray(image).astype(np.uint8)
        if mode not in _PLAIN_MODES:
            raise _fault(path, f"colour mode {mode}", "grey or RGB")
        array = _native(np.array(image))
    depth = _png_bits(path)
    if depth == 16 and mode == "RGB":
        raise _fault(path, "16 bits per colour", "8 bits per colour, or 16-bit grey")
    # Pillow stretches 2- and 4-bit greys over 0..255; the stored numbers are wanted.
    return array // {2: 85, 4: 17}[depth] if mode == "L" and depth in (2, 4) else array


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
        raise _fault(
            path,
            "a mask in palette colours",
            "grey values",
            "palette number and colour disagree, so it is not clear which is meant",
        )
    return colours.copy()


def _without_alpha(path: Path, array: _ANY) -> _ANY:
    if not (array[..., -1] == 255).all():
        raise _fault(path, "transparent pixels", "an image without transparency")
    plain = array[..., :-1]
    return (plain[..., 0] if plain.shape[-1] == 1 else plain).copy()


def _read_nifti(path: Path, scaled_type: npt.DTypeLike) -> Picture:
    import nibabel  # a folder of PNG files need not wait for it
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nibabel.load(path, mmap=False)
        shape = tuple(int(n) for n in image.shape)
        flat = shape[:3] + tuple(n for n in shape[3:] if n != 1)
        if len(flat) > 3:
            raise _fault(
                path,
                f"{len(flat)} dimensions {shape}",
                "one volume (x, y, z) per file",
                "write each channel or time point into a file of its own",
            )
        array = _stored(path, image.dataobj, scaled_type)
    except (ImageFileError, HeaderDataError) as error:
        raise _unreadable(path, error) from None
    volume = array.reshape(flat + (1,) * (3 - len(flat))).transpose(2, 1, 0)
    affine = np.asarray(image.affine, dtype=np.float64)
    return Picture(_native(volume), _spacing_mm(path, image.header), volume=True, affine=affine)


def _stored(path: Path, proxy: Any, scaled_type: npt.DTypeLike) -> _ANY:
    """Voxels as stored where the header does not scale them: int16 stays int16."""
    kind = np.dtype(proxy.dtype).kind
    if kind not in "iuf":
        raise _fault(path, f"voxels of type {proxy.dtype}", "one number per voxel")
    if 0 in proxy.shape:
        raise _fault(path, f"an empty volume {tuple(proxy.shape)}", "at least one voxel")
    scaled = (proxy.slope, proxy.inter) != (1, 0)
    array: _ANY = np.asarray(proxy, dtype=scaled_type) if scaled else proxy.get_unscaled()
    return array.astype(scaled_type, copy=False) if array.dtype.kind == "f" else array


def _spacing_mm(path: Path, header: Any) -> tuple[float, float, float]:
    factor = {"meter": 1000.0, "micron": 0.001}.get(header.get_xyzt_units()[0], 1.0)
    zooms = [float(zoom) * factor for zoom in header.get_zooms()[:3]]
    zooms += [1.0] * (3 - len(zooms))
    if not all(np.isfinite(zoom) and zoom > 0 for zoom in zooms):
        raise _fault(path, f"voxel size {zooms} mm", "sizes above 0 in the header")
    return zooms[2], zooms[1], zooms[0]


def _native(array: _ANY) -> _ANY:
    """In this machine's byte order and in C order, as memory maps and torch want it."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _refuse_not_finite(path: Path, array: _ANY) -> None:
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise _fault(path, f"{bad} values that are NaN or infinite", "finite numbers only")


def _whole(path: Path, array: _ANY) -> _ANY:
    _refuse_not_finite(path, array)
    whole = np.rint(array)
    off = (np.abs(array - whole) > _WHOLE_TOLERANCE) | (np.abs(whole) > _LARGEST_LABEL)
    if off.any():
        values = np.unique(array[off])
        shown = ", ".join(f"{value:g}" for value in values[:5])
        more = f" and {values.size - 5} more" if values.size > 5 else ""
        raise _fault(path, f"mask values {shown}{more}", "whole numbers of at most 32 bits")
    return whole.astype(np.int32)


def _unreadable(path: Path, error: BaseException) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, gzip.BadGzipFile):
        reason = f"not gzip: {reason}"
    reason = reason.replace(str(path), path.name)
    return _fault(path, f"an unreadable file ({reason})", "a whole, undamaged file")


def _fault(path: Path, found: str, wanted: str = "", hint: str = "") -> DataError:
    return DataError(str(path), [Problem(path.name, found, wanted, hint)])
