"""A run directory at a URL: what a driver on another machine finds there."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fsspec.registry import _registry as known_to_fsspec

from seglib.checkpoint import save_checkpoint
from seglib.data.store import Store
from seglib.errors import RunError, UnwritableError
from seglib.files import write_whole
from tests.tune.test_ledger import play, row
from tune import mirror as mirror_module
from tune import remote
from tune.cli import main
from tune.entries import read_entries
from tune.extension import extend_trials
from tune.ledger import Ledger
from tune.remote import Remote
from tune.report_writer import ReportWriter
from tune.retention import KEPT, CheckpointKeeper
from tune.run_directory import RunDirectory
from tune.storage import view_storage
from tune.study_file import load_study
from tune.trial_files import BEST, CASES, EPOCHS, LAST, RECIPE

Open = Callable[..., RunDirectory]


class _MachineGoneError(Exception):
    """No exception of ours, so that nothing more is put, as after a power cut."""


@contextmanager
def dying(folder: RunDirectory) -> Iterator[None]:
    with suppress(_MachineGoneError), folder.locked():
        yield
        raise _MachineGoneError


def begin_at(folder: RunDirectory, study_path: Path, store: Store) -> Ledger:
    study = load_study(study_path, demo=False)
    folder.settle_study(study)
    ledger = Ledger(study, folder.settle_storage(None))
    folder.settle_splits(store, study)
    folder.take_over()
    assert folder.mirror is not None
    folder.write_environment(store)
    folder.mirror.push()
    return ledger


def put_trial(far: Path, number: int, rows: int = 3) -> None:
    """What a worker elsewhere leaves at the URL."""
    for name in (BEST, LAST):
        state = {"rows": [{"epoch": epoch} for epoch in range(1, rows + 1)]}
        save_checkpoint(state, far / "trials" / str(number) / name)
    write_whole(far / "trials" / str(number) / CASES, f"case,dice\na,{number}\n")
    write_whole(far / "trials" / str(number) / EPOCHS, "epoch\n1\n")


def test_driver_on_another_machine_goes_on_with_nothing_but_the_url(
    machine: Open, far: Path, study_path: Path, store: Store
) -> None:
    first = machine("one")
    with dying(first):
        ledger = begin_at(first, study_path, store)
        order = ledger.ask()
        assert order is not None
        writer = ReportWriter(ledger, first)
        for observer in (writer, first.mirror):
            observer.started(order)
        ledger.report(order.number, row(1, 0.4))
        put_trial(far, order.number)
        ledger.finish(order.number)
        for observer in (writer, first.mirror):
            observer.finished(order.number)
        second_order = ledger.ask()
        assert second_order is not None
    assert (first.path / "trials" / "0" / CASES).read_text() == "case,dice\na,0\n"

    second = machine("two")
    with second.locked():
        again = begin_at(second, study_path, store)
        assert [entry.state for entry in again.entries()][:2] == ["COMPLETE", "RUNNING"]
        assert len(second.starts()) == 2
        taken = again.ask()
        assert taken is not None
        assert (taken.number, taken.recipe) == (second_order.number, second_order.recipe)
    for name in ("study.yaml", "splits.json", "leaderboard.csv"):
        assert (second.path / name).read_bytes() == (first.path / name).read_bytes(), name
    for name in (RECIPE, CASES, EPOCHS):
        there = (far / "trials" / "0" / name).read_bytes()
        assert (second.path / "trials" / "0" / name).read_bytes() == there
    assert not (second.path / "trials" / "0" / LAST).exists()


def test_each_start_and_end_of_a_trial_is_there_before_anything_else_happens(
    machine: Open, far: Path, study_path: Path, store: Store
) -> None:
    folder = machine("one")
    with folder.locked():
        ledger = begin_at(folder, study_path, store)
        for number in range(2):
            order = ledger.ask()
            assert order is not None
            entries = read_entries("tiny", view_storage(far / "journal.log"))
            assert entries[number].state == "RUNNING"
            play(ledger, order, [0.1, 0.2, 0.3])
            entries = read_entries("tiny", view_storage(far / "journal.log"))
            assert entries[number].state == "COMPLETE"
            assert len(entries[number].rows) == 3


def test_epochs_are_put_together(
    machine: Open, study_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    real = Remote.write

    def write(self: Remote, name: str, *words: Any, **more: Any) -> None:
        put.append(name)
        real(self, name, *words, **more)

    monkeypatch.setattr(Remote, "write", write)
    monkeypatch.setattr(mirror_module, "SECONDS_BETWEEN", 1000.0)
    folder = machine("one")
    with folder.locked():
        ledger = begin_at(folder, study_path, store)
        order = ledger.ask()
        assert order is not None
        put.clear()
        for epoch in (1, 2, 3):
            ledger.report(order.number, row(epoch, 0.1))
        assert put == []
        ledger.finish(order.number)
        assert put == ["journal.log"]


def test_longer_journal_of_this_machine_is_kept(
    machine: Open, far: Path, study_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "SECONDS_BETWEEN", 1000.0)
    folder = machine("one")
    with dying(folder):
        ledger = begin_at(folder, study_path, store)
        order = ledger.ask()
        assert order is not None
        ledger.report(order.number, row(1, 0.4))
    assert read_entries("tiny", view_storage(far / "journal.log"))[0].rows == []
    again = machine("one")
    with again.locked():
        assert len(begin_at(again, study_path, store).entry(0).rows) == 1
    assert len(read_entries("tiny", view_storage(far / "journal.log"))[0].rows) == 1


def test_checkpoints_of_the_beaten_go_from_the_url(
    machine: Open, far: Path, study_path: Path, store: Store
) -> None:
    study_path.write_text(study_path.read_text().replace("run_cap: 4", "run_cap: 8"))
    folder = machine("one")
    with folder.locked():
        ledger = begin_at(folder, study_path, store)
        keeper = CheckpointKeeper(ledger, folder.path, None, folder.mirror)
        for number in range(KEPT + 2):
            order = ledger.ask()
            assert order is not None
            keeper.started(order)
            put_trial(far, number)
            play(ledger, order, [0.1 + number / 100] * 3)
            keeper.finished(number)
    kept = [(far / "trials" / str(n) / LAST).exists() for n in range(KEPT + 2)]
    assert kept == [False, False] + [True] * KEPT
    assert not (far / "trials" / "0" / BEST).exists()
    assert all((far / "trials" / str(n) / CASES).exists() for n in range(KEPT + 2))


def test_trial_goes_on_from_a_checkpoint_at_the_url(
    machine: Open, far: Path, study_path: Path, store: Store
) -> None:
    first = machine("one")
    with first.locked():
        ledger = begin_at(first, study_path, store)
        order = ledger.ask()
        assert order is not None
        put_trial(far, 0)
        play(ledger, order, [0.1, 0.2, 0.3])
    study_path.write_text(
        study_path.read_text().replace("epochs: {value: 3}", "epochs: {value: 5}")
    )
    second = machine("two")
    with second.locked():
        ledger = begin_at(second, study_path, store)
        (sentence,) = extend_trials(ledger, second.path, 1, second.mirror)
        number = int(sentence.split()[1].rstrip(":"))
    assert (far / "trials" / str(number) / LAST).read_bytes() == (
        far / "trials" / "0" / LAST
    ).read_bytes()


def test_place_that_cannot_be_written_to_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "_SECONDS_FOR_THE_FIRST_ANSWER", 0.3)
    (tmp_path / "file").write_text("in the way")
    folder = RunDirectory(tmp_path / "one", f"file://{tmp_path}/file/tiny")
    said = r"file/tiny/begin-\w+\.tmp: the place does not answer"
    with pytest.raises(UnwritableError, match=said), folder.locked():
        pass
    assert not folder.path.exists()


def test_place_that_goes_away_is_waited_for_once(
    machine: Open, far: Path, study_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.3)
    folder = machine("one")
    with folder.locked():
        ledger = begin_at(folder, study_path, store)
        far.rename(far.with_name("away"))
        far.write_text("in the way")
        with pytest.raises(UnwritableError, match="Bring it back; then the same command goes on"):
            ledger.ask()
    far.unlink()
    far.with_name("away").rename(far)
    again = machine("one")
    with again.locked():
        order = begin_at(again, study_path, store).ask()
        assert order is not None
        assert order.number == 0


def test_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # fsspec remembers the class, should another test have used it before
    monkeypatch.delitem(known_to_fsspec, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(
        RunError, match=r"pip install -e '\.\[s3\]' in segtune's checkout, or pip install s3fs"
    ):
        Remote("s3://bucket/runs")


def test_bucket_or_keys_that_are_missing_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs")
    with pytest.raises(RunError, match="without a bucket"):
        Remote("s3:///runs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RunError, match="AWS_ACCESS_KEY_ID"):
        Remote("s3://bucket/runs").read("study.yaml")


def test_status_of_a_url_shows_what_is_there_and_writes_nothing(
    machine: Open, far: Path, study_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = machine("one")
    with folder.locked():
        ledger = begin_at(folder, study_path, store)
        for _ in range(2):
            order = ledger.ask()
            assert order is not None
            play(ledger, order, [0.1, 0.2, 0.3])
        assert ledger.ask() is not None
        os.utime(far / "journal.log", (time.time() - 3723,) * 2)
        before = {path: path.stat().st_mtime_ns for path in far.parent.rglob("*")}
        for url in (f"file://{far}", f"file://{far.parent}/"):
            assert main(["status", url]) == 0
            said = capsys.readouterr().out
            assert "tiny: 2 of 4 trials ended (2 complete); last written 1:02:0" in said
            assert f"begun last by pid {os.getpid()} on " in said
            assert "no process is at it" not in said
        assert {path: path.stat().st_mtime_ns for path in far.parent.rglob("*")} == before
    assert not list(Path(tempfile.gettempdir()).glob("segtune-view-*"))


def test_what_is_no_run_at_a_url_is_told(far: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", f"file://{far}"]) == 2
    assert "run: found no study.yaml, there or one folder down" in capsys.readouterr().err
    assert main(["report", f"file://{far}"]) == 2
    assert "its working copy: OUT/NAME" in capsys.readouterr().err
