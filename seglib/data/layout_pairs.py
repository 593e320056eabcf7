"""Paired folders: images in one, masks in another, matched by name and never by order.

::

    Image/x.png        Mask/x.png           the same name, or one of MASK_SUFFIXES after it
    Image/x.tif        Mask/x_mask.tif
    Image/x.dcm        Mask/x.png           the patient is the PatientID

This is the most general layout of pictures. Layouts of one lab are the same with a
style of their own: what the grey values mean, and who the patient is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seglib.data.dataset import Dataset, target_from_classes
from seglib.data.dicom_header import DICOM_SUFFIXES, Header, read_header
from seglib.data.manifest import Row, find_manifest, read_manifest
from seglib.data.pair_names import check_pairs, pair_by_name
from seglib.data.patients import Guess, build_items
from seglib.data.picture import without_colour
from seglib.data.place import Place, paired_folders, visible_files
from seglib.data.readers import FLAT_SUFFIXES, read_array
from seglib.data.spec import DataSpec
from seglib.data.volume_values import normalise_of, window_note
from seglib.errors import DataError, Problem
from seglib.target import Target

__all__ = ["Classes", "Style", "find_pairs", "flat_channels", "read_pairs", "read_styled"]

Classes = Mapping[str, tuple[int, ...]]
"""Class -> its grey values."""

_CHANNEL_NAMES = {1: ("grey",), 3: ("red", "green", "blue")}
_BINARY_VALUES = (1, 255)


@dataclass(frozen=True)
class Style:
    """What is special about one kind of paired folders.

    Args:
        layout: Name of the row in ``LAYOUTS``.
        classes: Kind of target -> its classes, where ``data.classes`` is not given.
        guess: What the names say about the patient.
        windowed: 8-bit images share one window, so they are taken as they are.
    """

    layout: str
    classes: Mapping[str, Classes]
    guess: Guess | None = None
    windowed: bool = False


def find_pairs(root: Path) -> list[Place]:
    """Every image folder beside a mask folder, two levels down at most.

    Args:
        root: Where to look.

    Returns:
        A place for each.
    """
    return paired_folders(root)


def read_pairs(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers the images and masks of paired folders.

    Args:
        spec: Patient, manifest, channels, target and the like.
        place: The two folders.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    values = tuple(value for value in _BINARY_VALUES if value not in spec.background)
    style = Style("pairs", {"binary": {"foreground": values}})
    return read_styled(spec, place, style, problems=problems)


def read_styled(
    spec: DataSpec, place: Place, style: Style, *, problems: list[Problem]
) -> Dataset | None:
    """Gathers the images and masks of paired folders of some style.

    Args:
        spec: Patient, manifest, channels, target and the like.
        place: The two folders.
        style: What is special about them.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    notes: list[str] = []
    rows = _rows(spec, place, problems=problems, notes=notes)
    target = _target(spec, style, problems)
    items = build_items(spec, rows, guess=style.guess, problems=problems, notes=notes)
    if not items:
        return None
    channels, bytes_ = flat_channels(spec, [item.image_files[0] for item in items], problems)
    if problems or target is None:
        return None
    normalise: str = spec.normalise
    if normalise == "auto":
        header = _header(items[0].image_files[0])
        normalise = normalise_of(header) if header is not None else "percentile"
        normalise = "none" if style.windowed and bytes_ else normalise
        notes += [window_note(spec.window_hu)] if normalise == "window" else []
    return Dataset(place.home, style.layout, channels, target, items, normalise, tuple(notes))


def flat_channels(
    spec: DataSpec, images: Sequence[Path], problems: list[Problem]
) -> tuple[tuple[str, ...], bool]:
    """Names of the channels of the first picture that can be read, and whether it holds bytes.

    Args:
        spec: May give the names.
        images: The pictures, one or more; damage is told when all of them are read.
        problems: Names that do not fit, or no readable picture at all, are added here.

    Returns:
        The names; whether the pixels are bytes.
    """
    faults: list[Problem] = []
    for image in images:
        try:
            picture = read_array(image)
            break
        except DataError as error:
            faults += error.problems
    else:
        problems += faults
        return (), False
    if spec.channels is not None and len(spec.channels) == 1:
        picture = without_colour(picture)
    array = picture.array
    count = array.shape[2] if array.ndim == 3 else 1
    names = spec.channels or _CHANNEL_NAMES.get(count, ())
    if len(names) != count:
        problems.append(
            Problem(
                "data.channels",
                f"{len(names)} names ({', '.join(names)})",
                f"{count}, as {image.name} has {count} channel{'s' * (count > 1)}",
                "they differ: it is no grey picture" if (len(names), count) == (1, 3) else "",
            )
        )
    elif len(set(names)) < count:
        problems.append(Problem("data.channels", "a channel named twice", "each once"))
    return tuple(names), array.dtype == np.uint8


def _rows(spec: DataSpec, place: Place, *, problems: list[Problem], notes: list[str]) -> list[Row]:
    images = visible_files(place.folders[0], (*FLAT_SUFFIXES, *DICOM_SUFFIXES))
    masks = visible_files(place.folders[1], FLAT_SUFFIXES)
    if not images and not masks:
        wanted = f"files {', '.join(FLAT_SUFFIXES)}"
        problems.append(Problem(place.folders[0].name, "no image", wanted))
    manifest = find_manifest(spec, place.root, place.home, problems=problems, notes=notes)
    if manifest is None:
        rows = pair_by_name(images, masks, folders=place.folders, problems=problems)
        return [replace(row, patient=_patient(row.image)) for row in rows]
    rows = read_manifest(manifest, place.folders[0], place.folders[1], problems=problems)
    problems += check_pairs(rows, images, manifest.name)
    listed = {row.image for row in rows}
    others = sum(path not in listed for path in images)
    if others:
        notes.append(f"{others} images are not in {manifest.name} and are left out")
    return rows


def _patient(image: Path) -> str:
    """Who a DICOM file says that it shows; empty where nothing is said."""
    header = _header(image)
    return header.patient if header is not None else ""


def _header(image: Path) -> Header | None:
    """What a DICOM file says of itself; faults are told when it is prepared."""
    if image.suffix.lower() not in DICOM_SUFFIXES:
        return None
    with suppress(DataError):
        return read_header(image)
    return None


def _target(spec: DataSpec, style: Style, problems: list[Problem]) -> Target | None:
    classes = spec.classes if spec.classes is not None else style.classes.get(spec.target)
    if classes is None:
        found = f"not given, with data.target: {spec.target}"
        problems.append(Problem("data.classes", found, "class names with their grey values"))
        return None
    return target_from_classes(spec, classes, problems)
