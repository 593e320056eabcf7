"""What a store is made from, as one short word: the same word means no work.

The word depends on the content of every source file, not on its date or on where
the folder lies. So that a large folder is not read at each start, the digest of a
file is kept with its size and date, and the file is read again if either changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from seglib.data.dataset import Dataset
from seglib.data.spec import DataSpec
from seglib.errors import DataError, Problem
from seglib.files import checksum, write_whole
from seglib.foreign import file_size

__all__ = ["PREPARE_VERSION", "digest_files", "store_key"]

PREPARE_VERSION = 2
"""Raised when the same sources and settings would give other pixels."""

SETTLED_S = 2.0
"""A file changed so lately might change again within the same tick of its date."""


def digest_files(
    paths: Iterable[Path],
    cache: Path | None,
    *,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[Path, str]:
    """SHA-256 of the content of each file; unchanged files are not read again.

    Args:
        paths: Files; repeats are fine.
        cache: JSON file with what is known; made and kept up to date. None reads all.
        workers: Threads that read.
        progress: Called with done, total and a text.

    Returns:
        Path -> digest in hexadecimal.

    Raises:
        DataError: Files that cannot be read, all of them.
    """
    known = _load(cache) if cache else {}
    digests: dict[Path, str] = {}
    stamps: dict[Path, tuple[int, int]] = {}
    problems = []
    for path in dict.fromkeys(paths):
        try:
            file_size(path)
            state = path.stat()
        except OSError as error:
            problems.append(Problem(str(path), error.strerror or str(error)))
            continue
        stamps[path] = (state.st_size, state.st_mtime_ns)
        size, date, digest = known.get(str(path.absolute()), (-1, -1, ""))
        if (size, date) == stamps[path]:
            digests[path] = digest
    wanted = [path for path in stamps if path not in digests]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for done, (path, result) in enumerate(zip(wanted, pool.map(_digest, wanted), strict=True)):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                digests[path] = result
            if progress is not None:
                progress(done + 1, len(wanted), "reading files")
    if problems:
        raise DataError("data", problems)
    settled = time.time_ns() - int(SETTLED_S * 1e9)
    fresh = {
        str(path.absolute()): (*stamps[path], digests[path])
        for path in wanted
        if stamps[path][1] < settled
    }
    if fresh and cache:
        _save(cache, {**known, **fresh})
    return digests


def store_key(
    dataset: Dataset, spec: DataSpec, digests: Mapping[Path, str], *, phantom: bool
) -> str:
    """Name of the store that these sources and settings give.

    Args:
        dataset: Items, target and channels as found.
        spec: Read for image size, window, ``drop_empty`` and ``every``.
        digests: Of all files of the items.
        phantom: Whether the files were generated.

    Returns:
        Twenty hexadecimal digits.
    """
    settings = {
        "version": PREPARE_VERSION,
        "phantom": phantom,
        "layout": dataset.layout,
        "channels": dataset.channels,
        "target": dataset.target.model_dump(mode="json"),
        "normalise": dataset.normalise,
        "window_hu": spec.window_hu if dataset.normalise == "window" else None,
        "image_size": spec.image_size,
        "drop_empty": spec.drop_empty,
        "every": spec.every,
        "divisions": [asdict(division) for division in dataset.divisions],
    }
    total = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for item in dataset.items:
        files = [(os.path.relpath(path, dataset.root), digests[path]) for path in item.files]
        fields = {**asdict(item), "images": files, "masks": len(item.masks)}
        total.update(json.dumps(fields, sort_keys=True).encode())
    return total.hexdigest()[:20]


def _digest(path: Path) -> str | Problem:
    """SHA-256 of a file, or why there is none."""
    try:
        return checksum(path)
    except OSError as error:
        return Problem(str(path), error.strerror or "an unreadable file")


def _load(cache: Path) -> dict[str, tuple[int, int, str]]:
    """What is known; a missing or damaged file only means that all is read again."""
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
        return {name: (int(a), int(b), str(c)) for name, (a, b, c) in known.items()}
    except (OSError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError):
        return {}


def _save(cache: Path, known: Mapping[str, tuple[int, int, str]]) -> None:
    """Replace the file in one go; of two processes the later one wins."""
    write_whole(cache, json.dumps(known))
