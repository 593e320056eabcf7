from __future__ import annotations

from pathlib import Path

import pytest

from seglib.errors import RunError
from seglib.files import require_place, write_whole


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


@pytest.mark.parametrize(
    ("name", "folder", "found"),
    [
        ("a.txt", True, "a file ; wanted a folder"),
        (".", False, "a folder ; wanted a file"),
        ("a.txt/below/it", True, "Not a directory"),
        ("a.txt/below", False, "Not a directory"),
        ("x" * 300, True, "File name too long"),
    ],
)
def test_a_place_where_nothing_can_be_is_refused(
    tmp_path: Path, name: str, folder: bool, found: str
) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(RunError, match=f"OUT: found .*{found}"):
        require_place(tmp_path / name, "OUT", folder=folder)


def test_a_place_that_can_be_is_not_made(tmp_path: Path) -> None:
    require_place(tmp_path / "new" / "deep", "OUT", folder=True)
    require_place(tmp_path / "new" / "deep.csv", "--out", folder=False)
    require_place(tmp_path, "OUT", folder=True)
    assert not list(tmp_path.iterdir())
