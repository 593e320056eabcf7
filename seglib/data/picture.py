"""Picture: an image or a mask in memory, and the faults that its file may have."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seglib.errors import DataError, Problem

__all__ = [
    "MOST_PIXELS",
    "MOST_PIXELS_PER_BYTE",
    "Picture",
    "common_home",
    "distinct",
    "fault",
    "native",
    "reading",
    "reorient",
    "unreadable",
    "without_colour",
]

MOST_PIXELS = 2**28
"""In one file, however large it is; half a gigabyte of 16 bits."""

MOST_PIXELS_PER_BYTE = 1000
"""An image that shows anything is not compressed further."""

_TALKERS = ("pydicom", "openjpeg", "nibabel", "nibabel.global", "PIL")
_LONGEST_REASON = 200


@dataclass(frozen=True)
class Picture:
    """An image or a mask in memory.

    Args:
        array: (H, W) or (H, W, C) of a flat file, (Z, H, W) or (Z, H, W, C) of a volume.
        spacing_mm: Distance between voxels along z, y, x; ones where it is not known.
        volume: The array has a z axis.
        affine: Index (x, y, z, 1) to millimetres in RAS, ``(4, 4)``; None where the
            file does not say where it lies.
        measured: The file tells the spacing. An X-ray may tell it without telling
            where it lies.
    """

    array: npt.NDArray[Any]
    spacing_mm: tuple[float, float, float]
    volume: bool
    affine: npt.NDArray[np.float64] | None = None
    measured: bool = False


def without_colour(picture: Picture) -> Picture:
    """One channel, where a picture is a grey one that was stored three times over.

    Args:
        picture: An image.

    Returns:
        Its red channel if green and blue are the same everywhere, else the image as it is.
    """
    array = picture.array
    if array.ndim != 3 + picture.volume or array.shape[-1] != 3:
        return picture
    if not (array == array[..., :1]).all():
        return picture
    return replace(picture, array=native(array[..., 0]))


def reorient(picture: Picture, affine: npt.NDArray[np.float64]) -> Picture:
    """Flip and swap the axes of a volume so that they run as those of ``affine``.

    Voxels move as they are, none is made anew: the grids may still differ
    afterwards, by a shift, an angle or a spacing.

    Args:
        picture: A volume that says where it lies.
        affine: Of the volume whose axes are wanted.

    Returns:
        The same voxels at the same places, along other axes.
    """
    from nibabel import orientations  # a folder of PNG files need not wait for it

    assert picture.affine is not None
    turn = orientations.ornt_transform(
        orientations.io_orientation(picture.affine), orientations.io_orientation(affine)
    )
    along_xyz = np.swapaxes(picture.array, 0, 2)
    moved = np.swapaxes(orientations.apply_orientation(along_xyz, turn), 0, 2)
    back = orientations.inv_ornt_aff(turn, along_xyz.shape[:3])
    x, y, z = (picture.spacing_mm[2 - int(axis)] for axis in np.argsort(turn[:, 0]))
    return replace(picture, array=native(moved), spacing_mm=(z, y, x), affine=picture.affine @ back)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """The wall around Pillow, nibabel, pydicom and their decoders: all they raise is one fault.

    Hostile bytes can cause any exception in them, so no list of kinds would be complete.
    They say nothing aloud: odd metadata is no concern of ours, and damage that matters raises.
    Only calls of a library belong inside.

    Args:
        path: The file that is read.

    Yields:
        Once.

    Raises:
        DataError: Anything at all was raised.
    """
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except FileNotFoundError:
        raise fault(path, "no such file") from None
    except Exception as error:
        raise unreadable(path, error) from None
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def common_home(paths: Iterable[Path]) -> Path:
    """The folder that all files lie in: faults of a stack name its files from there on."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def native(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In this machine's byte order and in C order, as memory maps and torch want it."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def distinct(array: npt.NDArray[Any]) -> tuple[int, ...]:
    """The values that are in a mask, rising.

    Args:
        array: Whole numbers, in C order.

    Returns:
        Each value once.

    Shape:
        - array: two axes or more
    """
    if array.dtype.itemsize > 2:
        return tuple(np.unique(array).tolist())
    # Counting takes a twelfth of the time that NumPy takes, which hashes every pixel.
    bits = array.view(np.dtype(f"u{array.dtype.itemsize}")).reshape(-1, array.shape[-1])
    most = 256**array.dtype.itemsize
    counts = cv2.calcHist([bits], [0], None, [most], [0, most]).ravel()
    return tuple(sorted(np.flatnonzero(counts).astype(bits.dtype).view(array.dtype).tolist()))


def unreadable(path: Path, error: BaseException) -> DataError:
    """The fault of a file that a library failed to read, in the library's own words."""
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = reason.replace(str(path), path.name)
    if len(reason) > _LONGEST_REASON:
        reason = reason[: _LONGEST_REASON - 3] + "..."
    return fault(path, f"an unreadable file ({reason})", "a whole, undamaged file")


def fault(path: Path, found: str, wanted: str = "", hint: str = "") -> DataError:
    """One fault of one file."""
    return DataError(str(path), [Problem(path.name, found, wanted, hint)])
