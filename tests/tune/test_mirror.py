"""A run directory at a URL: what a driver on another machine finds there, and who may write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from seglib.checkpoint import save_checkpoint
from seglib.data.store import Store
from seglib.errors import RunError, UnwritableError
from seglib.files import write_whole
from tests.tune.test_ledger import play, row
from tune import mirror as mirror_module
from tune import remote
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


@pytest.fixture
def far(tmp_path: Path) -> Path:
    return tmp_path / "far" / "tiny"


@pytest.fixture
def machine(tmp_path: Path, far: Path) -> Open:
    return lambda name: RunDirectory(tmp_path / name / "tiny", f"file://{far}")


def begin(folder: RunDirectory, study_path: Path, store: Store) -> Ledger:
    study = load_study(study_path, demo=False)
    folder.settle_study(study)
    ledger = Ledger(study, folder.settle_storage(None))
    folder.settle_splits(store, study)
    folder.write_environment(store)
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
        ledger = begin(first, study_path, store)
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
        again = begin(second, study_path, store)
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
        ledger = begin(folder, study_path, store)
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
    real = Remote.put
    monkeypatch.setattr(
        Remote, "put", lambda self, *words: (put.append(words[1]), real(self, *words))
    )
    monkeypatch.setattr(mirror_module, "SECONDS_BETWEEN", 1000.0)
    folder = machine("one")
    with folder.locked():
        ledger = begin(folder, study_path, store)
        order = ledger.ask()
        assert order is not None
        put.clear()
        for epoch in (1, 2, 3):
            ledger.report(order.number, row(epoch, 0.1))
        assert put == []
        ledger.finish(order.number)
        assert put == ["journal.log"]


def test_driver_that_was_cut_off_puts_nothing_once_another_has_the_run(
    machine: Open, far: Path, study_path: Path, store: Store
) -> None:
    first, second = machine("one"), machine("two")
    with first.locked():
        ledger = begin(first, study_path, store)
        assert ledger.ask() is not None
        with second.locked():
            other = begin(second, study_path, store)
            before = (far / "journal.log").read_bytes()
            with pytest.raises(UnwritableError, match=r"another search took this run over \(pid"):
                ledger.ask()
            assert (far / "journal.log").read_bytes() == before
            order = other.ask()
            assert order is not None
            assert order.number == 0
    with second.locked():
        assert len(begin(second, study_path, store).entries()) == len(other.entries())


def test_longer_journal_of_this_machine_is_kept(
    machine: Open, far: Path, study_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "SECONDS_BETWEEN", 1000.0)
    folder = machine("one")
    with dying(folder):
        ledger = begin(folder, study_path, store)
        order = ledger.ask()
        assert order is not None
        ledger.report(order.number, row(1, 0.4))
    assert read_entries("tiny", view_storage(far / "journal.log"))[0].rows == []
    again = machine("one")
    with again.locked():
        assert len(begin(again, study_path, store).entry(0).rows) == 1
    assert len(read_entries("tiny", view_storage(far / "journal.log"))[0].rows) == 1


def test_search_from_elsewhere_wins_over_what_is_here(
    machine: Open, study_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = machine("one"), machine("two")
    with first.locked():
        ledger = begin(first, study_path, store)
        order = ledger.ask()
        assert order is not None
        with second.locked():
            other = begin(second, study_path, store)
            taken = other.ask()
            assert taken is not None
            play(other, taken, [0.1, 0.2, 0.3])
        with pytest.raises(UnwritableError, match="took this run over"):
            ledger.finish(0, "the network is cut")
    third = machine("one")
    with third.locked():
        assert begin(third, study_path, store).entry(0).state == "COMPLETE"
    assert "another search went on from" in caplog.text


def test_checkpoints_of_the_beaten_go_from_the_url(
    machine: Open, far: Path, study_path: Path, store: Store
) -> None:
    study_path.write_text(study_path.read_text().replace("run_cap: 4", "run_cap: 8"))
    folder = machine("one")
    with folder.locked():
        ledger = begin(folder, study_path, store)
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
        ledger = begin(first, study_path, store)
        order = ledger.ask()
        assert order is not None
        put_trial(far, 0)
        play(ledger, order, [0.1, 0.2, 0.3])
    study_path.write_text(
        study_path.read_text().replace("epochs: {value: 3}", "epochs: {value: 5}")
    )
    second = machine("two")
    with second.locked():
        ledger = begin(second, study_path, store)
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
    said = r"file/tiny/driver\.json: the place does not answer"
    with pytest.raises(UnwritableError, match=said), folder.locked():
        pass
    assert not folder.path.exists()


def test_place_that_goes_away_is_waited_for_once(
    machine: Open, far: Path, study_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.3)
    folder = machine("one")
    with folder.locked():
        ledger = begin(folder, study_path, store)
        far.rename(far.with_name("away"))
        far.write_text("in the way")
        with pytest.raises(UnwritableError, match="Bring it back; then the same command goes on"):
            ledger.ask()
    far.unlink()
    far.with_name("away").rename(far)
    again = machine("one")
    with again.locked():
        order = begin(again, study_path, store).ask()
        assert order is not None
        assert order.number == 0


def test_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(RunError, match=r"pip install 'segtune\[s3\]', or s3fs"):
        Remote("s3://bucket/runs")
