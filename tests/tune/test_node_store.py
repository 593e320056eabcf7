"""The store on a machine's own disk: copied once by real processes, whole whatever kills them."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seglib.data.store import Store
from seglib.errors import DataError, UnwritableError
from tune import node_store
from tune.node_store import node_cache, offer_store, take_store

TAKE = """
import shutil, sys
from pathlib import Path
from tune import node_store
copy = shutil.copyfile
def counted(source, target):
    with open(sys.argv[4], "a") as file:
        file.write(f"{Path(source).name}\\n")
    return copy(source, target)
shutil.copyfile = counted
print(node_store.take_store(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
"""

DIE = """
import os, shutil, signal, sys
from pathlib import Path
from tune import node_store
def die(source, target):
    Path(target).write_bytes(Path(source).read_bytes()[:7])
    os.kill(os.getpid(), signal.SIGKILL)
shutil.copyfile = die
node_store.take_store(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
"""


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "stores").iterdir() if path.suffix != ".lock")


def assert_same(copy: Path, store: Store) -> None:
    for name in node_store._ALL:
        assert (copy / name).read_bytes() == (store.path / name).read_bytes(), name


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_copy_is_the_store(kind: str, store: Store, tmp_path: Path) -> None:
    source = str(store.path)
    if kind == "url":
        source = f"file://{tmp_path}/far/{store.key}"
        offer_store(store, source)
        offer_store(store, source)
    copy = take_store(source, store.key, tmp_path / "cache")
    assert_same(copy, store)
    assert copy.is_relative_to(tmp_path / "cache")
    assert left_in(tmp_path / "cache") == [store.key]


def test_second_taking_needs_no_source(store: Store, tmp_path: Path) -> None:
    take_store(str(store.path), store.key, tmp_path)
    assert_same(take_store("/no/such/folder", store.key, tmp_path), store)


@pytest.mark.slow
def test_eight_processes_at_once_copy_once(store: Store, tmp_path: Path) -> None:
    words = [str(store.path), store.key, str(tmp_path / "cache"), str(tmp_path / "copied")]
    command = [sys.executable, "-c", TAKE, *words]
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = {process.communicate(timeout=240)[0] for process in begun}
    assert [process.returncode for process in begun] == [0] * 8
    assert said == {f"{tmp_path}/cache/stores/{store.key}\n"}
    copied = (tmp_path / "copied").read_text().splitlines()
    assert sorted(copied) == sorted(node_store._ALL)


@pytest.mark.slow
def test_process_killed_in_the_middle_leaves_nothing_half_valid(
    store: Store, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", DIE, str(store.path), store.key, str(tmp_path)]
    assert subprocess.run(command, check=False, timeout=240).returncode == -signal.SIGKILL
    (left,) = left_in(tmp_path)
    assert left != store.key
    assert_same(take_store(str(store.path), store.key, tmp_path), store)
    assert left_in(tmp_path) == [store.key]


@pytest.mark.parametrize("name", ["images.npy", "index.parquet", "SHA256SUMS"])
def test_damaged_copy_is_copied_anew(name: str, store: Store, tmp_path: Path) -> None:
    copy = take_store(str(store.path), store.key, tmp_path)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 3] ^= 1
    (copy / name).write_bytes(content)
    assert_same(take_store(str(store.path), store.key, tmp_path), store)


def test_damaged_source_is_said_and_not_taken(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(store.path, source)
    with (source / "masks.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    with pytest.raises(DataError, match=r"masks\.npy: found changed content"):
        take_store(str(source), store.key, tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


def test_another_store_at_the_place_is_not_taken(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"found the store {store.key} ; wanted another"):
        take_store(str(store.path), "another", tmp_path)


@pytest.mark.parametrize("source", ["/no/such/folder", "file:///no/such/folder"])
def test_place_that_the_machine_does_not_see_is_told(source: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a place that all machines see"):
        take_store(source, "key", tmp_path)


def test_full_disk_is_told_and_leaves_no_room_taken(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UnwritableError, match="the disk is full"):
        take_store(str(store.path), store.key, tmp_path)
    assert left_in(tmp_path) == []


def test_environment_says_where_copies_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_NODE_CACHE", str(tmp_path))
    assert node_cache() == tmp_path
    monkeypatch.delenv("SEGTUNE_NODE_CACHE")
    assert node_cache() == Path.home() / ".cache" / "segtune"
