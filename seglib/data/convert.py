"""One source item to prepared slices: the part of preparation that runs in parallel.

It stays light: a worker process imports it anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seglib.data.dataset import Item
from seglib.data.pixels import SCALES, Frame, to_bytes
from seglib.data.source import Loaded, Plan, name_of, read_item
from seglib.errors import Problem

__all__ = ["Piece", "Row", "convert"]

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
class Piece:
    """What came of one item: rows (their pixels lie in two files), or problems.

    Args:
        rows: One per prepared slice; empty if there are problems.
        source_px: Pixels of each label before anything was resized or left out.
        num_empty: Slices left out because they show nothing of the body.
        blank: Whether a channel of this slice holds one value only.
        located: Whether the spacing is known.
        problems: Faults of this item.
    """

    rows: tuple[Row, ...] = ()
    source_px: tuple[int, ...] = ()
    num_empty: int = 0
    blank: bool = False
    located: bool = False
    problems: tuple[Problem, ...] = ()


def convert(item: Item, plan: Plan, shard: Path | None) -> Piece:
    """Read, check, normalise and resize one item; write its pixels beside each other.

    Args:
        item: Files of the item.
        plan: What to make of it.
        shard: Start of the names of the two files written, ``<shard>.images.npy``
            and ``<shard>.masks.npy``; None to check only, and write nothing.

    Returns:
        Rows, or the faults found; a fault in the files never raises.
    """
    problems: list[Problem] = []
    loaded = read_item(item, plan, problems)
    if loaded is None:
        return Piece(problems=tuple(problems))
    return _finish(item, plan, shard, loaded)


def _finish(item: Item, plan: Plan, shard: Path | None, loaded: Loaded) -> Piece:
    """Normalise, choose slices, resize, write."""
    try:
        stored, body = to_bytes(loaded.image, plan.normalise, plan.window_hu)
    except ValueError as error:
        place = name_of(item.files[0], plan.root)
        return Piece(problems=(Problem(place, str(error), "8-bit images"),))
    kept, num_empty = _choose(loaded, body, plan)
    frame = Frame(loaded.image.shape[1], loaded.image.shape[2], plan.image_size)
    images = np.empty((len(kept), frame.size, frame.size, loaded.image.shape[3]), dtype=np.uint8)
    masks = np.empty(images.shape[:3], dtype=np.uint8)
    rows = []
    for position, z in enumerate(kept):
        images[position] = frame.place_image(stored[z], SCALES[plan.normalise].fill)
        masks[position] = frame.place_mask(loaded.labels[z])
        inside = frame.place_mask(body[z].astype(np.uint8))
        rows.append(
            Row(
                case=item.case,
                group=item.group,
                slice=item.slice if item.slice is not None else z,
                spacing_mm=_spacing(loaded, frame, plan),
                body_px=int(np.count_nonzero(inside)),
                label_px=_count(masks[position], plan),
            )
        )
    if rows and shard is not None:
        np.save(f"{shard}.images.npy", images)
        np.save(f"{shard}.masks.npy", masks)
    return Piece(
        rows=tuple(rows),
        source_px=_count(loaded.labels, plan),
        num_empty=num_empty,
        blank=loaded.blank,
        located=loaded.located,
    )


def _choose(loaded: Loaded, body: npt.NDArray[np.bool_], plan: Plan) -> tuple[list[int], int]:
    """Slices to keep, and how many of the others show nothing of the body."""
    labels = loaded.labels
    if not loaded.volume:
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


def _spacing(loaded: Loaded, frame: Frame, plan: Plan) -> tuple[float, float, float]:
    """Spacing after slices were left out and the rest was resized."""
    z, y, x = loaded.spacing_mm
    height, width = frame.inner
    return (
        z * (plan.every if loaded.volume else 1),
        y * frame.height / height,
        x * frame.width / width,
    )
