"""One source item to prepared slices: the part of preparation that runs in parallel.

It stays light: a worker process imports it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglib.data.dataset import Item
from seglib.data.pixels import SCALES, Frame, blank_channels, to_bytes
from seglib.data.readers import NIFTI_SUFFIXES, Picture, read_array, read_mask
from seglib.errors import DataError, Problem
from seglib.target import Target

__all__ = ["Piece", "Plan", "Row", "convert"]

BODY_SHARE = 0.01
"""A slice of a volume with less body than this, and no foreground, counts as empty."""

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
class Row:
    """One prepared slice, as the store's index will hold it.

    Args:
        case: What is scored as one.
        group: The patient.
        slice: Place in the case's stack, as in the source.
        spacing_mm: Distance of pixel centres along z, y, x after preparation.
        body_px: Pixels inside the body.
        label_px: Pixels of each label.
    """

    case: str
    group: str
    slice: int
    spacing_mm: tuple[float, float, float]
    body_px: int
    label_px: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """What came of one item: rows (their pixels lie in two files), or problems.

    Args:
        rows: One per prepared slice; empty if there are problems.
        source_px: Pixels of each label before anything was resized or left out.
        num_empty: Slices left out because they show nothing of the body.
        blank: Whether a channel of this slice holds one value only.
        problems: Faults of this item.
    """

    rows: tuple[Row, ...] = ()
    source_px: tuple[int, ...] = ()
    num_empty: int = 0
    blank: bool = False
    problems: tuple[Problem, ...] = ()


def convert(item: Item, plan: Plan, shard: Path) -> Piece:
    """Read, check, normalise and resize one item; write its pixels beside each other.

    Args:
        item: Files of the item.
        plan: What to make of it.
        shard: Start of the names of the two files written, ``<shard>.images.npy``
            and ``<shard>.masks.npy``.

    Returns:
        Rows, or the faults found; a fault in the files never raises.
    """
    problems: list[Problem] = []
    pictures = [_read(path, plan, problems) for path in item.images]
    truth = _read(item.mask, plan, problems, mask=True)
    whole = [picture for picture in pictures if picture is not None]
    if truth is None or len(whole) < len(pictures):
        return Piece(problems=tuple(problems))
    _check_shapes(item, plan, [*whole, truth], problems)
    labels = _labels(item.mask, truth.array, plan, problems)
    if problems:
        return Piece(problems=tuple(problems))
    image = np.concatenate([_with_channels(picture) for picture in whole], axis=3)
    labels = labels.reshape(image.shape[:3])
    blank = _check_blank(item, plan, image, labels)
    if isinstance(blank, Problem):
        return Piece(problems=(blank,))
    piece = _finish(item, plan, shard, image=image, labels=labels, truth=truth)
    return replace(piece, blank=blank)


def _finish(
    item: Item,
    plan: Plan,
    shard: Path,
    *,
    image: npt.NDArray[Any],
    labels: npt.NDArray[np.uint8],
    truth: Picture,
) -> Piece:
    """Normalise, choose slices, resize, write."""
    try:
        stored, body = to_bytes(image, plan.normalise, plan.window_hu)
    except ValueError as error:
        return Piece(problems=(Problem(_name(item.images[0], plan), str(error), "8-bit images"),))
    source_px = _count(labels, plan)
    kept, num_empty = _choose(labels, body, plan, volume=truth.volume)
    frame = Frame(image.shape[1], image.shape[2], plan.image_size)
    images = np.empty((len(kept), frame.size, frame.size, image.shape[3]), dtype=np.uint8)
    masks = np.empty(images.shape[:3], dtype=np.uint8)
    rows = []
    for position, z in enumerate(kept):
        images[position] = frame.place_image(stored[z], SCALES[plan.normalise].fill)
        masks[position] = frame.place_mask(labels[z])
        inside = frame.place_mask(body[z].astype(np.uint8))
        rows.append(
            Row(
                case=item.case,
                group=item.group,
                slice=item.slice if item.slice is not None else z,
                spacing_mm=_spacing(truth, frame, plan),
                body_px=int(np.count_nonzero(inside)),
                label_px=_count(masks[position], plan),
            )
        )
    if rows:
        np.save(f"{shard}.images.npy", images)
        np.save(f"{shard}.masks.npy", masks)
    return Piece(tuple(rows), source_px, num_empty)


def _read(path: Path, plan: Plan, problems: list[Problem], *, mask: bool = False) -> Picture | None:
    """Read a file, or note why not."""
    try:
        return read_mask(path) if mask else read_array(path)
    except DataError as error:
        problems += [
            Problem(_name(path, plan), fault.found, fault.wanted, fault.hint)
            for fault in error.problems
        ]
        return None


def _check_shapes(
    item: Item, plan: Plan, pictures: Sequence[Picture], problems: list[Problem]
) -> None:
    """Channels and mask must lie on the same grid."""
    files = (*item.images, item.mask)
    first = pictures[0]
    for path, picture in zip(files[1:], pictures[1:], strict=True):
        pair = f"{_name(path, plan)} beside {files[0].name}"
        if picture.volume != first.volume or _grid(picture) != _grid(first):
            problems.append(Problem(pair, f"size {_grid(picture)}", f"size {_grid(first)}"))
        elif not np.allclose(picture.spacing_mm, first.spacing_mm, rtol=SPACING_TOLERANCE):
            found, wanted = (f"spacing {p.spacing_mm} mm" for p in (picture, first))
            problems.append(Problem(pair, found, wanted))
        elif picture.volume and _axes(path) != _axes(files[0]):
            problems.append(
                Problem(pair, f"axes towards {_axes(path)}", f"axes towards {_axes(files[0])}")
            )
    count = sum(_num_channels(picture) for picture in pictures[:-1])
    if count != len(plan.channels):
        names = ", ".join(plan.channels)
        place = _name(item.images[0], plan)
        problems.append(Problem(place, f"{count} channels", f"{len(plan.channels)} ({names})"))


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
    path = item.images[blank[0]] if len(item.images) > 1 else item.images[0]
    names = ", ".join(plan.channels[number] for number in blank)
    value = image[0, 0, 0, blank[0]]
    return Problem(_name(path, plan), f"one value only ({value:g}) in channel {names}", "an image")


def _axes(path: Path) -> str:
    """Directions of a volume's axes, as RAS or LPS; "?" where the file does not say."""
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return "?"
    import nibabel

    return "".join(code or "?" for code in nibabel.aff2axcodes(nibabel.load(path).affine))


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
        problems.append(Problem(_name(path, plan), f"grey values {shown}", wanted, hint))
    return labels


