"""The prepared store on a machine of a cluster: copied there once, whole and checked.

::

    $SEGTUNE_NODE_CACHE, else ~/.cache/segtune
        stores/<key>/        a store's files, as where they were prepared
        stores/<key>.lock    held by the process that copies
        stores/<key>.<>.part what a process has copied so far; cleared by the next one
        jobs/<digest>/       on the head: working copies of run directories at a URL

The processes of one machine map the same files. No machine needs the images that the store
was made from.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglib.data.store import ARRAYS, CHECKSUMS, FILES, INFO, Store
from seglib.errors import DataError, Problem
from seglib.files import checksum, flush, writing
from tune.remote import Remote
from tune.urls import digest_of, is_url

__all__ = ["node_cache", "offer_store", "take_store", "working_copies"]

_ALL = (*FILES, INFO, CHECKSUMS)  # the checksums last: with them a store is whole
_CHECKED = "checked"
_PART = ".part"


def node_cache() -> Path:
    """Where this machine keeps what it copied."""
    given = os.environ.get("SEGTUNE_NODE_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "segtune"


def working_copies(url: str) -> Path:
    """Where a job keeps working copies of run directories: its own folder is Ray's to delete.

    Args:
        url: The place of the run directories.

    Returns:
        A folder on this machine, the same for each job at the same URL.
    """
    return node_cache().expanduser() / "jobs" / digest_of(url)


def take_store(source: str, key: str, cache: Path | None = None) -> Path:
    """A store on this machine's own disk: found there, or copied now by one process.

    A copy is held against its checksums before it gets its name, and its arrays again
    when they were touched since. A damaged one is copied anew, once.

    Args:
        source: Where it lies for all machines: a folder, or a URL.
        key: What the store must be: its fingerprint.
        cache: Where copies go; None for :func:`node_cache`.

    Returns:
        The folder of the copy.

    Raises:
        DataError: What lies at ``source`` is damaged, another store, or not there.
        UnwritableError: The disk is full, or the place does not answer.
    """
    stores = (cache or node_cache()).expanduser().resolve() / "stores"
    target = stores / key
    with writing(target):
        stores.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if target.exists():
                try:
                    _require_whole(target, key)
                    return target
                except DataError:
                    shutil.rmtree(target)
            _copy(source, target, key)
    return target


def offer_store(store: Store, url: str) -> None:
    """Put a store to a URL, from where machines take it; one that is there is left alone.

    Args:
        store: The prepared data.
        url: Of the folder for it.

    Raises:
        UnwritableError: The place does not answer.
    """
    remote = Remote(url)
    sizes = remote.sizes()
    sums = (store.path / CHECKSUMS).read_bytes()
    wanted = {name: (store.path / name).stat().st_size for name in _ALL}
    is_there = all(sizes.get(name) == size for name, size in wanted.items())
    if is_there and remote.read(CHECKSUMS) == sums:
        return
    for name in _ALL:
        remote.put(store.path / name, name)


def _copy(source: str, target: Path, key: str) -> None:
    part = target.with_name(f"{key}.{os.getpid()}{_PART}")
    part.mkdir()
    try:
        if is_url(source):
            _fetch(Remote(source), part)
        else:
            _read(Path(source), part)
        _require_whole(part, key)
        for name in _ALL:
            flush(part / name)
        part.rename(target)
        flush(target.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fetch(remote: Remote, part: Path) -> None:
    lacking = [name for name in _ALL if not remote.get(name, part / name)]
    if lacking:
        raise _not_there(remote.url, lacking)


def _read(source: Path, part: Path) -> None:
    lacking = [name for name in _ALL if not (source / name).is_file()]
    if lacking:
        raise _not_there(str(source), lacking)
    for name in _ALL:
        shutil.copyfile(source / name, part / name)


def _not_there(source: str, lacking: list[str]) -> DataError:
    hint = "the driver prepares the data; --storage-path must be a place that all machines see"
    return DataError(source, [Problem(name, "no such file", "", hint) for name in lacking[:1]])


def _require_whole(path: Path, key: str) -> None:
    """The right store, byte for byte; arrays are read once, and again if they were touched."""
    store = Store.open(path)
    if store.key != key:
        raise DataError(str(path), [Problem("store", f"the store {store.key}", key)])
    states = [(path / name).stat() for name in ARRAYS]
    seen = "".join(f"{state.st_size} {state.st_mtime_ns}\n" for state in states)
    seen += (path / CHECKSUMS).read_text()
    mark = path / _CHECKED
    if mark.exists() and mark.read_text() == seen:
        return
    store.require_content({store.path / name: checksum(path / name) for name in ARRAYS})
    mark.write_text(seen)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Of the processes of a machine one works and the others wait; no lock outlives its owner."""
    with target.with_name(f"{target.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for part in target.parent.glob(f"{target.name}.*{_PART}"):
            shutil.rmtree(part, ignore_errors=True)  # its process died: we have the lock
        yield
