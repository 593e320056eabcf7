"""One item read from its files and checked: image, labels, and where they lie.

It stays light: a worker process imports it anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seglib.data.dataset import Dataset, Item, Source
from seglib.data.faults import and_more
from seglib.data.grids import misfit
from seglib.data.picture import common_home, distinct, reorient, without_colour
from seglib.data.pixels import channel_ranges
from seglib.data.readers import NIFTI_SUFFIXES, Picture, read_array, read_mask
from seglib.data.spec import DataSpec
from seglib.errors import DataError, Problem
from seglib.target import Target

__all__ = ["Loaded", "Plan", "name_of", "read_item"]

MAX_VALUES = 8
"""Unknown grey values that a message lists."""


@dataclass(frozen=True)
class Plan:
    """What is to be made of every item.

    Args:
        root: Folder of the data set; places are named relative to it.
        channels: Names of the image channels.
        target: Grey values, labels and classes.
        normalise: One of :data:`seglib.data.pixels.SCALES`.
        window_hu: Low and high end, for ``window``.
        image_size: Side of the prepared slices in pixels.
        drop_empty: Leave out slices of volumes that show nothing of the body.
        every: Keep each n-th slice of a volume.
    """

    root: Path
    channels: tuple[str, ...]
    target: Target
    normalise: str
    window_hu: tuple[float, float]
    image_size: int
    drop_empty: bool
    every: int

    @classmethod
    def of(cls, dataset: Dataset, spec: DataSpec) -> Plan:
        """The plan that a specification gives for a data set."""
        return cls(
            root=dataset.root,
            channels=dataset.channels,
            target=dataset.target,
            normalise=dataset.normalise,
            window_hu=spec.window_hu,
            image_size=spec.image_size,
            drop_empty=spec.drop_empty,
            every=spec.every,
        )


@dataclass(frozen=True)
class Loaded:
    """An item in memory, nothing resized or normalised yet.

    Args:
        image: ``(N, H, W, C)``, any real type.
        labels: ``(N, H, W)``, uint8, labels of the target.
        spacing_mm: Distance between voxels along z, y, x.
        volume: The files have a z axis.
        located: The spacing is known.
        blank: A channel holds one value only.
        ranges: Least and largest value of each channel.
        greys: Grey values in the mask, rising; empty without one.
        affine: Index (x, y, z, 1) to millimetres in RAS, ``(4, 4)``; None where the files
            do not say where they lie.
    """

    image: npt.NDArray[Any]
    labels: npt.NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    volume: bool
    located: bool
    blank: bool
    ranges: tuple[tuple[float, float], ...]
    greys: tuple[int, ...]
    affine: npt.NDArray[np.float64] | None = None


def read_item(item: Item, plan: Plan, problems: list[Problem]) -> Loaded | None:
    """Read an item and check that its files fit together and to the target.

    Args:
        item: Files of the item.
        plan: Which channels and labels they must hold.
        problems: Faults are added here.

    Returns:
        The item, or None after a fault.
    """
    before = len(problems)
    pictures = [_read(path, plan, problems) for path in item.images]
    truths = [_read(path, plan, problems, mask=True) for path in item.masks]
    images = [picture for picture in pictures if picture is not None]
    masks = [picture for picture in truths if picture is not None]
    if len(problems) > before:
        return None
    if len(images) == len(plan.channels) == 1:
        images = [without_colour(images[0])]
    masks = _turned(item, images[0], masks)
    _check_shapes(item, plan, problems, images=images, masks=masks)
    grey = _merged([mask.array for mask in masks], plan) if masks else None
    if len(problems) > before:
        return None
    image = _together([_with_channels(picture) for picture in images])
    labels, greys = np.zeros(image.shape[:3], dtype=np.uint8), tuple[int, ...]()
    if grey is not None:
        greys = distinct(grey)
        _check_greys(item.masks[0], greys, plan, problems)
        labels = _labels(grey, greys, plan).reshape(image.shape[:3])
    if len(problems) > before:
        return None
    ranges = channel_ranges(image)
    blank = _check_blank(item, plan, ranges, marked=bool(labels.any()))
    if isinstance(blank, Problem):
        problems.append(blank)
        return None
    first = images[0]
    return Loaded(
        image=image,
        labels=labels,
        spacing_mm=first.spacing_mm,
        volume=first.volume,
        located=first.measured,
        blank=blank,
        ranges=ranges,
        greys=greys,
        affine=first.affine,
    )


def _turned(item: Item, image: Picture, masks: Sequence[Picture]) -> list[Picture]:
    """Masks along the axes of their image, where they lie on axes of their own by right.

    What draws on DICOM writes NIfTI along axes that it likes: a flip tells of no fault.
    Between files of one kind it does.
    """
    drawn_on_dicom = not item.files[0].name.lower().endswith(NIFTI_SUFFIXES)
    return [
        reorient(mask, image.affine)
        if drawn_on_dicom and mask.affine is not None and image.affine is not None and mask.volume
        else mask
        for mask in masks
    ]


def name_of(path: Path, root: Path) -> str:
    """A file as the user would name it: from the data folder on."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _merged(masks: Sequence[npt.NDArray[Any]], plan: Plan) -> npt.NDArray[Any]:
    """Grey values of one mask; of several, number ``i`` from 0 becomes grey value ``i + 1``."""
    if len(masks) == 1:
        return masks[0]
    background = [value for value, label in plan.target.values.items() if label == 0]
    grey = np.zeros(masks[0].shape, dtype=np.uint8)
    for number, mask in enumerate(masks, 1):
        grey[~np.isin(mask, background)] = number
    return grey


