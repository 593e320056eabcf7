from __future__ import annotations

from pathlib import Path

import pytest

from seglib.errors import RunError
from tests.tune.test_ledger import open_ledger, play, row
from tune.entries import read_entries
from tune.ledger import Ledger
from tune.storage import open_storage, view_storage
from tune.study_file import load_study


@pytest.fixture
def journal(study_path: Path) -> Path:
    ledger = open_ledger(study_path)
    first, second = ledger.ask(), ledger.ask()
    assert first is not None
    assert second is not None
    play(ledger, first, [0.1, 0.2, 0.3])
    ledger.report(second.number, row(1, 0.4))
    return study_path.parent / "journal.log"


def test_view_shows_what_the_ledger_knows(journal: Path, study_path: Path) -> None:
    seen = read_entries("tiny", view_storage(journal))
    assert [entry.state for entry in seen] == ["COMPLETE", "RUNNING"]
    assert seen == open_ledger(study_path).entries()


def test_view_writes_nothing_and_needs_no_lock(journal: Path) -> None:
    journal.with_name("journal.log.flock").unlink()
    journal.parent.chmod(0o500)
    before = (journal.read_bytes(), journal.stat().st_mtime_ns, sorted(journal.parent.iterdir()))
    read_entries("tiny", view_storage(journal))
    after = (journal.read_bytes(), journal.stat().st_mtime_ns, sorted(journal.parent.iterdir()))
    journal.parent.chmod(0o700)
    assert after == before


def test_view_leaves_out_a_line_that_is_being_written(journal: Path) -> None:
    whole = read_entries("tiny", view_storage(journal))
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    assert read_entries("tiny", view_storage(journal)) == whole
    assert journal.read_bytes().endswith(b'"wor')


def test_view_of_a_study_not_begun_is_empty(journal: Path) -> None:
    assert read_entries("another", view_storage(journal)) == []


def test_view_of_a_missing_journal_makes_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"journal\.log: found no such file"):
        view_storage(tmp_path / "journal.log")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("garbage", [b"garbage", b"\x00\x00\x00", b"7", b'{"op_code": '])
@pytest.mark.parametrize("opening", [open_storage, view_storage])
def test_damaged_line_is_named_and_the_file_left_alone(
    opening: type, garbage: bytes, journal: Path
) -> None:
    lines = journal.read_bytes().split(b"\n")
    lines[4] = garbage
    journal.write_bytes(b"\n".join(lines) + b"torn off")
    before = journal.read_bytes()
    with pytest.raises(RunError, match=r"line 5: found .* ; wanted what a search wrote"):
        opening(journal)
    assert journal.read_bytes() == before


@pytest.mark.fault("driver-killed")
def test_torn_last_line_is_said_once(journal: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = read_entries("tiny", view_storage(journal))
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    open_storage(journal)
    assert "journal.log: the last line was cut off in the middle (19 bytes)" in caplog.text
    caplog.clear()
    open_storage(journal)
    assert not caplog.records
    assert read_entries("tiny", view_storage(journal)) == whole


def test_line_that_optuna_does_not_understand_is_refused(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b'{"op_code": 99, "worker_id": "x"}\n')
    with pytest.raises(RunError, match="lines that contradict each other"):
        open_storage(journal)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "nonsense"),
        ("oracle9://u:secret@host/db", r"oracle9://u:\*\*\*@host/db"),
        ("sqlite:////no/such/folder/x.db", "unable to open database file"),
        ("postgresql+psycopg2://u:secret@127.0.0.1:1/db", r"u:\*\*\*@127.* ; wanted postgresql://"),
        ("mysql+pymysql://u:secret@127.0.0.1:1/db", r"u:\*\*\*@127"),
    ],
)
def test_database_that_cannot_be_used_is_told_without_the_password(url: str, said: str) -> None:
    with pytest.raises(RunError, match=said) as caught:
        open_storage(url)
    assert "--storage" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_database_remembers_as_a_journal_does(study_path: Path) -> None:
    url = f"sqlite:///{study_path.parent}/search.db"
    ledger = Ledger(load_study(study_path, demo=False), open_storage(url))
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.1, 0.2, 0.3])
    assert read_entries("tiny", view_storage(url)) == ledger.entries()
