"""Nothing is lost: a search is killed in the middle, and the same command finishes it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from seglib.data.prepare import prepare
from tests.chaos.driver import (
    EPOCHS,
    STUDY,
    Driver,
    assert_gone,
    assert_sound,
    entries_of,
    finish,
    new_folder,
    scores_of,
)
from tune.entries import Entry
from tune.executor import Job
from tune.ledger import Ledger
from tune.run_directory import RunDirectory
from tune.study_file import load_study
from tune.trial import FINAL, ROW, run_trial

pytestmark = pytest.mark.slow


@pytest.mark.fault("driver-killed")
def test_killed_driver_goes_on_and_finds_the_same(tmp_path: Path, undisturbed: list[Entry]) -> None:
    folder = new_folder(tmp_path)
    first = Driver(folder)
    first.wait_for("trial 0 COMPLETE")
    first.wait_for("trial 2 epoch 3:")
    left_behind = first.kill()
    before = {entry.number: entry for entry in entries_of(folder)}
    assert before[0].state == "COMPLETE"
    assert before[2].state == "RUNNING"

    second = finish(folder)
    told = "".join(second.lines)
    assert "trial 0 starts" not in told
    assert "trial 0 epoch" not in told
    assert "trial 2 starts (goes on after epoch" in told
    assert "trial 2 epoch 1:" not in told
    entries = assert_sound(folder)
    assert entries[0].rows == before[0].rows
    assert scores_of(entries) == scores_of(undisturbed)
    assert [entry.values for entry in entries] == [entry.values for entry in undisturbed]
    # Ray's own agents notice last; a minute after the driver's death was measured
    assert_gone(left_behind, seconds=150)


@pytest.mark.fault("signal")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_driver_says_so_and_goes_on(
    tmp_path: Path, undisturbed: list[Entry], number: signal.Signals, code: int
) -> None:
    folder = new_folder(tmp_path)
    first = Driver(folder)
    first.wait_for("trial 1 epoch 4:")
    children = first.children()
    first.send(number)
    assert first.end() == code
    assert "the same command goes on from here" in "".join(first.lines)
    assert_gone(children, seconds=30)
    finish(folder)
    entries = assert_sound(folder)
    assert scores_of(entries) == scores_of(undisturbed)


@pytest.mark.fault("worker-killed")
def test_killed_worker_is_replaced_and_its_trial_goes_on(
    tmp_path: Path, undisturbed: list[Entry]
) -> None:
    folder = new_folder(tmp_path)
    driver = Driver(folder)
    driver.wait_for("trial 0 epoch 4:")
    workers = [child for child in driver.children() if child.name().startswith("ray::Implicit")]
    assert workers
    for worker in workers:
        worker.kill()
    assert driver.end() == 0, "".join(driver.lines)
    entries = assert_sound(folder)
    assert scores_of(entries) == scores_of(undisturbed)


@pytest.mark.fault("driver-killed")
def test_trial_that_died_after_its_last_epoch_ends_complete_without_another(tmp_path: Path) -> None:
    (tmp_path / "deaths.yaml").write_text(STUDY.replace("run_cap: 4", "run_cap: 1"))
    study = load_study(tmp_path / "deaths.yaml", demo=False)
    folder = RunDirectory(tmp_path / "runs" / "deaths")
    folder.settle_study(study)
    store = prepare(study.data, None, tmp_path / "runs" / ".cache")
    ledger = Ledger(study, folder.settle_storage(None))
    split = folder.settle_splits(store, study).search_part()
    folder.write_environment(store)
    order = ledger.ask()
    assert order is not None

    def die_after_the_last(sent: dict[str, Any]) -> None:
        ledger.report(order.number, sent[ROW])
        if sent[ROW]["epoch"] == EPOCHS:
            raise SystemExit

    with pytest.raises(SystemExit):
        run_trial(Job(folder.path, store.path, split).config(order, ledger), die_after_the_last)
    assert not (folder.path / "trials" / "0" / FINAL).exists()
    told = "".join(finish(tmp_path).lines)
    assert f"trial 0 starts (goes on after epoch {EPOCHS})" in told
    assert "trial 0 epoch" not in told
    assert_sound(tmp_path, trials=1)
    assert (folder.path / "trials" / "0" / FINAL).exists()
