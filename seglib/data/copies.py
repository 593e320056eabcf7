"""Copies: the same image twice in a data set, perhaps mirrored or turned.

A copy under another patient's name would let a network be scored on what it learnt
from. An image that was mirrored without its mask teaches the wrong place.

Reading all images a second time would be dear, so each leaves a :func:`signature`
when it is read; only images with equal signatures are read again and compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seglib.data.dataset import Item
from seglib.data.pixels import exact_sums
from seglib.data.source import Loaded, Plan, read_item

__all__ = ["Copy", "Turn", "find_copies", "joined_groups", "signature"]


@dataclass(frozen=True)
class Turn:
    """One of the eight ways to lay a square on itself.

    Args:
        quarters: Quarter turns, 0 to 3.
        mirrored: Whether it is mirrored left to right before.
    """

    quarters: int
    mirrored: bool

    def __str__(self) -> str:
        turned = f" turned by {90 * self.quarters} degrees" if self.quarters else ""
        return f"a {'mirrored ' * self.mirrored}copy{turned}"

    @property
    def moves(self) -> bool:
        """Whether anything changes its place."""
        return self.mirrored or self.quarters > 0

    def apply(self, slices: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn every slice.

        Args:
            slices: Any number of channels.

        Returns:
            A view.

        Shape:
            - slices: ``(N, H, W, ...)``
            - returns: ``(N, H, W, ...)`` or ``(N, W, H, ...)``
        """
        return np.rot90(slices[:, :, ::-1] if self.mirrored else slices, self.quarters, (1, 2))


TURNS = tuple(Turn(quarters, mirrored) for mirrored in (False, True) for quarters in range(4))
"""All eight, the one that changes nothing first."""


@dataclass(frozen=True)
class Copy:
    """An image that is there before, in this or another position.

    Args:
        first: Where it is first.
        second: Where it is again.
        turn: What makes ``second`` of ``first``.
        mask_follows: Whether the same turn makes the one mask of the other.
    """

    first: Item
    second: Item
    turn: Turn
    mask_follows: bool


def signature(image: npt.NDArray[Any]) -> tuple[int, ...]:
    """Numbers that no quarter turn and no mirror changes; none for an image of one value.

    Size, least and largest value, sum and sum of squares, all in whole numbers so
    that the order of summing does not matter; real values count by their bits.

    Args:
        image: All slices and channels of an item.

    Returns:
        Equal for copies; for other images hardly ever.

    Shape:
        - image: ``(N, H, W, C)``
    """
    values = image if image.dtype.kind in "iu" else image.astype(np.float32).view(np.uint32)
    by_channel = np.moveaxis(values, 3, 0)  # so they lie in memory
    least = min(int(channel.min()) for channel in by_channel)
    largest = max(int(channel.max()) for channel in by_channel)
    if least == largest:
        return ()
    num, height, width, channels = image.shape
    sums = [exact_sums(channel) for channel in by_channel]
    total, squares = (sum(numbers) for numbers in zip(*sums, strict=True))
    return (num, *sorted((height, width)), channels, least, largest, total, squares)


def find_copies(
    items: Sequence[Item], signatures: Iterable[tuple[int, ...]], plan: Plan
) -> list[Copy]:
    """Images that are there more than once, in whatever position.

    Args:
        items: All items.
        signatures: Of each item; empty where it is not to be compared.
        plan: As the items were read.

    Returns:
        One entry for each image beyond the first of its kind.
    """
    alike: dict[tuple[int, ...], list[Item]] = defaultdict(list)
    for item, numbers in zip(items, signatures, strict=True):
        if numbers:
            alike[numbers].append(item)
    return [
        copy for group in alike.values() if len(group) > 1 for copy in _copies_among(group, plan)
    ]


def joined_groups(copies: Iterable[Copy]) -> dict[str, str]:
    """One name for patients that share an image, so that no split parts them.

    Args:
        copies: As found.

    Returns:
        Group -> the name that it goes by; groups that keep theirs are left out.
    """
    names: dict[str, str] = {}

    def name_of(group: str) -> str:
        while group in names:
            group = names[group]
        return group

    for copy in copies:
        first, second = name_of(copy.first.group), name_of(copy.second.group)
        if first != second:
            names[second] = first
    return {group: name_of(group) for group in names}


def _copies_among(items: Sequence[Item], plan: Plan) -> list[Copy]:
    """Compare pixel by pixel each item with those before it."""
    originals: list[tuple[Item, Loaded]] = []
    copies = []
    for item in items:
        loaded = read_item(item, plan, [])
        if loaded is None:
            continue
        pairs = (_compare(one, (item, loaded), plan) for one in originals)
        copy = next((copy for copy in pairs if copy is not None), None)
        if copy is None:
            originals.append((item, loaded))
        else:
            copies.append(copy)
    return copies


def _compare(first: tuple[Item, Loaded], second: tuple[Item, Loaded], plan: Plan) -> Copy | None:
    """The copy that the second is of the first, if it is one.

    An image may look the same in several positions: the one that suits the masks counts.
    """
    (one, original), (other, again) = first, second
    fitting = [turn for turn in TURNS if np.array_equal(turn.apply(original.image), again.image)]
    if not fitting:
        return None
    if one.masks and other.masks:
        for turn in fitting:
            if _mask_follows(original.labels, again.labels, turn, plan):
                return Copy(one, other, turn, mask_follows=True)
    return Copy(one, other, fitting[0], mask_follows=not (one.masks and other.masks))


def _mask_follows(
    labels: npt.NDArray[np.uint8], again: npt.NDArray[np.uint8], turn: Turn, plan: Plan
) -> bool:
    """Whether the masks are the same under a turn; a mirror may trade left for right."""
    turned = turn.apply(labels)
    if np.array_equal(turned, again):
        return True
    table = np.arange(256, dtype=np.uint8)
    for left, right in plan.target.mirror_pairs():
        table[left], table[right] = right, left
    return turn.mirrored and np.array_equal(table[turned], again)