def _choose(
    labels: npt.NDArray[np.uint8], body: npt.NDArray[np.bool_], plan: Plan, *, volume: bool
) -> tuple[list[int], int]:
    """Slices to keep, and how many of the others show nothing of the body."""
    if not volume:
        return list(range(len(labels))), 0
    candidates = range(0, len(labels), plan.every)
    if not plan.drop_empty:
        return list(candidates), 0
    kept = [z for z in candidates if body[z].mean() >= BODY_SHARE or labels[z].any()]
    return kept, len(candidates) - len(kept)


def _count(labels: npt.NDArray[np.uint8], plan: Plan) -> tuple[int, ...]:
    """Pixels of each label."""
    counts = np.bincount(labels.ravel(), minlength=plan.target.num_labels)
    return tuple(int(count) for count in counts)


def _spacing(truth: Picture, frame: Frame, plan: Plan) -> tuple[float, float, float]:
    """Spacing after slices were left out and the rest was resized."""
    z, y, x = truth.spacing_mm
    height, width = frame.inner
    return (
        z * (plan.every if truth.volume else 1),
        y * frame.height / height,
        x * frame.width / width,
    )


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


def _name(path: Path, plan: Plan) -> str:
    """A file as the user would name it: from the data folder on."""
    return str(path.relative_to(plan.root)) if path.is_relative_to(plan.root) else str(path)
