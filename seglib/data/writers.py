"""Masks to files: beside each kind of image the kind of mask that its programs expect.

==========================  ==========  =================================================
image                       mask        what it keeps of the image
==========================  ==========  =================================================
NIfTI                       the same    grid, affines and their codes, units
DICOM series, Enhanced      .nii.gz     place and spacing of the slices, as an affine
PNG, JPEG, single DICOM     .png        size, resolution, orientation
TIFF                        .tif        the same
==========================  ==========  =================================================

A mask holds one whole number per pixel. JPEG is never written: it changes numbers.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from seglib.data.nifti import NIFTI_SUFFIXES, read_nifti_header
from seglib.data.picture import reading
from seglib.data.readers import FLAT_SUFFIXES
from seglib.files import replacing

__all__ = ["mask_suffix", "write_mask"]

_TIFF = (".tif", ".tiff")
_MM_PER_INCH = 25.4
_ORIENTATION = 0x0112
_UNKNOWN, _SCANNER = 0, 1  # NIfTI's codes for what an affine leads to


def mask_suffix(image: Path, *, volume: bool, wide: bool = False) -> str:
    """How the file of a mask ends.

    Args:
        image: The image, or the first file of it.
        volume: It has slices, as a DICOM series does.
        wide: Its grey values do not fit into a PNG: below 0 or above 65535.

    Returns:
        A suffix with its dot.
    """
    name = image.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return ".nii.gz" if name.endswith(".gz") else ".nii"
    if volume:
        return ".nii.gz"
    return image.suffix if name.endswith(_TIFF) else ".tif" if wide else ".png"


def write_mask(
    path: Path,
    grey: npt.NDArray[Any],
    image: Path,
    *,
    spacing_mm: tuple[float, float, float] | None,
    affine: npt.NDArray[np.float64] | None,
    written: Callable[[Path], None] = lambda temporary: None,
) -> None:
    """Write a mask whole or not at all.

    Args:
        path: The file; its suffix is that of :func:`mask_suffix`.
        grey: What it shall hold, whole numbers.
        image: The image, or the first file of it: what the mask keeps is read from there.
        spacing_mm: Of the image, along z, y, x; None where it is not known.
        affine: Where the image lies; None where it does not say.
        written: Called with the finished file, before it gets its name.

    Shape:
        - grey: ``(N, H, W)``, ``N`` being 1 for a picture
        - affine: ``(4, 4)``

    Raises:
        DataError: The image is no longer there.
        UnwritableError: The place takes no more files.
    """
    with replacing(path) as temporary:
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            volume = _nifti(grey, image, spacing_mm, affine)
            _write_nifti(temporary, volume, packed=path.name.lower().endswith(".gz"))
        else:
            _write_flat(temporary, grey[0], image, spacing_mm, tiff=path.suffix.lower() in _TIFF)
        written(temporary)


def _nifti(
    grey: npt.NDArray[Any],
    image: Path,
    spacing_mm: tuple[float, float, float] | None,
    affine: npt.NDArray[np.float64] | None,
) -> Any:
    """The mask as nibabel has it: on the grid of the image, whatever the axes are called."""
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Header, Nifti2Image

    along_xyz = grey.T  # as stored in the file: x runs fastest
    if not image.name.lower().endswith(NIFTI_SUFFIXES):
        return _new_nifti(along_xyz, spacing_mm, affine)
    with reading(image):
        header = read_nifti_header(image)
    kind = Nifti2Image if isinstance(header, Nifti2Header) else Nifti1Image
    shape = header.get_data_shape()[:3]
    header.set_data_dtype(grey.dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    header["intent_code"], header["intent_name"] = 0, b""
    header["descrip"] = b"mask by segtune"
    # given the header's own affine nibabel leaves both of its affines as they are
    return kind(along_xyz.reshape(shape, order="F"), header.get_best_affine(), header)


def _new_nifti(
    along_xyz: npt.NDArray[Any],
    spacing_mm: tuple[float, float, float] | None,
    affine: npt.NDArray[np.float64] | None,
) -> Any:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import HeaderDataError

    zooms = (spacing_mm or (1.0, 1.0, 1.0))[::-1]
    code = _UNKNOWN if affine is None else _SCANNER
    full = np.diag([*zooms, 1.0]) if affine is None else affine
    volume = Nifti1Image(along_xyz, full)
    volume.header.set_xyzt_units("mm" if spacing_mm else None)
    volume.header["descrip"] = b"mask by segtune"
    volume.set_sform(full, code=code)
    try:
        volume.set_qform(full, code=code, strip_shears=False)
    except HeaderDataError:  # slices of a tilted gantry: no turn of a box, so sform alone
        volume.header["qform_code"] = _UNKNOWN
    return volume


def _write_nifti(path: Path, volume: Any, *, packed: bool) -> None:
    with path.open("wb") as file:
        if not packed:
            volume.to_stream(file)
            return
        # neither name nor time in it: the same mask is the same file
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped:
            stream: Any = zipped
            volume.to_stream(stream)


def _write_flat(
    path: Path,
    grey: npt.NDArray[Any],
    image: Path,
    spacing_mm: tuple[float, float, float] | None,
    *,
    tiff: bool,
) -> None:
    if grey.dtype.kind == "i" and not tiff:
        grey = grey.astype(np.uint16)
    elif grey.dtype == np.int16:
        grey = grey.astype(np.int32)  # Pillow reads no other signed type
    picture = Image.fromarray(np.ascontiguousarray(grey))
    options = _kept(image, spacing_mm)
    if tiff:
        options |= {"format": "TIFF", "compression": "tiff_deflate"}
    else:
        options |= {"format": "PNG"}
    with path.open("wb") as file:
        picture.save(file, **options)


def _kept(image: Path, spacing_mm: tuple[float, float, float] | None) -> dict[str, Any]:
    """Resolution and orientation of a picture, as Pillow takes them."""
    kept: dict[str, Any] = {}
    if image.name.lower().endswith(FLAT_SUFFIXES):
        with reading(image), Image.open(image, formats=("PNG", "TIFF", "JPEG")) as source:
            dpi = source.info.get("dpi")
            orientation = source.getexif().get(_ORIENTATION, 1)
        if isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < one < 1e6 for one in dpi):
            kept["dpi"] = tuple(float(one) for one in dpi)
        if orientation in range(2, 9):
            exif = Image.Exif()
            exif[_ORIENTATION] = orientation
            kept["exif"] = exif
    elif spacing_mm is not None:
        kept["dpi"] = (_MM_PER_INCH / spacing_mm[2], _MM_PER_INCH / spacing_mm[1])
    return kept
