"""Distances between surfaces in mm: HD95 and surface Dice, in any number of dimensions.

One expensive step, :func:`surface_distances`; what is read from it afterwards is cheap.
A surface is the voxels that an erosion by face neighbours takes away; what lies beyond
the edge of the picture counts as outside. Lengths come out in the unit of the spacing:
where that is in pixels, so are they, whatever the names here say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

__all__ = ["SurfaceDistances", "hd95", "surface_dice", "surface_distances"]

MOST_POINTS_IN_A_TREE = 150_000
"""Larger surfaces are measured by a distance field of the whole box: slower as a rule, but
never by much, while a tree takes very long where many voxels are far from the other mask."""


@dataclass(frozen=True)
class SurfaceDistances:
    """How far each surface voxel of one mask is from the surface of the other.

    A voxel's distance is infinite when the other mask is empty. An empty mask has
    no surface, so its own array is empty.

    Args:
        pred_to_true_mm: One distance per surface voxel of the prediction.
        true_to_pred_mm: One distance per surface voxel of the truth.
    """

    pred_to_true_mm: NDArray[np.float64]
    true_to_pred_mm: NDArray[np.float64]

    def hausdorff_mm(self, percentile: float = 95.0) -> float:
        """Percentile of the distances of both directions pooled; 100 is the Hausdorff distance.

        Pooling is medpy's definition. DeepMind's surface-distance and MONAI take the
        percentile of each direction and then the larger of the two.

        Args:
            percentile: From 0 to 100.

        Returns:
            A distance in mm; NaN when both masks are empty, infinite when one is.
        """
        pooled = self._pooled()
        if pooled.size == 0:
            return math.nan
        if np.isinf(pooled[0]):
            return math.inf
        return float(np.percentile(pooled, percentile))

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of both surfaces that lies within the tolerance of the other one.

        Each surface voxel has the same weight.

        Args:
            tolerance_mm: Largest distance that is still right, at least 0.

        Returns:
            A share in ``[0, 1]``; NaN when both masks are empty, 0 when one is.

        Raises:
            ValueError: The tolerance is negative.

        Source:
            Nikolov et al. 2018, arXiv:1809.04430 (there surface elements are weighted
            by area).
        """
        if not tolerance_mm >= 0:
            raise ValueError(f"tolerance_mm: found {tolerance_mm}; wanted at least 0")
        pooled = self._pooled()
        return float(np.mean(pooled <= tolerance_mm)) if pooled.size else math.nan

    def _pooled(self) -> NDArray[np.float64]:
        return np.concatenate([self.pred_to_true_mm, self.true_to_pred_mm])


def surface_distances(
    pred: NDArray[Any], true: NDArray[Any], spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Measure both surfaces against each other.

    Args:
        pred: The prediction; anything but 0 is inside.
        true: The truth; anything but 0 is inside.
        spacing_mm: Distance between neighbouring voxels along each axis.

    Shape:
        - pred, true: the same, any number of dimensions above 0

    Returns:
        The distances in both directions.

    Raises:
        ValueError: Shapes or number of spacings do not agree, or a spacing is not a
            positive number.
    """
    pred, true = np.asarray(pred) != 0, np.asarray(true) != 0
    spacing = tuple(float(step) for step in spacing_mm)
    if pred.shape != true.shape or pred.ndim != len(spacing) or not spacing:
        raise ValueError(
            f"found masks {pred.shape} and {true.shape} with spacing {spacing}; "
            "wanted one shape, and a spacing for each axis"
        )
    if not all(0 < step < math.inf for step in spacing):
        raise ValueError(f"spacing_mm: found {spacing}; wanted positive numbers")
    box = _bounding_box(pred | true)
    pred_surface, true_surface = _surface(pred[box]), _surface(true[box])
    return SurfaceDistances(
        pred_to_true_mm=_distances(pred_surface, true_surface, spacing),
        true_to_pred_mm=_distances(true_surface, pred_surface, spacing),
    )


def hd95(pred: NDArray[Any], true: NDArray[Any], spacing_mm: Sequence[float]) -> float:
    """95th percentile of the surface distances of both directions pooled, in mm.

    NaN when both masks are empty, infinite when one is. See
    :func:`surface_distances` for the arguments and
    :meth:`SurfaceDistances.hausdorff_mm` for the definition.
    """
    return surface_distances(pred, true, spacing_mm).hausdorff_mm(95.0)


def surface_dice(
    pred: NDArray[Any],
    true: NDArray[Any],
    spacing_mm: Sequence[float],
    tolerance_mm: float,
) -> float:
    """Share of both surfaces within ``tolerance_mm`` of each other (NSD), in ``[0, 1]``.

    NaN when both masks are empty, 0 when one is. See :func:`surface_distances` for the
    arguments and :meth:`SurfaceDistances.surface_dice` for the definition.
    """
    return surface_distances(pred, true, spacing_mm).surface_dice(tolerance_mm)


def _bounding_box(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Smallest box around what is inside; empty when nothing is."""
    box = []
    for axis in range(inside.ndim):
        others = tuple(other for other in range(inside.ndim) if other != axis)
        used = np.flatnonzero(inside.any(axis=others))
        box.append(slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0))
    return tuple(box)


def _surface(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels with a face neighbour outside."""
    padded = np.pad(inside, 1)
    core = inside.copy()
    for axis in range(inside.ndim):
        for shift in (-1, 1):
            core &= np.roll(padded, shift, axis)[(slice(1, -1),) * inside.ndim]
    return inside & ~core


def _distances(
    start: NDArray[np.bool_], end: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> NDArray[np.float64]:
    """Distance from each voxel of ``start`` to the nearest of ``end``."""
    num_start, num_end = np.count_nonzero(start), np.count_nonzero(end)
    if num_end == 0:
        return np.full(num_start, math.inf)
    if num_start + num_end > MOST_POINTS_IN_A_TREE:
        field: NDArray[np.float64] = ndimage.distance_transform_edt(~end, sampling=spacing_mm)
        return field[start]
    here, there = np.argwhere(start), np.argwhere(end)
    _, nearest = KDTree(there * spacing_mm).query(here * spacing_mm)
    # from whole steps, so that 5 steps of 0.4 mm are 2 mm wherever they lie
    return np.asarray(np.linalg.norm((here - there[nearest]) * spacing_mm, axis=1), np.float64)
