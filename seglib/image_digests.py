"""Digests of prepared images: another name does not hide an image that a network was trained on.

A model's card carries one for each case that it has met; ``segtune evaluate`` looks for
them among the images that it scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from seglib.data.store import Store

__all__ = ["digest_cases", "digest_image"]


def digest_image(image: npt.NDArray[np.uint8]) -> str:
    """A prepared slice in sixteen letters.

    Args:
        image: As a store holds it, or some of its channels.

    Returns:
        Hexadecimal digits.

    Shape:
        - image: ``(H, W, C)``
    """
    content = np.ascontiguousarray(image)
    return hashlib.sha256(repr(content.shape).encode() + content.tobytes()).hexdigest()[:16]


def digest_cases(store: Store, groups: Collection[str], channels: Sequence[str]) -> tuple[str, ...]:
    """One slice of each case of some patients: that which shows most of the body.

    Only of the channels that a network looks at: a folder may lack the others, and the
    image is the same to it.

    Args:
        store: The prepared data.
        groups: Names of patients, as its index has them.
        channels: Names of channels, in the order of the data.

    Returns:
        The digests, sorted.
    """
    index = store.index[store.index["group"].isin(set(groups))]
    rows = index.groupby("case")["body_px"].idxmax().tolist()
    places = [store.info.channels.index(name) for name in channels]
    return tuple(sorted({digest_image(store.images[row][..., places]) for row in rows}))
