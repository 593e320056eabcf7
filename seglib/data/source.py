"""One item read from its files and checked: image, labels, and where they lie.

It stays light: a worker process imports it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglib.data.dataset import Item, Source
from seglib.data.pixels import blank_channels
from seglib.data.readers import Picture, read_array, read_mask
from seglib.errors import DataError, Problem
from seglib.target import Target

__all__ = ["Loaded", "Plan", "name_of", "read_item"]

SPACING_TOLERANCE = 1e-3
"""Relative difference of spacings that rounding in a header may cause."""


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
    """

    image: npt.NDArray[Any]
    labels: npt.NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    volume: bool
    located: bool
    blank: bool


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
    _check_shapes(item, plan, problems, images=images, masks=masks)
    grey = _merged([mask.array for mask in masks], plan) if masks else None
    if len(problems) > before:
        return None
    image = np.concatenate([_with_channels(picture) for picture in images], axis=3)
    labels = np.zeros(image.shape[:3], dtype=np.uint8)
    if grey is not None:
        labels = _labels(item.masks[0], grey, plan, problems).reshape(image.shape[:3])
    if len(problems) > before:
        return None
    blank = _check_blank(item, plan, image, labels)
    if isinstance(blank, Problem):
        problems.append(blank)
        return None
    first = images[0]
    return Loaded(
        image=image,
        labels=labels,
        spacing_mm=first.spacing_mm,
        volume=first.volume,
        located=first.affine is not None,
        blank=blank,
    )


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
    """Read a file, or note why not."""
    path = source[0] if isinstance(source, tuple) else source
    try:
        return read_mask(path) if mask else read_array(path)
    except DataError as error:
        problems += [
            Problem(name_of(path, plan.root), fault.found, fault.wanted, fault.hint)
            for fault in error.problems
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
        if picture.volume != first.volume or _grid(picture) != _grid(first):
            problems.append(Problem(pair, f"size {_grid(picture)}", f"size {_grid(first)}"))
        elif not np.allclose(picture.spacing_mm, first.spacing_mm, rtol=SPACING_TOLERANCE):
            found, wanted = (f"spacing {p.spacing_mm} mm" for p in (picture, first))
            problems.append(Problem(pair, found, wanted))
        elif _axes(picture) != _axes(first):
            found, wanted = f"axes towards {_axes(picture)}", f"axes towards {_axes(first)}"
            problems.append(Problem(pair, found, wanted))
    count = sum(_num_channels(picture) for picture in images)
    if count != len(plan.channels):
        names = ", ".join(plan.channels)
        problems.append(Problem(beside, f"{count} channels", f"{len(plan.channels)} ({names})"))


def _shown(source: Source, plan: Plan) -> str:
    """A file's name; of a stack, its first file's."""
    return name_of(source[0] if isinstance(source, tuple) else source, plan.root)


def _check_blank(
    item: Item, plan: Plan, image: npt.NDArray[Any], labels: npt.NDArray[np.uint8]
) -> bool | Problem:
    """Whether a channel is blank, or the fault that this is.

    The ends of a stack may lie beyond the body, so a slice may lack a channel, and
    all of them where nothing is to be found. A whole volume, or a case's only image, may not.
    """
    blank = blank_channels(image)
    in_stack = item.slice is not None
    if not blank or (in_stack and not (len(blank) == image.shape[3] and labels.any())):
        return bool(blank)
    source = item.images[blank[0] if len(item.images) > 1 else 0]
    names = ", ".join(plan.channels[number] for number in blank)
    value = image[0, 0, 0, blank[0]]
    return Problem(
        _shown(source, plan), f"one value only ({value:g}) in channel {names}", "an image"
    )


def _axes(picture: Picture) -> str:
    """Directions of the axes, as RAS or LPS; "?" where the file does not say."""
    if picture.affine is None:
        return "?"
    import nibabel  # a folder of PNG files need not wait for it

    return "".join(code or "?" for code in nibabel.aff2axcodes(picture.affine))


def _labels(
    path: Path, mask: npt.NDArray[Any], plan: Plan, problems: list[Problem]
) -> npt.NDArray[np.uint8]:
    """Grey values to labels; a value that the target does not know is a fault."""
    labels = np.zeros(mask.shape, dtype=np.uint8)
    known = plan.target.values
    unknown = []
    for value in np.unique(mask).tolist():
        if value not in known:
            unknown.append(value)
        elif known[value]:
            labels[mask == value] = known[value]
    if unknown:
        shown = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        wanted = f"only {', '.join(map(str, sorted(known)))}"
        hint = "data.classes says which grey values belong to which class"
        problems.append(Problem(name_of(path, plan.root), f"grey values {shown}", wanted, hint))
    return labels


def _grid(picture: Picture) -> tuple[int, ...]:
    """Shape without the channels of a flat image."""
    return picture.array.shape if picture.volume else picture.array.shape[:2]


def _num_channels(picture: Picture) -> int:
    """Channels that a file holds."""
    return picture.array.shape[2] if not picture.volume and picture.array.ndim == 3 else 1


def _with_channels(picture: Picture) -> npt.NDArray[Any]:
    """As ``(N, H, W, C)``."""
    array = picture.array
    if picture.volume:
        return array[..., np.newaxis]
    return array.reshape(1, *array.shape[:2], -1)
