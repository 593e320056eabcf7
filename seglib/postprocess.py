"""From probabilities to masks: thresholds, parts too small to be believed, labels, grey values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglib.model import PostProcess
from seglib.target import Target

__all__ = [
    "find_labels",
    "is_flat",
    "label_parts",
    "mark_planes",
    "pieces_of",
    "remove_small",
    "restore_greys",
    "truth_planes",
]

_COUNTED_AT_ONCE = 2**24

FLAT_LAYOUTS = ("pairs", "lab-ct", "lab-mri", "montgomery")


def is_flat(layout: str) -> bool:
    """Whether a part of a mask is an area of a picture, and no body of a volume.

    Slices that lie in pictures of their own are looked at one by one, as they will be when
    a mask for one of them is asked for.

    Args:
        layout: Of the data that a model was trained on.

    Returns:
        Yes or no.
    """
    return layout in FLAT_LAYOUTS


def truth_planes(labels: NDArray[np.uint8], target: Target) -> NDArray[np.bool_]:
    """Labels as one yes-or-no plane per class.

    Args:
        labels: Of the target.
        target: Which labels make up which class.

    Returns:
        The planes.

    Shape:
        - labels: ``(N, H, W)``
        - returns: ``(N, K, H, W)``, ``K = target.num_classes``
    """
    return np.stack([np.isin(labels, members) for members in target.members], axis=1)


def mark_planes(probs: NDArray[np.float32], post: PostProcess, target: Target) -> NDArray[np.bool_]:
    """Where each class is: above its threshold, or for organs where it is the likeliest.

    The ground of organs has what the classes leave of 1, and wins a tie, as it does while
    a network is trained.

    Args:
        probs: Of each class.
        post: Thresholds.
        target: What the classes are.

    Returns:
        The planes.

    Shape:
        - probs: ``(N, K, H, W)``
        - returns: ``(N, K, H, W)``
    """
    if target.kind != "organs":
        limits = np.asarray(post.thresholds, np.float32)[:, None, None]
        return np.asarray(probs > limits)
    ground = 1 - probs.sum(axis=1, keepdims=True)
    likeliest = np.concatenate([ground, probs], axis=1).argmax(axis=1)
    numbers = np.arange(1, target.num_classes + 1)[:, None, None]
    return np.asarray(likeliest[:, None] == numbers)


def remove_small(
    planes: NDArray[np.bool_],
    smallest: Sequence[float],
    *,
    spacing_mm: Sequence[float],
    flat: bool,
) -> NDArray[np.bool_]:
    """Take away the parts that are smaller than their class allows; changes the planes.

    Voxels that touch by a corner are of one part.

    Args:
        planes: Of one case, the slices in order.
        smallest: For each class: mm3 of a volume, mm2 of a picture, 0 for none.
        spacing_mm: Along z, y, x.
        flat: Look at each slice by itself.

    Returns:
        The same planes.

    Shape:
        - planes: ``(N, K, H, W)``
    """
    for number, size in enumerate(smallest):
        if size <= 0:
            continue
        plane = planes[:, number]
        for piece in pieces_of(plane, flat=flat):
            part = piece[_box(piece)]
            labelled, sizes = label_parts(part, spacing_mm, flat=flat)
            part &= (sizes >= size)[labelled]
    return planes


def find_labels(planes: NDArray[np.bool_], target: Target) -> NDArray[np.uint8]:
    """One label for each pixel, from the classes that were found there.

    Where classes overlap as no label does, the class made of the fewest labels is right,
    and of its labels the one that agrees best with the other classes: enhancing tumour
    outside of the tumour core is enhancing tumour.

    Args:
        planes: Of each class.
        target: Which labels make up which class.

    Returns:
        Labels.

    Shape:
        - planes: ``(N, K, H, W)``
        - returns: ``(N, H, W)``
    """
    labels = np.zeros((len(planes), *planes.shape[2:]), np.uint8)
    if target.kind != "regions":  # they exclude each other
        for number, members in enumerate(target.members):
            labels[planes[:, number]] = members[0]
        return labels
    num = target.num_classes
    dtype = np.uint8 if num <= 8 else np.int64 if num < 64 else np.object_
    known: dict[int, int] = {0: 0}
    for classes, plane in zip(planes, labels, strict=True):
        codes = np.zeros(plane.shape, dtype)
        for number, marked in enumerate(classes):
            codes |= marked.astype(dtype) << dtype(number)
        found, which = np.unique(codes, return_inverse=True)
        for code in found.tolist():
            if code not in known:
                known[code] = _label_of(code, target)
        plane[:] = np.array([known[code] for code in found.tolist()], np.uint8)[which]
    return labels


def restore_greys(labels: NDArray[np.uint8], target: Target, *, picture: bool) -> NDArray[Any]:
    """Labels to the grey values that masks of the training data have for them.

    A label that stood for several grey values becomes the least of them in a volume, 1 of 1
    and 255, and the greatest in a picture, which shows it bright.

    Args:
        labels: Of the target.
        target: Grey values and their labels.
        picture: It will be looked at as a picture.

    Returns:
        Grey values, in the smallest whole type that holds all of the target.
    """
    greys = [
        [grey for grey, label in sorted(target.values.items()) if label == number]
        for number in range(target.num_labels)
    ]
    ground = 0 if not greys[0] or 0 in greys[0] else greys[0][0]
    table = [ground, *((some[-1] if picture else some[0]) if some else 0 for some in greys[1:])]
    types = (np.uint8, np.int16, np.uint16, np.int32)
    fitting = [
        one for one in types if np.iinfo(one).min <= min(table) and max(table) <= np.iinfo(one).max
    ]
    return np.asarray(table, fitting[0])[labels]


def pieces_of(plane: NDArray[np.bool_], *, flat: bool) -> list[NDArray[np.bool_]]:
    """What is looked at by itself; views.

    Args:
        plane: One class of a case, ``(N, H, W)``.
        flat: See :func:`is_flat`.

    Returns:
        Each slice, or the whole volume.
    """
    return list(plane) if flat else [plane]


def label_parts(
    plane: NDArray[np.bool_], spacing_mm: Sequence[float], *, flat: bool
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Parts that hang together, by a corner at least.

    Args:
        plane: One of :func:`pieces_of`.
        spacing_mm: Along z, y, x.
        flat: See :func:`is_flat`.

    Returns:
        Number of each pixel's part, and the size of each part; number 0 is the unmarked rest.
    """
    from scipy import ndimage

    labelled: NDArray[np.int32] = np.empty(plane.shape, np.int32)
    num = int(ndimage.label(plane, structure=np.ones((3,) * plane.ndim), output=labelled))
    lengths = spacing_mm[1:] if flat else spacing_mm
    counts = np.zeros(num + 1, np.int64)
    numbers = labelled.ravel()
    for start in range(0, numbers.size, _COUNTED_AT_ONCE):  # counting makes a wide copy
        counts += np.bincount(numbers[start : start + _COUNTED_AT_ONCE], minlength=num + 1)
    return labelled, np.asarray(counts * math.prod(lengths), np.float64)


def _box(plane: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box around all that is marked: the rest of a large volume costs nothing."""
    box = []
    for axis in range(plane.ndim):
        others = tuple(other for other in range(plane.ndim) if other != axis)
        marked = np.flatnonzero(plane.any(axis=others))
        box.append(slice(int(marked[0]), int(marked[-1]) + 1) if marked.size else slice(0))
    return tuple(box)


def _label_of(code: int, target: Target) -> int:
    """The label that fits the classes of a pixel best; bit ``i`` says that it is of class ``i``."""
    on = [bool(code >> number & 1) for number in range(target.num_classes)]
    leading = min(
        (members for members, is_on in zip(target.members, on, strict=True) if is_on), key=len
    )
    table = np.array(target.membership())
    return min(leading, key=lambda label: int(np.count_nonzero(table[label] != on)))
