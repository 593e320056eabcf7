"""One source item to prepared slices: the part of preparation that runs in parallel.

It stays light: a worker process imports it anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seglib.data.copies import signature
from seglib.data.dataset import Item
from seglib.data.pixels import SCALES, Frame, to_bytes
from seglib.data.source import Loaded, Plan, name_of, read_item
from seglib.errors import Problem
from seglib.files import writing

__all__ = ["Facts", "Piece", "Prepared", "Row", "convert", "prepare_item"]

BODY_SHARE = 0.01
"""A slice of a volume with less body than this, and no foreground, counts as empty."""


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
class Facts:
    """What the files of an item hold, before anything is resized or left out.

    Args:
        shape: Slices, height and width.
        spacing_mm: Distance between voxels along z, y, x; None where it is not known.
        ranges: Least and largest value of each channel.
        greys: Grey values in the mask; empty without one.
        label_px: Pixels of each label.
        num_marked: Slices with foreground.
        blank: Whether a channel holds one value only.
        signature: Equal for copies, see :func:`seglib.data.copies.signature`.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None
    ranges: tuple[tuple[float, float], ...]
    greys: tuple[int, ...]
    label_px: tuple[int, ...]
    num_marked: int
    blank: bool
    signature: tuple[int, ...]


@dataclass(frozen=True)
class Prepared:
    """An item as the network gets it.

    Args:
        images: ``(n, size, size, C)``, bytes.
        masks: ``(n, size, size)``, labels.
        rows: One per slice.
        num_empty: Slices left out because they show nothing of the body.
    """

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    rows: tuple[Row, ...]
    num_empty: int


@dataclass(frozen=True)
class Piece:
    """What came of one item: facts and rows (their pixels lie in two files), or problems.

    Args:
        rows: One per prepared slice; empty if there are problems.
        facts: What the files hold; None if there are problems.
        num_empty: Slices left out because they show nothing of the body.
        problems: Faults of this item.
        prepared: The pixels, if they were to be kept.
    """

    rows: tuple[Row, ...] = ()
    facts: Facts | None = None
    num_empty: int = 0
    problems: tuple[Problem, ...] = ()
    prepared: Prepared | None = field(default=None, repr=False, compare=False)


def convert(item: Item, plan: Plan, shard: Path | None, *, keep: bool = False) -> Piece:
    """Read, check, normalise and resize one item; write its pixels beside each other.

    Args:
        item: Files of the item.
        plan: What to make of it.
        shard: Start of the names of the two files written, ``<shard>.images.npy``
            and ``<shard>.masks.npy``; None to check only, and write nothing.
        keep: Whether the pixels stay in memory, as part of the result.

    Returns:
        Rows, or the faults found; a fault in the files never raises.
    """
    problems: list[Problem] = []
    loaded = read_item(item, plan, problems)
    prepared = None if loaded is None else prepare_item(item, loaded, plan, problems=problems)
    if loaded is None or prepared is None:
        return Piece(problems=tuple(problems))
    if prepared.rows and shard is not None:
        _write_array(Path(f"{shard}.images.npy"), prepared.images)
        _write_array(Path(f"{shard}.masks.npy"), prepared.masks)
    return Piece(
        rows=prepared.rows,
        facts=_facts(loaded, plan),
        num_empty=prepared.num_empty,
        prepared=prepared if keep else None,
    )


def prepare_item(
    item: Item, loaded: Loaded, plan: Plan, *, problems: list[Problem]
) -> Prepared | None:
    """Normalise, choose slices, resize.

    Args:
        item: Names of case and patient.
        loaded: What was read of it.
        plan: What to make of it.
        problems: Faults are added here.

    Returns:
        The slices, or None after a fault.
    """
    try:
        stored, body = to_bytes(loaded.image, plan.normalise, plan.window_hu)
    except ValueError as error:
        problems.append(Problem(name_of(item.files[0], plan.root), str(error), "8-bit images"))
        return None
    kept, num_empty = _choose(loaded, body, plan)
    frame = Frame(loaded.image.shape[1], loaded.image.shape[2], plan.image_size)
    images = np.empty((len(kept), frame.size, frame.size, loaded.image.shape[3]), dtype=np.uint8)
    masks = np.empty(images.shape[:3], dtype=np.uint8)
    spacing_mm = _spacing(loaded, frame, plan)
    rows = []
    for position, z in enumerate(kept):
        images[position] = frame.place_image(stored[z], SCALES[plan.normalise].fill)
        masks[position] = frame.place_mask(loaded.labels[z])
        inside = frame.place_mask(body[z].view(np.uint8))
        rows.append(
            Row(
                case=item.case,
                group=item.group,
                slice=item.slice if item.slice is not None else z,
                spacing_mm=spacing_mm,
                body_px=int(np.count_nonzero(inside)),
                label_px=_count(masks[position], plan),
            )
        )
    return Prepared(images, masks, tuple(rows), num_empty)


def _write_array(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """NumPy's own ``save``, had it a word on why the system refuses."""
    with writing(path.parent), path.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)


def _facts(loaded: Loaded, plan: Plan) -> Facts:
    num, height, width, _ = loaded.image.shape
    return Facts(
        shape=(num, height, width),
        spacing_mm=loaded.spacing_mm if loaded.located else None,
        ranges=loaded.ranges,
        greys=loaded.greys,
        label_px=_count(loaded.labels, plan),
        num_marked=int(loaded.labels.any(axis=(1, 2)).sum()),
        blank=loaded.blank,
        signature=signature(loaded.image),
    )


def _choose(loaded: Loaded, body: npt.NDArray[np.bool_], plan: Plan) -> tuple[list[int], int]:
    """Slices to keep, and how many of the others show nothing of the body."""
    labels = loaded.labels
    if not loaded.volume:
        return list(range(len(labels))), 0
    candidates = range(0, len(labels), plan.every)
    if not plan.drop_empty:
        return list(candidates), 0
    shown = np.array([np.count_nonzero(plane) for plane in body]) / body[0].size
    kept = [z for z in candidates if shown[z] >= BODY_SHARE or labels[z].any()]
    return kept, len(candidates) - len(kept)


def _count(labels: npt.NDArray[np.uint8], plan: Plan) -> tuple[int, ...]:
    """Pixels of each label."""
    return tuple(int(np.count_nonzero(labels == one)) for one in range(plan.target.num_labels))


def _spacing(loaded: Loaded, frame: Frame, plan: Plan) -> tuple[float, float, float]:
    """Spacing after slices were left out and the rest was resized."""
    z, y, x = loaded.spacing_mm
    height, width = frame.inner
    return (
        z * (plan.every if loaded.volume else 1),
        y * frame.height / height,
        x * frame.width / width,
    )
