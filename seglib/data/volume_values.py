"""What the values of volumes tell: classes from masks, Hounsfield units from images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from seglib.data.dataset import target_from_classes
from seglib.data.dicom_header import Header
from seglib.data.picture import Picture, distinct
from seglib.data.readers import read_mask
from seglib.data.spec import WINDOWS, DataSpec
from seglib.errors import DataError, Problem
from seglib.target import Target

__all__ = ["find_target", "in_hounsfield", "normalise_of", "window_note"]

MASKS_READ = 3
"""Masks that are read for their values; the others are checked when they are prepared."""

AIR_HU = -900
"""Air is -1000, and no scan of a body is without any."""

_BINARY_VALUES = (1, 255)
_MOST_CLASSES = 64


def find_target(
    spec: DataSpec, masks: Sequence[Path], problems: list[Problem], notes: list[str]
) -> Target | None:
    """The target that a specification and the values of the first masks give.

    Without ``data.classes`` a binary target takes 1 or 255 and nothing else:
    which of several labels are meant is not guessed. Organs are named by their values.

    Args:
        spec: Kind of target, and classes if known.
        masks: All masks; without any, the target is one class of any kind.
        problems: Faults are added here.
        notes: Classes that were named here are told here.

    Returns:
        The target, or None after a fault.
    """
    if spec.classes is not None:
        return target_from_classes(spec, spec.classes, problems)
    foreground = {"foreground": _foreground(spec)}
    if not masks:
        return target_from_classes(spec, foreground, problems)
    if spec.target == "regions":
        found = "not given, with data.target: regions"
        problems.append(Problem("data.classes", found, "class names with their grey values"))
        return None
    values = sorted(_values(masks[:MASKS_READ], problems) - set(spec.background))
    classes: Mapping[str, tuple[int, ...]]
    if spec.target == "binary":
        _check_binary(spec, values, masks, problems)
        classes = foreground
    elif 0 < len(values) <= _MOST_CLASSES:
        classes = {f"class_{value}": (value,) for value in values}
        few = f"the first {MASKS_READ} of {len(masks)} masks"
        notes.append(
            f"classes are named by the values of {few if len(masks) > MASKS_READ else 'the masks'}"
            f": {', '.join(classes)}; data.classes gives them names of their own"
        )
    else:
        found = f"not given, and the masks hold {len(values)} values"
        problems.append(Problem("data.classes", found, "class names with their grey values"))
        return None
    return target_from_classes(spec, classes, problems)


def in_hounsfield(picture: Picture) -> bool:
    """Do the values say that this is CT: whole numbers, air among them?"""
    array = picture.array
    return bool(array.min() <= AIR_HU and (array.dtype.kind in "iu" or (array % 1 == 0).all()))


def window_note(window_hu: tuple[float, float]) -> str:
    """Tell which window CT is seen through.

    Args:
        window_hu: Low and high end.

    Returns:
        A sentence for the user.
    """
    names = [name for name, window in WINDOWS.items() if window == window_hu]
    shown = f"{'/'.join(names)}, " * bool(names) + f"{window_hu[0]:g} to {window_hu[1]:g}"
    others = ", ".join(name for name in WINDOWS if name not in names)
    return f"CT in Hounsfield units, window_hu: {shown}; others are {others}, or two numbers"


def normalise_of(header: Header) -> str:
    """How the images of a modality are normalised where nothing else is asked for.

    Args:
        header: Of one DICOM file.

    Returns:
        ``window`` for CT in Hounsfield units, ``zscore`` for MR, else ``percentile``.
    """
    if header.modality == "CT" and header.rescaled:
        return "window"
    return "zscore" if header.modality == "MR" else "percentile"


def _values(masks: Sequence[Path], problems: list[Problem]) -> set[int]:
    values: set[int] = set()
    for path in masks:
        try:
            values.update(distinct(read_mask(path).array))
        except DataError as error:
            problems += error.problems
    return values


def _foreground(spec: DataSpec) -> tuple[int, ...]:
    return tuple(value for value in _BINARY_VALUES if value not in spec.background)


def _check_binary(
    spec: DataSpec, values: Sequence[int], masks: Sequence[Path], problems: list[Problem]
) -> None:
    """Labels that nobody has named are a fault: all of them, or one, may be meant."""
    if set(values) <= set(_foreground(spec)):
        return
    shown = ", ".join(map(str, values[:8])) + ", ..." * (len(values) > 8)
    problems.append(
        Problem(
            "data.classes",
            f"not given, and masks such as {masks[0].name} hold the values {shown}",
            "which of them are the foreground",
            f"data.classes: {{foreground: [{shown}]}} takes all as one class; "
            "data.target: organs gives each a class of its own",
        )
    )
