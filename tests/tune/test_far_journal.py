"""A journal at a URL in pieces: at each moment the beginning of one and the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune import far_journal
from tune.far_journal import FarJournal
from tune.remote import Remote

PIECE = 64

Open = Callable[[str], FarJournal]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_journal, "PIECE", PIECE)


@pytest.fixture
def at(tmp_path: Path) -> Open:
    def at(name: str) -> FarJournal:
        (tmp_path / name).mkdir(exist_ok=True)
        return FarJournal(Remote(f"file://{tmp_path}/far"), tmp_path / name / "journal.log")

    return at


def grow(path: Path, number: int) -> bytes:
    """Lines as long as they happen to be."""
    with path.open("ab") as file:
        for one in range(number):
            file.write(b"%d %s\n" % (one, b"x" * (one * 7 % 23)))
    return path.read_bytes()


def look() -> None:
    """Ours."""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    written: list[tuple[str, int]] = []
    real = Remote.write

    def write(self: Remote, name: str, content: bytes, **more: Any) -> None:
        written.append((name, len(content)))
        real(self, name, content, **more)

    monkeypatch.setattr(Remote, "write", write)
    return written


def test_what_is_put_does_not_grow_with_the_journal(
    at: Open, tmp_path: Path, written: list[tuple[str, int]]
) -> None:
    journal, path = at("here"), tmp_path / "here" / "journal.log"
    for _ in range(40):
        text = grow(path, 2)
        journal.put(look)
        assert at("there").read() == text
    assert len(text) > 4 * PIECE
    assert max(size for _, size in written) <= PIECE
    assert len(written) <= 40 + len(text) // PIECE
    assert sorted({name for name, _ in written})[:2] == ["journal.log", "journal.log.0001"]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_death_between_two_pieces_leaves_a_beginning(
    at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    journal, path = at("here"), tmp_path / "here" / "journal.log"
    first = grow(path, 3)
    journal.put(look)
    text = grow(path, 15)
    assert len(text) // PIECE >= 3
    left = [after]

    def dying() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.put(dying)
    assert at("there").read() == first
    again = at("here")
    assert again.settle()
    again.put(look)
    assert at("there").read() == text


@pytest.mark.parametrize("torn", range(1, 2 * PIECE, 9))
def test_line_torn_at_the_url_leaves_nothing_behind_it(at: Open, tmp_path: Path, torn: int) -> None:
    path = tmp_path / "here" / "journal.log"
    journal = at("here")
    whole = grow(path, 4)
    with path.open("ab") as file:
        file.write(b"y" * torn)
    journal.put(look)
    other, copy = at("there"), tmp_path / "there" / "journal.log"
    assert not other.settle()
    copy.write_bytes(whole)  # as the driver does that opens it
    for _ in range(20):
        text = grow(copy, 1)
        other.put(look)
        assert at("third").read() == text


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_another_hand_is_noticed(at: Open, tmp_path: Path, size: int) -> None:
    path = tmp_path / "here" / "journal.log"
    journal = at("here")
    path.write_bytes(b"x" * size)
    journal.put(look)
    other = at("there")
    other.settle()
    assert not other.has_moved()
    with path.open("ab") as file:
        file.write(b"more\n")
    journal.put(look)
    assert other.has_moved()
    assert not journal.has_moved()
