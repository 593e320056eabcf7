from __future__ import annotations

from pathlib import Path

import pytest

from seglib.files import write_whole


def test_what_is_written_is_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "board.csv"
    write_whole(path, "ü\n")
    write_whole(path, "later\n")
    assert path.read_text(encoding="utf-8") == "later\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["board.csv"]


def test_a_write_that_fails_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    write_whole(path, "before\n")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        write_whole(path, "after \ud800\n")
    assert path.read_text() == "before\n"


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "curves.png"
    write_whole(path, b"\x89PNG\r\n")
    assert path.read_bytes() == b"\x89PNG\r\n"
