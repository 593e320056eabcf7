"""Prepared slices to a store's files, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from seglib.data.store import ARRAYS, CHECKSUMS, FILES, INFO, Store, StoreInfo
from seglib.files import checksum, flush, writing

__all__ = ["write_store"]


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
        info: What the store holds; counts and sizes are filled in here.
        pieces: Images ``(n, H, W, C)`` and masks ``(n, H, W)``, one after another.
        index: One row per slice, in the order of the pieces.

    Returns:
        The finished store, opened.

    Raises:
        UnwritableError: The place takes no more files; nothing of the store is left there.
    """
    unfinished = path.with_name(f"{path.name}.writing")
    shutil.rmtree(unfinished, ignore_errors=True)
    with writing(path.parent), ExitStack() as on_failure:
        on_failure.callback(shutil.rmtree, unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        shape = (len(index), info.image_size, info.image_size)
        sums = _write_arrays(unfinished, (*shape, len(info.channels)), pieces)
        index.reset_index(drop=True).to_parquet(unfinished / "index.parquet", index=False)
        full = info.model_copy(
            update={
                "num_slices": len(index),
                "num_cases": int(index["case"].nunique()),
                "num_groups": int(index["group"].nunique()),
                "sizes": {name: (unfinished / name).stat().st_size for name in FILES},
            }
        )
        (unfinished / INFO).write_text(full.model_dump_json(indent=2), encoding="utf-8")
        sums |= {name: checksum(unfinished / name) for name in ("index.parquet", INFO)}
        lines = [f"{digest}  {name}\n" for name, digest in sums.items()]
        (unfinished / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
        for place in (*(unfinished / name for name in (*FILES, INFO, CHECKSUMS)), unfinished):
            flush(place)
        unfinished.rename(path)
        on_failure.pop_all()
        flush(path.parent)
    return Store.open(path)


def _write_arrays(
    folder: Path,
    shape: tuple[int, ...],
    pieces: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
) -> dict[str, str]:
    """Write both arrays piece by piece, only one piece is in memory; their checksums."""
    files = [folder / name for name in ARRAYS]
    with files[0].open("wb") as to_images, files[1].open("wb") as to_masks:
        images, masks = _Summed(to_images), _Summed(to_masks)
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
    return dict(zip(ARRAYS, (images.sum.hexdigest(), masks.sum.hexdigest()), strict=True))


class _Summed:
    """A file to write to, and the checksum of what went there."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sum = file, hashlib.sha256()

    def write(self, content: bytes | memoryview) -> int:
        """Write it and count it in."""
        self.sum.update(content)
        return self._file.write(content)


def _write_header(file: _Summed, shape: tuple[int, ...]) -> None:
    """Start a NumPy file of bytes whose content follows."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
