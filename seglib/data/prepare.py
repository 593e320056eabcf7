"""Sources to a store: once, in parallel, and only if nothing of it is there yet.

::

    root/digests.json       what is known of source files and large stores
    root/phantoms/<key>/    generated patients
    root/stores/<key>/      finished stores
    root/stores/<key>.lock  held by the process that prepares <key>

Work in progress lies in ``<key>.building`` and ``<key>.writing``; what a killed
process left there is removed by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seglib.data.dataset import Dataset
from seglib.data.findings import judge
from seglib.data.fingerprint import digest_files, store_key
from seglib.data.index import build_index
from seglib.data.layouts import find_dataset
from seglib.data.phantom import write_phantoms
from seglib.data.pixels import SCALES
from seglib.data.place import meant_instead
from seglib.data.source import Plan
from seglib.data.spec import PHANTOM_LAYOUTS, DataSpec
from seglib.data.store import ARRAYS, Store, StoreInfo
from seglib.data.store_writer import write_store
from seglib.data.workers import convert_all, useful_workers
from seglib.errors import DataError, Problem
from seglib.files import writing

__all__ = ["prepare"]

Progress = Callable[[int, int, str], None]

UNFINISHED = (".building", ".writing")

READ_EACH_TIME_BYTES = 256 * 2**20
"""So much is read in about half a second; of larger stores size and date are trusted."""


def prepare(
    spec: DataSpec,
    source: Path | None,
    root: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """Make the store that a specification asks for, or open it if it is there.

    Of several processes that ask for the same store, one works and the others wait.
    A store that is there is held against its checksums; a large one is not read again
    unless its files were touched since. A damaged one is made anew, and its notes say so,
    this once.

    Args:
        spec: What to make of the data.
        source: Folder with the data; None for phantoms, as ``spec.layout`` says.
        root: Folder for stores and phantoms; made if needed.
        workers: Processes that read and resize; 1 works without any. If not given, one
            for each core where the files are large enough to be worth starting them.
        progress: Called with done, total and a text.

    Returns:
        The store, opened.

    Raises:
        DataError: The folder is not understood, or files have faults; all at once.
        UnwritableError: ``root`` takes no more files.
    """
    _check_source(spec, source)
    root = root.resolve()  # as the store names its files
    with writing(root):
        (root / "stores").mkdir(parents=True, exist_ok=True)
        folder = source if source is not None else _phantoms(spec, root)
    dataset = _find(spec, folder.resolve())
    files = [path for item in dataset.items for path in item.files]
    workers = workers or useful_workers(files)
    known = root / "digests.json"
    digests = digest_files(files, known, workers=workers, progress=progress)
    key = store_key(dataset, spec, digests, phantom=source is None)
    path = root / "stores" / key
    said = []
    with writing(root), _locked(path):
        if path.exists():
            try:
                return _open_unchanged(path, known)
            except DataError as error:
                said = [f"made anew from the source: {fault}" for fault in error.problems]
                shutil.rmtree(path)
        info = StoreInfo(
            key=key,
            target=dataset.target,
            channels=dataset.channels,
            image_size=spec.image_size,
            **SCALES[dataset.normalise]._asdict(),
            normalise=dataset.normalise,
            window_hu=spec.window_hu,
            layout=dataset.layout,
            phantom=source is None,
            divisions=dataset.divisions,
        )
        plan = Plan.of(dataset, spec)
        store = _build(path, info, dataset, plan=plan, workers=workers, progress=progress)
    notes = (*store.info.notes, *said)
    return replace(store, info=store.info.model_copy(update={"notes": notes}))


def _open_unchanged(path: Path, known: Path) -> Store:
    """A finished store whose arrays are, byte for byte, what was written."""
    store = Store.open(path)
    arrays = [path / name for name in ARRAYS]
    large = sum(file.stat().st_size for file in arrays) > READ_EACH_TIME_BYTES
    store.require_content(digest_files(arrays, known if large else None))
    return store


def _check_source(spec: DataSpec, source: Path | None) -> None:
    """Phantoms need no folder, all else does."""
    if (source is None) == (spec.layout in PHANTOM_LAYOUTS):
        return
    found = f"{spec.layout} " + ("without" if source is None else "beside") + " a data folder"
    wanted = "a data folder" if source is None else "the layout of the folder, or auto"
    raise DataError("data", [Problem("data.layout", found, wanted)])


def _find(spec: DataSpec, folder: Path) -> Dataset:
    """The data set of a folder; it must have masks to learn from."""
    dataset = find_dataset(spec, folder)
    if not any(item.masks for item in dataset.items):
        found, hint = f"none beside {len(dataset.items)} images", meant_instead(folder)
        raise DataError(str(folder), [Problem("masks", found, "a mask for each", hint)])
    return dataset


def _phantoms(spec: DataSpec, root: Path) -> Path:
    """Write the phantoms that a specification asks for, once."""
    wish = (spec.layout, spec.cases, spec.seed, spec.image_size)
    key = hashlib.sha256(repr(wish).encode()).hexdigest()[:20]
    path = root / "phantoms" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        if not path.exists():
            building = path.with_name(f"{key}.building")
            fields = {"cases": spec.cases, "seed": spec.seed, "size": spec.image_size}
            try:
                write_phantoms(spec.layout, building, **fields)
                building.rename(path)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a folder, and clear away what killed processes left around it."""
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for suffix in UNFINISHED:
            shutil.rmtree(path.with_name(path.name + suffix), ignore_errors=True)
        for other in path.parent.iterdir():
            if other.suffix in UNFINISHED:
                _remove_if_dead(other)
        yield


def _remove_if_dead(unfinished: Path) -> None:
    """Remove another store's unfinished folder, unless somebody works on it."""
    with unfinished.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(unfinished, ignore_errors=True)


def _build(
    path: Path,
    info: StoreInfo,
    dataset: Dataset,
    *,
    plan: Plan,
    workers: int,
    progress: Progress | None,
) -> Store:
    """Convert all items, judge the set as a whole, write the store."""
    building = path.with_name(f"{path.name}.building")
    building.mkdir()
    shards = [building / str(number) for number in range(len(dataset.items))]
    try:
        jobs = [(item, plan, shard) for item, shard in zip(dataset.items, shards, strict=True)]
        pieces = convert_all(jobs, workers, progress or (lambda done, total, text: None))
        findings = judge(dataset, plan, pieces)
        if findings.problems:
            raise DataError(str(plan.root), findings.problems)
        located = all(piece.facts is not None and piece.facts.spacing_mm for piece in pieces)
        # A study may divide anew, so these are no faults yet.
        told = (f"{fault.place}: {fault.found}" for fault in findings.division_problems)
        notes = (*findings.notes, *told)
        full = info.model_copy(update={"unit": "mm" if located else "px", "notes": notes})
        used = [shard for shard, piece in zip(shards, pieces, strict=True) if piece.rows]
        rows = [row for piece in pieces for row in piece.rows]
        index = build_index(rows, plan.target, findings.joined)
        return write_store(path, full, pieces=_load_and_remove(used), index=index)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _load_and_remove(
    shards: Sequence[Path],
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Pixels of each item; its files go as soon as they are copied, to spare the disk."""
    for shard in shards:
        files = (Path(f"{shard}.images.npy"), Path(f"{shard}.masks.npy"))
        yield np.load(files[0], mmap_mode="r"), np.load(files[1], mmap_mode="r")
        for file in files:
            file.unlink()
