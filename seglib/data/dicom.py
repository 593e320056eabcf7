"""DICOM files to arrays, by pydicom; files are told by what they begin with, not by suffix.

=================  ==========  ====================================================
source             array       what it is
=================  ==========  ====================================================
file, one frame    (H, W)      an X-ray, or one slice
file, more frames  (Z, H, W)   Enhanced CT or MR, whose frames say where they lie
files of a series  (Z, H, W)   slices, sorted by position along their normal
=================  ==========  ====================================================

Values are those of the modality: Hounsfield units for CT. Bright means dense: an image
that is stored the other way round (MONOCHROME1) is turned, value ``v`` to ``low + high - v``,
where ``low`` and ``high`` are what the least and the greatest number that the header lets
a pixel hold stand for. No file is trusted: a size is believed only after a look at
how many bytes there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglib.data.dicom_header import Header, find_number, header_of, open_dicom
from seglib.data.picture import (
    MOST_PIXELS,
    MOST_PIXELS_PER_BYTE,
    Picture,
    common_home,
    fault,
    native,
    reading,
    unreadable,
)
from seglib.data.stacks import Pose, affine_of, arrange, check_alike
from seglib.errors import DataError, Problem

__all__ = ["read_dicom", "read_series"]

_CODESTREAM = b"\xff\x4f\xff\x51"  # how JPEG 2000 begins, the size following
_Array = npt.NDArray[Any]


def read_dicom(path: Path) -> Picture:
    """Read a file that is an image by itself.

    Args:
        path: The file.

    Returns:
        (H, W), or (Z, H, W) of a file with more than one frame. The spacing of an X-ray
        is that at the detector where the header has no other.

    Raises:
        DataError: The file is missing, damaged, in colour, holds no image, or its frames
            do not make a volume.
    """
    header, frames = _read(path)
    if header.num_frames > 1:
        if not header.poses or any(pose.position is None for pose in header.poses):
            found = f"{header.num_frames} frames that do not say where they lie"
            raise fault(path, found, "one image per file, or Enhanced CT or MR")
        names = [f"{path.name}, frame {number}" for number in range(1, header.num_frames + 1)]
        return _volume(str(path), header.poses, names, list(frames))
    pose = header.poses[0]
    y, x = pose.spacing_mm or (1.0, 1.0)
    affine = None if pose.orientation is None else affine_of(pose, pose.normal)
    known = pose.spacing_mm is not None
    return Picture(frames[0], (1.0, y, x), volume=False, affine=affine, measured=known)


def read_series(paths: Sequence[Path]) -> Picture:
    """Read the files of a series, one slice each, as a volume.

    Args:
        paths: The files, in any order.

    Returns:
        (Z, H, W), slices sorted by position along their normal; by instance number
        where no file tells a position.

    Raises:
        DataError: All faults of all files: missing, damaged, in colour, of another series,
            size or orientation; two slices at one position; a slice that is missing.
    """
    home = common_home(paths)
    problems: list[Problem] = []
    names: list[str] = []
    poses: list[Pose] = []
    slices: list[_Array] = []
    for path in paths:
        name = str(path.relative_to(home))
        try:
            header, frames = _read(path)
        except DataError as error:
            problems += [replace(problem, place=name) for problem in error.problems]
            continue
        if header.num_frames > 1:
            problems.append(Problem(name, f"{header.num_frames} frames", "one slice of a stack"))
            continue
        names.append(name)
        poses += header.poses
        slices.append(frames[0])
    if problems:
        # A gap is no further fault: that is where a file could not be read.
        check_alike(poses, names, problems)
        raise DataError(str(home), problems)
    return _volume(str(home), poses, names, slices)


def _volume(
    source: str, poses: Sequence[Pose], names: Sequence[str], slices: Sequence[_Array]
) -> Picture:
    problems: list[Problem] = []
    grid = arrange(poses, names, problems)
    if grid is None:
        raise DataError(source, problems)
    array = native(np.stack([slices[number] for number in grid.order]))
    return Picture(array, grid.spacing_mm, volume=True, affine=grid.affine, measured=grid.measured)


def _read(path: Path) -> tuple[Header, _Array]:
    """Header and values, ``(frames, rows, columns)``."""
    with reading(path):
        data = open_dicom(path)
        header = header_of(data)
        _check(path, data, header)
        stored = data.pixel_array
        shape = (header.num_frames, int(data.Rows), int(data.Columns))
        if stored.size != math.prod(shape):
            raise fault(path, f"pixels of shape {stored.shape}", f"{shape}, as the header says")
        stored = stored.reshape(shape)
        return header, np.stack([_values(data, frame, i) for i, frame in enumerate(stored)])


def _check(path: Path, data: Any, header: Header) -> None:
    """Whether the file holds grey values that can be read, and as many as it says."""
    if header.cut:
        raise unreadable(path, EOFError("it ends before its image"))
    if "PixelData" not in data or not header.num_frames:
        found = f"no image (modality {header.modality or 'not given'})"
        raise fault(path, found, "a DICOM file with pixels")
    kind = str(data.get("PhotometricInterpretation") or "")
    if kind not in ("MONOCHROME1", "MONOCHROME2") or data.get("SamplesPerPixel", 1) != 1:
        raise fault(path, f"an image in colour ({kind or 'of no given kind'})", "grey values")
    size = (header.num_frames, int(data.Rows), int(data.Columns))
    if math.prod(size) > min(MOST_PIXELS, MOST_PIXELS_PER_BYTE * path.stat().st_size):
        found = f"a header that claims {' x '.join(map(str, size))} pixels"
        raise fault(path, found, f"at most {MOST_PIXELS}, and no more than the file can hold")
    _check_syntax(path, data.file_meta.TransferSyntaxUID)
    for codestream in _codestreams(data, header.num_frames):
        # The decoder believes the size that stands here, and makes room for it.
        x, y, x0, y0 = (int.from_bytes(codestream[i : i + 4], "big") for i in (8, 12, 16, 20))
        if not codestream.startswith(_CODESTREAM) or (y - y0, x - x0) != size[1:]:
            raise fault(path, "an unreadable file (its JPEG 2000 image has another size)")


def _check_syntax(path: Path, syntax: Any) -> None:
    from pydicom.pixels import get_decoder

    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        raise fault(
            path,
            f"transfer syntax {syntax.name}",
            "uncompressed pixels, RLE, JPEG 2000 or 8-bit JPEG",
            "gdcmconv --raw, or dcmdjpeg, writes the pixels uncompressed",
        )


def _codestreams(data: Any, num_frames: int) -> Iterator[bytes]:
    """Beginning of each frame in JPEG 2000; nothing for other transfer syntaxes."""
    from pydicom.encaps import generate_frames
    from pydicom.uid import JPEG2000TransferSyntaxes

    if data.file_meta.TransferSyntaxUID in JPEG2000TransferSyntaxes:
        for frame in generate_frames(data.PixelData, number_of_frames=num_frames):
            yield frame[:24]


def _values(data: Any, stored: _Array, frame: int) -> _Array:
    """Stored numbers to those of the modality, dense bright."""
    values = _modality(data, stored, frame)
    if data.PhotometricInterpretation == "MONOCHROME1":
        bits = int(data.BitsStored)
        least = -(2 ** (bits - 1)) if data.PixelRepresentation else 0
        ends = np.array([least, least + 2**bits - 1])
        values = _modality(data, ends, frame).sum() - values
    return _narrow(values)


def _modality(data: Any, stored: _Array, frame: int) -> _Array:
    """By the table of the header, or by its slope and intercept; whole numbers as int64."""
    from pydicom.pixels import apply_modality_lut

    if data.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(stored, data)).astype(np.int64)
    slope = find_number(data, frame, "RescaleSlope")
    intercept = find_number(data, frame, "RescaleIntercept")
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    if slope == 1 and intercept == round(intercept):
        return stored.astype(np.int64) + int(intercept)
    return stored * np.float32(slope) + np.float32(intercept)


def _narrow(values: _Array) -> _Array:
    """Whole numbers in the smallest type that holds them, all others as float32."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    low, high = int(values.min()), int(values.max())
    types = (np.uint8, np.int16, np.uint16, np.int32)
    fitting = [one for one in types if np.iinfo(one).min <= low and high <= np.iinfo(one).max]
    return values.astype(fitting[0] if fitting else np.float32)
