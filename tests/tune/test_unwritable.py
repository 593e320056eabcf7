"""Places that take no more files; the limit on a file's size makes the system refuse for real."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seglib.checkpoint import load_checkpoint
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import UnwritableError
from seglib.files import require_room, write_whole, writing
from tests.tune.test_ledger import play, row
from tests.tune.test_trainable import build_config
from tune.ledger import Ledger
from tune.storage import open_storage, view_storage
from tune.study_file import load_study
from tune.trial import HALT, ROW, run_trial
from tune.trial_files import EPOCHS, LAST

pytestmark = pytest.mark.fault("disk")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, r"the disk is full \([\d,.]+ of [\d,.]+ MB free\)\. Free some space; then"),
        (errno.EDQUOT, r"the quota is used up \(.*\)\. Free some space; then the same command"),
        (errno.EROFS, r"it is read-only\. Make it writable; then the same command goes on"),
    ],
)
def test_refusal_names_place_room_and_cure(number: int, said: str, tmp_path: Path) -> None:
    place = tmp_path / "new" / "file"
    with (
        pytest.raises(UnwritableError, match=rf"^{place}: {said}") as caught,
        writing(tmp_path),
        writing(place),
    ):
        raise OSError(number, os.strerror(number))
    assert caught.value.exit_code == 1


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path):
        (tmp_path / "missing").read_bytes()


def test_room_is_asked_for_beforehand(tmp_path: Path) -> None:
    require_room(tmp_path, 0)
    with pytest.raises(UnwritableError, match="the disk is full"):
        require_room(tmp_path, 1e12)


def test_file_that_cannot_be_written_leaves_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "before")
    with files_of_at_most(100), pytest.raises(UnwritableError, match="no file may grow that large"):
        write_whole(tmp_path / "file", "x" * 101)
    assert (tmp_path / "file").read_text() == "before"
    assert names(tmp_path) == {"file"}


@pytest.mark.slow
def test_trial_that_cannot_write_halts_the_search_and_goes_on_with_the_same(
    store: Store, split: Split, tmp_path: Path
) -> None:
    def run(folder: Path, known: int = 0) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        run_trial(build_config(store, split, folder, known), sent.append)
        return sent

    with files_of_at_most(20_000):  # enough for a table, not for a checkpoint
        (sent,) = run(tmp_path / "trial")
    assert "last.pt: no file may grow that large" in sent[HALT]
    assert not {EPOCHS, "last.pt"} & names(tmp_path)
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]
    assert [one[ROW]["epoch"] for one in run(tmp_path / "trial")] == [1, 2, 3]
    run(tmp_path / "undisturbed")
    states = [load_checkpoint(tmp_path / one / LAST)[0] for one in ("trial", "undisturbed")]
    weights = [state["model"] for state in states]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_half_a_line_of_the_journal_is_taken_back(study_path: Path, tmp_path: Path) -> None:
    study, journal = load_study(study_path, demo=False), tmp_path / "journal.log"
    ledger = Ledger(study, open_storage(journal))
    first, second = ledger.ask(), ledger.ask()
    assert first is not None
    assert second is not None
    play(ledger, first, [0.1, 0.2, 0.3])
    whole = journal.read_bytes()
    with (
        files_of_at_most(len(whole) + 30),
        pytest.raises(UnwritableError, match=r"journal\.log: no file may grow"),
    ):
        ledger.report(second.number, row(1, 0.5))
    assert journal.read_bytes() == whole
    ledger.report(second.number, row(1, 0.5))  # there is room again
    assert len(Ledger(study, view_storage(journal)).entry(second.number).rows) == 1


def test_preparation_that_cannot_write_leaves_nothing_half_done(tmp_path: Path) -> None:
    spec = DataSpec(layout="phantom-xray", cases=2, image_size=64)
    prepare(spec, None, tmp_path)  # the phantoms stay
    with files_of_at_most(3000), pytest.raises(UnwritableError, match=r"stores/.*no file may"):
        prepare(spec.model_copy(update={"image_size": 64, "drop_empty": False}), None, tmp_path)
    left = [path.suffix for path in (tmp_path / "stores").iterdir()]
    assert sorted(left) == ["", ".lock", ".lock"]
