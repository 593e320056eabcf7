"""NIfTI files to arrays, by nibabel.

A file stores (x, y, z) or (x, y, z, c); it is transposed to (z, y, x) and (z, y, x, c),
so rows are y and columns are x. Nothing is flipped or resampled: index ``[z, y, x]``
here is voxel ``(x, y, z)`` of the file, and a prediction goes back the same way.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglib.data.picture import Picture, fault, native, unreadable

__all__ = ["NIFTI_SUFFIXES", "read_nifti"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")


def read_nifti(path: Path, scaled_type: npt.DTypeLike) -> Picture:
    """Read a volume; voxels that the header does not scale keep their type.

    Args:
        path: The file.
        scaled_type: Type for all others.

    Returns:
        (Z, H, W), or (Z, H, W, C) where the file has more than one channel.

    Raises:
        DataError: The file is no NIfTI, or is not one volume. Other damage raises
            whatever nibabel, gzip and NumPy raise.
    """
    import nibabel  # a folder of PNG files need not wait for it
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nibabel.load(path, mmap=False)
        shape = tuple(int(n) for n in image.shape)
        channels = tuple(n for n in shape[3:] if n != 1)
        if len(channels) > 1:
            raise fault(
                path,
                f"{len(shape)} dimensions {shape}",
                "one volume (x, y, z) per file, or (x, y, z, channel)",
                "write each time point into a file of its own",
            )
        array = _stored(path, image.dataobj, scaled_type)
    except (ImageFileError, HeaderDataError, gzip.BadGzipFile) as error:
        reason = f"not gzip: {error}" if isinstance(error, gzip.BadGzipFile) else error
        raise unreadable(path, ValueError(reason)) from None
    volume = array.reshape((*shape[:3], *(1,) * (3 - len(shape)), *channels))
    affine = np.asarray(image.affine, dtype=np.float64)
    return Picture(
        native(np.swapaxes(volume, 0, 2)),
        _spacing_mm(path, image.header),
        volume=True,
        affine=affine,
        measured=True,
    )


def _stored(path: Path, proxy: Any, scaled_type: npt.DTypeLike) -> npt.NDArray[Any]:
    """Voxels as stored where the header does not scale them: int16 stays int16."""
    kind = np.dtype(proxy.dtype).kind
    if kind not in "iuf":
        raise fault(path, f"voxels of type {proxy.dtype}", "one number per voxel")
    if 0 in proxy.shape:
        raise fault(path, f"an empty volume {tuple(proxy.shape)}", "at least one voxel")
    scaled = (proxy.slope, proxy.inter) != (1, 0)
    array: npt.NDArray[Any]
    array = np.asarray(proxy, dtype=scaled_type) if scaled else proxy.get_unscaled()
    return array.astype(scaled_type, copy=False) if array.dtype.kind == "f" else array


def _spacing_mm(path: Path, header: Any) -> tuple[float, float, float]:
    factor = {"meter": 1000.0, "micron": 0.001}.get(header.get_xyzt_units()[0], 1.0)
    zooms = [float(zoom) * factor for zoom in header.get_zooms()[:3]]
    zooms += [1.0] * (3 - len(zooms))
    if not all(np.isfinite(zoom) and zoom > 0 for zoom in zooms):
        raise fault(path, f"voxel size {zooms} mm", "sizes above 0 in the header")
    return zooms[2], zooms[1], zooms[0]
