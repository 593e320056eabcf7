from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from seglib.data.fingerprint import digest_files
from seglib.errors import DataError

LONG_AGO_NS = 1_500_000_000 * 10**9


def write(path: Path, text: str, date_ns: int = LONG_AGO_NS) -> Path:
    path.write_text(text)
    os.utime(path, ns=(date_ns, date_ns))
    return path


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_digests_are_those_of_the_content(tmp_path: Path) -> None:
    files = [write(tmp_path / name, name) for name in "abc"]
    digests = digest_files([*files, files[0]], tmp_path / "cache.json", workers=3)
    assert digests == {path: sha256(path.name) for path in files}


def test_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path, cache = write(tmp_path / "a", "one"), tmp_path / "cache.json"
    digest_files([path], cache)
    write(path, "two")  # same size and date: only reading could tell
    calls: list[int] = []
    digests = digest_files([path], cache, progress=lambda done, total, text: calls.append(done))
    assert digests[path] == sha256("one")
    assert calls == []


@pytest.mark.parametrize(("text", "date_ns"), [("longer", LONG_AGO_NS), ("two", LONG_AGO_NS + 1)])
def test_changed_file_is_read_again(tmp_path: Path, text: str, date_ns: int) -> None:
    path, cache = write(tmp_path / "a", "one"), tmp_path / "cache.json"
    digest_files([path], cache)
    write(path, text, date_ns)
    assert digest_files([path], cache)[path] == sha256(text)


def test_file_just_written_is_not_trusted_next_time(tmp_path: Path) -> None:
    path, cache = tmp_path / "a", tmp_path / "cache.json"
    path.write_text("one")
    digest_files([path], cache)
    state = path.stat()
    write(path, "two", state.st_mtime_ns)
    assert digest_files([path], cache)[path] == sha256("two")


def test_damaged_cache_only_costs_time(tmp_path: Path) -> None:
    path, cache = write(tmp_path / "a", "one"), tmp_path / "cache.json"
    for content in ("{", "[1]", '{"x": [1]}'):
        cache.write_text(content)
        assert digest_files([path], cache)[path] == sha256("one")


def test_all_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 problems(.|\n)*none1(.|\n)*none2"):
        digest_files([tmp_path / "none1", tmp_path / "none2"], tmp_path / "cache.json")
