"""Store: the prepared slices of a data set, mapped from disk and shared by all trials.

A store is a directory that is whole or absent::

    images.npy      uint8 (N, H, W, C)
    masks.npy       uint8 (N, H, W), labels
    index.parquet   one row per slice: case, group, slice, spacing, foreground per class
    store.json      what it is: key, target, channels, scale, file sizes, checksum
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from seglib.data.dataset import Division
from seglib.errors import DataError, Problem
from seglib.files import flush
from seglib.target import Target

__all__ = ["STORE_VERSION", "Store", "StoreInfo", "write_store"]

STORE_VERSION = 2
"""Raised when the files of a store change their meaning."""

FILES = ("images.npy", "masks.npy", "index.parquet")


class StoreInfo(BaseModel):
    """What a store holds, in words and numbers; the content of ``store.json``.

    ``scale`` and ``offset`` turn stored values into what the network sees:
    ``image = uint8 * scale + offset``; the byte ``fill`` holds no image. The spacings of
    the index are in ``unit``: pixels of the source where its files do not say how large
    one is. The last six fields are filled in when the store is written.
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
    phantom: bool = False
    unit: Literal["mm", "px"] = "mm"
    notes: tuple[str, ...] = ()
    divisions: tuple[Division, ...] = ()

    version: int = STORE_VERSION
    num_slices: int = 0
    num_cases: int = 0
    num_groups: int = 0
    sizes: dict[str, int] = {}
    index_sha256: str = ""


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
        images = np.load(path / "images.npy", mmap_mode="r", allow_pickle=False)
        masks = np.load(path / "masks.npy", mmap_mode="r", allow_pickle=False)
        index = pd.read_parquet(path / "index.parquet")
        shape = (info.num_slices, info.image_size, info.image_size)
        if (
            images.shape != (*shape, len(info.channels))
            or masks.shape != shape
            or len(index) != info.num_slices
        ):
            raise _damaged(path, "arrays of another shape than store.json says")
        return cls(path, info, images, masks, index)

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


def write_store(
    path: Path,
    info: StoreInfo,
    *,
    pieces: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
    index: pd.DataFrame,
) -> Store:
    """Write a store so that it appears whole or not at all, and open it.

    Everything goes to ``<name>.writing`` beside it, is flushed to disk and renamed.
    Only one process may write the same store at a time.

    Args:
        path: Directory to make; it must not exist.
        info: What the store holds; counts, sizes and checksum are filled in here.
        pieces: Images ``(n, H, W, C)`` and masks ``(n, H, W)``, one after another.
        index: One row per slice, in the order of the pieces.

    Returns:
        The finished store, opened.
    """
    writing = path.with_name(f"{path.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    try:
        shape = (len(index), info.image_size, info.image_size)
        _write_arrays(writing, (*shape, len(info.channels)), pieces)
        index.reset_index(drop=True).to_parquet(writing / "index.parquet", index=False)
        full = info.model_copy(
            update={
                "num_slices": len(index),
                "num_cases": int(index["case"].nunique()),
                "num_groups": int(index["group"].nunique()),
                "sizes": {name: (writing / name).stat().st_size for name in FILES},
                "index_sha256": _sha256(writing / "index.parquet"),
            }
        )
        (writing / "store.json").write_text(full.model_dump_json(indent=2), encoding="utf-8")
        for place in (*(writing / name for name in (*FILES, "store.json")), writing):
            flush(place)
        writing.rename(path)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    flush(path.parent)
    return Store.open(path)


def _write_arrays(
    folder: Path,
    shape: tuple[int, ...],
    pieces: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
) -> None:
    """Write both arrays piece by piece; only one piece is in memory."""
    with (folder / "images.npy").open("wb") as images, (folder / "masks.npy").open("wb") as masks:
        _write_header(images, shape)
        _write_header(masks, shape[:3])
        written = 0
        for image, mask in pieces:
            assert image.dtype == mask.dtype == np.uint8
            assert image.shape[1:] == shape[1:]
            assert mask.shape == image.shape[:3]
            images.write(np.ascontiguousarray(image).data)
            masks.write(np.ascontiguousarray(mask).data)
            written += len(image)
    assert written == shape[0], "the index must have one row per slice"


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Start a NumPy file of bytes whose content follows."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _read_info(path: Path) -> StoreInfo:
    """Read ``store.json``, or say what is wrong with it."""
    try:
        text = (path / "store.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _damaged(path, "no store.json") from None
    try:
        info = StoreInfo.model_validate_json(text)
    except ValidationError:
        raise _damaged(path, "a store.json that cannot be read") from None
    if info.version != STORE_VERSION:
        raise _damaged(path, f"version {info.version} where {STORE_VERSION} is known")
    return info


def _check_files(path: Path, info: StoreInfo) -> None:
    """Compare the files with what ``store.json`` says of them."""
    problems = []
    for name in FILES:
        wanted = info.sizes.get(name, -1)
        size = (path / name).stat().st_size if (path / name).is_file() else None
        if size is None:
            problems.append(Problem(name, "no such file"))
        elif size != wanted:
            problems.append(Problem(name, f"{size} bytes", f"{wanted} bytes"))
    if not problems and _sha256(path / "index.parquet") != info.index_sha256:
        problems.append(Problem("index.parquet", "changed content", "what was written"))
    if problems:
        raise DataError(f"{path} (damaged store: delete it to prepare anew)", problems)


def _sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, found: str) -> DataError:
    """One fault of a store as a whole."""
    hint = "delete the folder; it is prepared anew"
    return DataError(str(path), [Problem("store", found, "a whole store", hint)])
