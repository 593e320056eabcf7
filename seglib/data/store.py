"""Store: the prepared slices of a data set, mapped from disk and shared by all trials.

A store is a directory that is whole or absent::

    images.npy      uint8 (N, H, W, C)
    masks.npy       uint8 (N, H, W), labels
    index.parquet   one row per slice: case, group, slice, spacing, foreground per class
    store.json      what it is: key, target, channels, scale, file sizes
    SHA256SUMS      checksums of the four, as ``sha256sum -c`` reads them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from seglib.data.dataset import Division
from seglib.data.spec import WINDOWS
from seglib.errors import DataError, Problem
from seglib.files import checksum
from seglib.target import Target

__all__ = [
    "ARRAYS",
    "CHECKSUMS",
    "FILES",
    "INFO",
    "STORE_VERSION",
    "Store",
    "StoreInfo",
]

STORE_VERSION = 4
"""Raised when the files of a store change their meaning."""

ARRAYS = ("images.npy", "masks.npy")
FILES = (*ARRAYS, "index.parquet")
INFO = "store.json"
CHECKSUMS = "SHA256SUMS"

_MEND = "damaged store: the same command prepares it anew"


class StoreInfo(BaseModel):
    """What a store holds, in words and numbers; the content of ``store.json``.

    ``scale`` and ``offset`` turn stored values into what the network sees:
    ``image = uint8 * scale + offset``; the byte ``fill`` holds no image. ``normalise`` and
    ``window_hu`` say how values came to bytes, as new images must, too. The spacings of
    the index are in ``unit``: pixels of the source where its files do not say how large
    one is. The last five fields are filled in when the store is written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    target: Target
    channels: tuple[str, ...]
    image_size: int
    scale: float
    offset: float
    layout: str
    fill: int = 0
    normalise: Literal["zscore", "percentile", "window", "none"] = "percentile"
    window_hu: tuple[float, float] = WINDOWS["wide"]
    phantom: bool = False
    unit: Literal["mm", "px"] = "mm"
    notes: tuple[str, ...] = ()
    divisions: tuple[Division, ...] = ()

    version: int = STORE_VERSION
    num_slices: int = 0
    num_cases: int = 0
    num_groups: int = 0
    sizes: dict[str, int] = {}


@dataclass(frozen=True, eq=False)
class Store:
    """A prepared data set, opened for reading.

    The arrays are maps of the files: processes that open the same store share its
    pages. Pickling keeps only the path, so sending a store to a worker is cheap.

    Args:
        path: Directory of the store.
        info: Content of ``store.json``.
        images: ``(N, H, W, C)``, uint8, read-only.
        masks: ``(N, H, W)``, uint8 labels, read-only.
        index: One row per slice, in the order of the arrays.
    """

    path: Path
    info: StoreInfo
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    index: pd.DataFrame

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open a store and check that it is whole.

        What is small is held against its checksum each time; of the arrays only the size
        is, as every trial opens them: see :meth:`require_content`.

        Args:
            path: Directory of the store.

        Returns:
            The store, its arrays mapped.

        Raises:
            DataError: A file is missing, cut short or changed, or the store is of
                another version.
        """
        path = Path(path).resolve()
        info = _read_info(path)
        _check_files(path, info)
        try:
            images, masks = (
                np.load(path / one, mmap_mode="r", allow_pickle=False) for one in ARRAYS
            )
        except ValueError:
            raise _damaged(path, "arrays that cannot be read") from None
        index = pd.read_parquet(path / "index.parquet")
        shape = (info.num_slices, info.image_size, info.image_size)
        if (
            images.shape != (*shape, len(info.channels))
            or masks.shape != shape
            or len(index) != info.num_slices
        ):
            raise _damaged(path, "arrays of another shape than store.json says")
        return cls(path, info, images, masks, index)

    def require_content(self, digests: Mapping[Path, str]) -> None:
        """Hold the arrays against the checksums that they were written with.

        Args:
            digests: SHA-256 of each array's file.

        Raises:
            DataError: A file holds something else.
        """
        wanted = _read_checksums(self.path)
        _complain_of(
            self.path, [name for name in ARRAYS if digests[self.path / name] != wanted[name]]
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (Store.open, (self.path,))

    def __len__(self) -> int:
        return self.info.num_slices

    @property
    def key(self) -> str:
        """Fingerprint of the sources and settings that the store was made from."""
        return self.info.key

    @property
    def target(self) -> Target:
        """Labels and classes of the masks."""
        return self.info.target

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the image channels."""
        return self.info.channels

    @property
    def num_channels(self) -> int:
        """Image channels."""
        return len(self.info.channels)

    @property
    def image_size(self) -> int:
        """Side of a slice in pixels."""
        return self.info.image_size

    @property
    def scale(self) -> float:
        """Factor from stored values to what the network sees."""
        return self.info.scale

    @property
    def offset(self) -> float:
        """What a stored 0 is to the network."""
        return self.info.offset

    @property
    def fill(self) -> int:
        """Byte of whatever holds no image."""
        return self.info.fill

    @property
    def phantom(self) -> bool:
        """Whether the patients are generated."""
        return self.info.phantom

    def has_foreground(self) -> npt.NDArray[np.bool_]:
        """Tell for each slice whether any class is present.

        Shape:
            - returns: ``(N,)``, bool
        """
        columns = [f"px_{name}" for name in self.target.classes]
        return np.asarray((self.index[columns] > 0).any(axis=1), dtype=np.bool_)


def _read_info(path: Path) -> StoreInfo:
    """Read ``store.json``, or say what is wrong with it."""
    try:
        text = (path / INFO).read_bytes()
    except FileNotFoundError:
        raise _damaged(path, "no store.json") from None
    try:
        info = StoreInfo.model_validate_json(text)
    except ValidationError:
        raise _damaged(path, "a store.json that cannot be read") from None
    if info.version != STORE_VERSION:
        raise _damaged(path, f"version {info.version} where {STORE_VERSION} is known")
    return info


def _read_checksums(path: Path) -> dict[str, str]:
    """File name -> SHA-256, of every file of a store."""
    try:
        lines = (path / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        sums = {}
    if set(sums) != {*FILES, INFO}:
        raise _damaged(path, f"a {CHECKSUMS} that cannot be read")
    return sums


def _check_files(path: Path, info: StoreInfo) -> None:
    """Hold the files against what ``store.json`` and the checksums say of them."""
    problems = []
    for name in FILES:
        wanted = info.sizes.get(name, -1)
        size = (path / name).stat().st_size if (path / name).is_file() else None
        if size is None:
            problems.append(Problem(name, "no such file"))
        elif size != wanted:
            problems.append(Problem(name, f"{size} bytes", f"{wanted} bytes"))
    if problems:
        raise DataError(f"{path} ({_MEND})", problems)
    sums = _read_checksums(path)
    small = (INFO, "index.parquet")
    _complain_of(path, [name for name in small if checksum(path / name) != sums[name]])


def _complain_of(path: Path, changed: Sequence[str]) -> None:
    """Files that hold something else than they were written with."""
    if changed:
        problems = [Problem(name, "changed content", "what was written") for name in changed]
        raise DataError(f"{path} ({_MEND})", problems)


def _damaged(path: Path, found: str) -> DataError:
    """One fault of a store as a whole."""
    return DataError(f"{path} ({_MEND})", [Problem("store", found, "a whole store")])