def _read(
    source: Source, plan: Plan, problems: list[Problem], *, mask: bool = False
) -> Picture | None:
    """Read a file or a stack, or note why not."""
    try:
        if mask and not isinstance(source, tuple):
            return read_mask(source)
        return read_array(source)
    except DataError as error:
        home = common_home(source if isinstance(source, tuple) else (source,))
        problems += [
            replace(fault, place=name_of(home / fault.place, plan.root)) for fault in error.problems
        ]
        return None


def _check_shapes(
    item: Item,
    plan: Plan,
    problems: list[Problem],
    *,
    images: Sequence[Picture],
    masks: Sequence[Picture],
) -> None:
    """Channels and masks must lie on the same grid."""
    files = (*item.images, *item.masks)
    first = images[0]
    beside = _shown(files[0], plan)
    for path, picture in zip(files[1:], [*images[1:], *masks], strict=True):
        pair = f"{_shown(path, plan)} beside {Path(beside).name}"
        difference = misfit(picture, first)
        if difference is not None:
            problems.append(Problem(pair, *difference))
    count = sum(_num_channels(picture) for picture in images)
    if count != len(plan.channels):
        names = ", ".join(plan.channels)
        wanted = f"{len(plan.channels)} ({names})"
        hint = (
            "its three channels differ: store it as grey" if (count, wanted[0]) == (3, "1") else ""
        )
        problems.append(Problem(beside, f"{count} channels", wanted, hint))


def _shown(source: Source, plan: Plan) -> str:
    """A file's name; of a stack, its first file's and how many there are besides."""
    if not isinstance(source, tuple):
        return name_of(source, plan.root)
    return and_more(name_of(source[0], plan.root), len(source))


def _check_blank(
    item: Item, plan: Plan, ranges: Sequence[tuple[float, float]], *, marked: bool
) -> bool | Problem:
    """Whether a channel is blank, or the fault that this is.

    The ends of a stack may lie beyond the body, so a slice may lack a channel, and
    all of them where nothing is marked. A whole volume, or a case's only image, may not.
    """
    blank = [number for number, (low, high) in enumerate(ranges) if low == high]
    in_stack = item.slice is not None
    if not blank or (in_stack and not (len(blank) == len(ranges) and marked)):
        return bool(blank)
    source = item.images[blank[0] if len(item.images) > 1 else 0]
    names = ", ".join(plan.channels[number] for number in blank)
    value = f"one value only ({ranges[blank[0]][0]:g}) in channel {names}"
    return Problem(_shown(source, plan), value, "an image")


def _check_greys(path: Path, greys: Sequence[int], plan: Plan, problems: list[Problem]) -> None:
    """A grey value that the target does not know is a fault."""
    unknown = [value for value in greys if value not in plan.target.values]
    if unknown:
        more = ", ..." if len(unknown) > MAX_VALUES else ""
        shown = ", ".join(map(str, unknown[:MAX_VALUES])) + more
        wanted = f"only {', '.join(map(str, sorted(plan.target.values)))}"
        hint = "data.classes says which grey values belong to which class"
        problems.append(Problem(name_of(path, plan.root), f"grey values {shown}", wanted, hint))


def _labels(grey: npt.NDArray[Any], greys: Sequence[int], plan: Plan) -> npt.NDArray[np.uint8]:
    """Grey values to labels; what the target does not know stays background."""
    known = {value: plan.target.values.get(value, 0) for value in greys}
    if grey.dtype == np.uint8:
        table = np.array([known.get(value, 0) for value in range(256)], dtype=np.uint8)
        found: npt.NDArray[np.uint8] = cv2.LUT(grey.reshape(-1, grey.shape[-1]), table)
        return found.reshape(grey.shape)
    labels = np.zeros(grey.shape, dtype=np.uint8)
    for value, label in known.items():
        if label:
            np.copyto(labels, label, where=grey == value)
    return labels


def _num_channels(picture: Picture) -> int:
    """Channels that a file holds."""
    return math.prod(picture.array.shape[3 if picture.volume else 2 :])


def _with_channels(picture: Picture) -> npt.NDArray[Any]:
    """As ``(N, H, W, C)``."""
    grid = picture.array.shape[: 3 if picture.volume else 2]
    return picture.array.reshape(*(1,) * (3 - len(grid)), *grid, -1)


def _together(images: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """All channels ``(N, H, W, C)``, one after another in memory: each is looked at by itself."""
    by_channel = [np.moveaxis(image, 3, 0) for image in images]
    whole = np.concatenate(by_channel) if len(by_channel) > 1 else by_channel[0]
    return np.moveaxis(np.ascontiguousarray(whole), 0, 3)
