"""Slices in space: from where each of them lies to the grid of a volume.

Positions are DICOM's: millimetres towards the patient's left, back and head (LPS).
What leaves this room is towards right, front and head (RAS), as in NIfTI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seglib.errors import Problem

__all__ = ["Grid", "Pose", "affine_of", "arrange", "check_alike"]

GAP_TOLERANCE = 0.25
"""Share of the usual step by which a step may differ: headers round positions."""

DIRECTION_TOLERANCE = 1e-3
SPACING_TOLERANCE = 1e-3
SAME_PLACE_MM = 1e-3

_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Pose:
    """Where one slice lies, as far as its header says.

    Args:
        shape: Rows and columns.
        series: Unique name of the series; may be empty.
        number: Place in the series.
        spacing_mm: Distance between rows, and between columns.
        position: Of the first pixel, LPS.
        orientation: Direction of a row and of a column, LPS, six numbers.
        thickness_mm: Of the slice.
    """

    shape: tuple[int, int]
    series: str = ""
    number: int | None = None
    spacing_mm: tuple[float, float] | None = None
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    thickness_mm: float | None = None

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector across the slice."""
        assert self.orientation is not None
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        return np.asarray(normal / np.linalg.norm(normal))


@dataclass(frozen=True)
class Grid:
    """Slices in order, and how the volume that they make lies.

    Args:
        order: Number of each slice as given, along the normal.
        spacing_mm: Along z, y, x; ones where the headers do not say.
        affine: Index (x, y, z, 1) to millimetres in RAS, or None.
        measured: The spacing is known.
    """

    order: tuple[int, ...]
    spacing_mm: tuple[float, float, float]
    affine: npt.NDArray[np.float64] | None
    measured: bool


def arrange(poses: Sequence[Pose], names: Sequence[str], problems: list[Problem]) -> Grid | None:
    """Sort the slices of one series by position along their normal, and check them.

    Slices of which none tells a position go by their number, and the volume lies
    nowhere.

    Args:
        poses: One for each slice.
        names: What to call each slice in a message.
        problems: Faults are added here: another series, size, spacing or
            orientation, two slices at one position, and gaps.

    Returns:
        The grid, or None after a fault.
    """
    before = len(problems)
    check_alike(poses, names, problems)
    if len(problems) > before:
        return None
    if all(pose.position is None or pose.orientation is None for pose in poses):
        return _by_number(poses, names, problems)
    lost = [
        name
        for pose, name in zip(poses, names, strict=True)
        if pose.position is None or pose.orientation is None
    ]
    if lost:
        problems += [Problem(name, "no position", "one, as the other slices have") for name in lost]
        return None
    return _by_position(poses, names, problems)


