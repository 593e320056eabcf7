"""Do two pictures lie on the same grid? Size, spacing, directions and origin are compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seglib.data.picture import Picture

__all__ = ["misfit"]

SPACING_TOLERANCE = 1e-3
"""Relative difference of spacings that rounding in a header may cause."""

DIRECTION_TOLERANCE = 1e-3
"""Difference of direction cosines; some headers hold three decimals."""

ORIGIN_TOLERANCE = 0.1
"""Distance of origins as a share of the finest spacing."""


def misfit(picture: Picture, first: Picture) -> tuple[str, str] | None:
    """What keeps a picture from lying on another one, the first difference only.

    Args:
        picture: A channel or a mask.
        first: The picture that it must lie on.

    Returns:
        What was found and what was wanted, or None where they fit.
    """
    if picture.volume != first.volume or _grid(picture) != _grid(first):
        return f"size {_grid(picture)}", f"size {_grid(first)}"
    measured = picture.measured and first.measured
    if measured and not np.allclose(picture.spacing_mm, first.spacing_mm, rtol=SPACING_TOLERANCE):
        return f"spacing {_spacing(picture)}", f"spacing {_spacing(first)}"
    if first.volume and _axes(picture) != _axes(first):
        return f"axes towards {_axes(picture)}", f"axes towards {_axes(first)}"
    if picture.affine is None or first.affine is None:
        return None
    mine, other = (_directions(affine) for affine in (picture.affine, first.affine))
    if np.abs(mine - other).max() > DIRECTION_TOLERANCE:
        cosine = np.clip((mine * other).sum(axis=0).min(), -1, 1)
        return (
            f"directions {np.degrees(np.arccos(cosine)):.1f} degrees apart",
            "the same directions",
        )
    distance = float(np.linalg.norm(picture.affine[:3, 3] - first.affine[:3, 3]))
    if distance > ORIGIN_TOLERANCE * min(first.spacing_mm):
        digits = 1 if distance >= 1 else 3
        return f"origin {distance:.{digits}f} mm apart", "the same origin"
    return None


def _grid(picture: Picture) -> tuple[int, ...]:
    """Shape without channels."""
    return picture.array.shape[: 3 if picture.volume else 2]


def _spacing(picture: Picture) -> str:
    return f"({', '.join(f'{round(step, 4)}' for step in picture.spacing_mm)}) mm"


def _axes(picture: Picture) -> str:
    """Directions of the axes, as RAS or LPS; "?" where the file does not say."""
    if picture.affine is None:
        return "?"
    import nibabel  # a folder of PNG files need not wait for it

    return "".join(code or "?" for code in nibabel.aff2axcodes(picture.affine))


def _directions(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Unit vectors of the axes, in columns."""
    axes = affine[:3, :3]
    lengths: npt.NDArray[np.float64] = np.linalg.norm(axes, axis=0)
    return axes / lengths
