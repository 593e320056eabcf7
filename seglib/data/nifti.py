"""NIfTI files to arrays: nibabel reads headers and scales, the voxels are unpacked here.

A file stores (x, y, z) or (x, y, z, c); it is transposed to (z, y, x) and (z, y, x, c),
so rows are y and columns are x. Nothing is flipped or resampled: index ``[z, y, x]``
here is voxel ``(x, y, z)`` of the file, and a prediction goes back the same way.

No header is trusted: what it claims is held against the size of the file before a voxel
is unpacked. Extensions are not read. A file is gone through once, in pieces that a core's
cache holds, straight into the place of its voxels; Python's own ``gzip`` takes twice as long.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from seglib.data.picture import Picture, fault, native
from seglib.foreign import file_size

__all__ = ["NIFTI_SUFFIXES", "read_nifti", "read_nifti_header"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")

MOST_VOXELS = 2**30
"""In one file: a cube of 1024. A header that claims more is not believed."""

MOST_UNPACKED = 1032
"""Bytes that gzip can make of one, see RFC 1951; a blank volume comes near."""

MOST_LEAD = 2**24
"""Bytes before the first voxel: header and extensions."""

_LENGTHS_MM = (1e-6, 1e6)
_FLATTEST = 1e-6
"""Volume of a voxel whose edges have the length 1; a cube has 1."""

_HEAD = 540  # bytes of the longer of the two headers

_PACKED_PIECE, _PIECE = 2**15, 2**18
"""Bytes that are read of a packed file at once, and bytes that are unpacked at once."""

_GZIP = b"\x1f\x8b"
_WITH_CHECKSUM = 16 + zlib.MAX_WBITS


def read_nifti(path: Path, scaled_type: npt.DTypeLike) -> Picture:
    """Read a volume; voxels that the header does not scale keep their type.

    Args:
        path: The file; call this inside :func:`seglib.data.picture.reading`.
        scaled_type: Type for all others.

    Returns:
        (Z, H, W), or (Z, H, W, C) where the file has more than one channel.

    Raises:
        DataError: The file is no NIfTI, is not one volume, or claims what it cannot hold.
            Other damage raises whatever nibabel, isal and NumPy raise.
    """
    with path.open("rb") as file:
        packed = path.name.lower().endswith(".gz")
        pieces = _unpacked(file) if packed else iter(partial(file.read, _PIECE), b"")
        return _read_picture(path, pieces, scaled_type)


def read_nifti_header(path: Path) -> Any:
    """The header of a volume that was read before.

    Args:
        path: The file; call this inside :func:`seglib.data.picture.reading`.

    Returns:
        Of nibabel; that of NIfTI 1 or 2.
    """
    with path.open("rb") as file:
        packed = path.name.lower().endswith(".gz")
        pieces = _unpacked(file) if packed else iter(partial(file.read, _PIECE), b"")
        return _parse_header(_head(pieces))


def _read_picture(path: Path, pieces: Iterator[bytes], scaled_type: npt.DTypeLike) -> Picture:
    head = _head(pieces)
    header = _parse_header(head)
    shape = tuple(int(n) for n in header.get_data_shape())
    channels = tuple(n for n in shape[3:] if n != 1)
    if len(channels) > 1:
        raise fault(
            path,
            f"{len(shape)} dimensions {shape}",
            "one volume (x, y, z) per file, or (x, y, z, channel)",
            "write each time point into a file of its own",
        )
    _check_claims(path, header, shape)
    spacing_mm, affine = _spacing_mm(path, header), _affine(path, header)
    array = _stored(header, chain([head], pieces), scaled_type)
    volume = array.reshape((*shape[:3], *(1,) * (3 - len(shape)), *channels))
    return Picture(
        native(np.swapaxes(volume, 0, 2)), spacing_mm, volume=True, affine=affine, measured=True
    )


def _head(pieces: Iterator[bytes]) -> bytes:
    """The first pieces of some content, enough to hold a header."""
    head = b""
    while len(head) < _HEAD and (piece := next(pieces, b"")):
        head += piece
    return head


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """Content of a gzip file in pieces, each part of it checked by its checksum at its end.

    Whatever follows the last part is passed by, as the program gzip does.
    """
    from isal import isal_zlib  # as zlib, at twice the speed; nobody without .gz files waits for it

    stream, block = isal_zlib.decompressobj(_WITH_CHECKSUM), file.read(_PACKED_PIECE)
    while True:
        piece = stream.decompress(block, _PIECE)
        if piece:
            yield piece
        block = stream.unconsumed_tail
        if stream.eof:
            block = stream.unused_data + file.read(_PACKED_PIECE)
            if not block.startswith(_GZIP):
                return
            stream = isal_zlib.decompressobj(_WITH_CHECKSUM)
        elif not block and len(piece) < _PIECE:  # behind a full piece more may wait in the stream
            block = file.read(_PACKED_PIECE)
            if not block:
                raise EOFError("compressed content that ends too early")


def _parse_header(head: bytes) -> Any:
    from nibabel.nifti1 import Nifti1Header  # a folder of PNG files need not wait for it
    from nibabel.nifti2 import Nifti2Header

    for kind in (Nifti1Header, Nifti2Header):
        if kind.may_contain_header(head):
            return kind(head[: kind.sizeof_hdr])
    raise ValueError("no NIfTI header in it")


def _check_claims(path: Path, header: Any, shape: tuple[int, ...]) -> None:
    """Whether the file can hold what its header says, and whether anybody should read that."""
    kind, lead = header.get_data_dtype(), float(header["vox_offset"])
    if kind.kind not in "iuf":
        raise fault(path, f"voxels of type {kind}", "one number per voxel")
    if min(shape, default=0) < 1:
        raise fault(path, f"an empty volume {shape}", "at least one voxel")
    if math.prod(shape) > MOST_VOXELS:
        found = f"a header that claims {' x '.join(map(str, shape))} voxels"
        raise fault(path, found, f"at most {MOST_VOXELS}")
    if not 0 <= lead <= MOST_LEAD:
        raise fault(path, f"voxels from byte {lead:g} on", f"from byte {MOST_LEAD} on at most")
    size, claimed = file_size(path), math.prod(shape) * kind.itemsize
    held = size * MOST_UNPACKED if path.name.lower().endswith(".gz") else size
    if lead + claimed > held:
        raise EOFError(f"its header claims {claimed} bytes of voxels, the file has {size}")


def _stored(header: Any, pieces: Iterator[bytes], scaled_type: npt.DTypeLike) -> npt.NDArray[Any]:
    """Voxels as stored where the header does not scale them: int16 stays int16."""
    kind, shape, lead = header.get_data_dtype(), header.get_data_shape(), header.get_data_offset()
    content = _filled(pieces, int(lead) + math.prod(map(int, shape)) * kind.itemsize)
    slope, inter = header.get_slope_inter()
    array: npt.NDArray[Any]
    if slope in (None, 1) and inter in (None, 0):
        array = content[int(lead) :].view(kind).reshape(shape, order="F")
    else:
        from nibabel.arrayproxy import ArrayProxy

        array = np.asarray(ArrayProxy(io.BytesIO(content.data), header), dtype=scaled_type)
    return array.astype(scaled_type, copy=False) if array.dtype.kind == "f" else array


def _filled(pieces: Iterator[bytes], count: int) -> npt.NDArray[np.uint8]:
    """The first bytes of some content, and no more than that in memory."""
    content, filled = np.empty(count, dtype=np.uint8), 0
    for piece in pieces:
        part = piece[: count - filled]
        content.data[filled : filled + len(part)] = part
        filled += len(part)
        if filled == count:
            next(pieces, None)  # where this was all, its checksum comes now
            return content
    raise EOFError(f"{filled} of {count} bytes")


def _spacing_mm(path: Path, header: Any) -> tuple[float, float, float]:
    factor = {"meter": 1000.0, "micron": 0.001}.get(header.get_xyzt_units()[0], 1.0)
    zooms = [float(zoom) * factor for zoom in header.get_zooms()[:3]]
    zooms += [1.0] * (3 - len(zooms))
    if not all(_is_length(zoom) for zoom in zooms):
        raise fault(path, f"voxel size {zooms} mm", "sizes above 0 in the header")
    return zooms[2], zooms[1], zooms[0]


def _affine(path: Path, header: Any) -> npt.NDArray[np.float64]:
    """Index to millimetres; refused where it folds space or leads out of it."""
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and all(map(_is_length, lengths))) or (
        abs(np.linalg.det(affine[:3, :3] / lengths)) < _FLATTEST
    ):
        rows = "; ".join(" ".join(f"{number:g}" for number in row) for row in affine[:3])
        found = f"an affine ({rows}) that places no volume in space"
        raise fault(path, found, "three directions of some length, none in the plane of the others")
    return affine


def _is_length(number: float) -> bool:
    return bool(_LENGTHS_MM[0] <= number <= _LENGTHS_MM[1])