def affine_of(pose: Pose, step: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Index (x, y, z, 1) to millimetres in RAS.

    Args:
        pose: The first slice.
        step: From a slice to the next, LPS.

    Returns:
        The matrix; None where the header does not tell all that it needs.
    """
    if pose.position is None or pose.orientation is None or pose.spacing_mm is None:
        return None
    row, column = np.array(pose.orientation[:3]), np.array(pose.orientation[3:])
    between_rows, between_columns = pose.spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * between_columns, column * between_rows, step], axis=1)
    affine[:3, 3] = pose.position
    affine[:3] = _TO_RAS @ affine[:3]
    return affine


def check_alike(poses: Sequence[Pose], names: Sequence[str], problems: list[Problem]) -> None:
    """Check that all slices are of the first one's series, size, spacing and orientation.

    Args:
        poses: One for each slice; there may be none.
        names: What to call each slice in a message.
        problems: Faults are added here.
    """
    for pose, name in zip(poses[1:], names[1:], strict=True):
        first = poses[0]
        as_first = f"as in {names[0]}"
        if pose.series != first.series:
            wanted = f"series {first.series}, {as_first}"
            problems.append(Problem(name, f"series {pose.series}", wanted))
        elif pose.shape != first.shape:
            found, wanted = (f"{one.shape[0]} x {one.shape[1]} pixels" for one in (pose, first))
            problems.append(Problem(name, found, f"{wanted}, {as_first}"))
        elif not _close(pose.spacing_mm, first.spacing_mm, relative=SPACING_TOLERANCE):
            found, wanted = (f"pixel spacing {_shown(one.spacing_mm)}" for one in (pose, first))
            problems.append(Problem(name, found, f"{wanted}, {as_first}"))
        elif not _close(pose.orientation, first.orientation, absolute=DIRECTION_TOLERANCE):
            found, wanted = (f"orientation {_shown(one.orientation)}" for one in (pose, first))
            problems.append(Problem(name, found, f"{wanted}, {as_first}"))


def _by_number(poses: Sequence[Pose], names: Sequence[str], problems: list[Problem]) -> Grid | None:
    numbers = [pose.number for pose in poses]
    if len(poses) > 1 and (None in numbers or len(set(numbers)) < len(numbers)):
        wanted = "positions, or instance numbers that do not repeat"
        problems.append(Problem(names[0], f"{len(poses)} slices without an order", wanted))
        return None
    order = sorted(range(len(poses)), key=lambda i: numbers[i] or 0)
    y, x = poses[0].spacing_mm or (1.0, 1.0)
    thickness = poses[0].thickness_mm
    measured = poses[0].spacing_mm is not None and thickness is not None
    return Grid(tuple(order), (thickness or 1.0, y, x) if measured else (1, 1, 1), None, measured)


def _by_position(
    poses: Sequence[Pose], names: Sequence[str], problems: list[Problem]
) -> Grid | None:
    before = len(problems)
    positions = np.array([pose.position for pose in poses], dtype=np.float64)
    normal = poses[0].normal
    along = positions @ normal
    order = [int(number) for number in np.argsort(along, kind="stable")]
    _check_steps(along[order], [names[number] for number in order], problems)
    if len(problems) > before:
        return None
    first = poses[order[0]]
    if len(order) > 1:
        step = (positions[order[-1]] - positions[order[0]]) / (len(order) - 1)
    else:
        step = normal * (first.thickness_mm or 1.0)
    affine = affine_of(first, step)
    if first.spacing_mm is None:
        return Grid(tuple(order), (1.0, 1.0, 1.0), None, measured=False)
    spacing_mm = (float(step @ normal), *first.spacing_mm)
    return Grid(tuple(order), spacing_mm, affine, measured=True)


def _check_steps(
    along: npt.NDArray[np.float64], names: Sequence[str], problems: list[Problem]
) -> None:
    """Steps between neighbours must be alike: a larger one tells of a missing slice."""
    steps = np.diff(along)
    apart = steps[steps > SAME_PLACE_MM]
    usual = float(np.median(apart)) if apart.size else 0.0
    for number, step in enumerate(steps.tolist(), 1):
        beside = names[number - 1]
        if step <= SAME_PLACE_MM:
            hint = "a folder with one scan only, if this series holds several"
            problems.append(
                Problem(names[number], f"the position of {beside}", "one of its own", hint)
            )
        elif abs(step - usual) > GAP_TOLERANCE * usual:
            missing = round(step / usual) - 1
            hint = f"{missing} slice{'s' * (missing > 1)} missing?" if missing > 0 else ""
            found = f"{step:.4g} mm from {beside} to here"
            problems.append(Problem(names[number], found, f"{usual:.4g} mm, as elsewhere", hint))


def _close(
    one: tuple[float, ...] | None,
    other: tuple[float, ...] | None,
    *,
    relative: float = 0.0,
    absolute: float = 0.0,
) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, rtol=relative, atol=absolute))


def _shown(numbers: tuple[float, ...] | None) -> str:
    return "not given" if numbers is None else ", ".join(f"{number:g}" for number in numbers)
