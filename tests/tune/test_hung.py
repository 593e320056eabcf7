"""A trial that hangs is ended and goes on. Only the last test starts Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from seglib.data.splits import Split
from tests.tune.test_ledger import open_ledger, row
from tune import trainable
from tune.adapters import LedgerSearcher
from tune.deaths import Deaths
from tune.executor import Job, execute
from tune.interruption import Interruption
from tune.patience import Patience
from tune.trial import READY, ROW
from tune.watch import Watchdog

PATIENCE = Patience(own_s=10, others_s=100, unknown_s=1000)


def test_place_that_is_away_for_a_moment_is_waited_for_beside_all_that() -> None:
    patience = replace(PATIENCE, away_s=7)
    assert patience.limit_s([], None) == 1007
    assert patience.limit_s([], 5) == 107
    assert patience.limit_s([1, 1], 5) == 17


@pytest.mark.parametrize(
    ("own", "slowest_s", "limit_s"),
    [
        ([], None, 1000),
        ([], 5, 100),
        ([], 50, 500),
        ([0.1], 0.1, 100),
        ([0.1, 0.1], 50, 10),
        ([3, 4, 500], 500, 40),
    ],
)
def test_limit_follows_from_what_is_known(
    own: list[float], slowest_s: float | None, limit_s: float
) -> None:
    assert PATIENCE.limit_s(own, slowest_s) == limit_s


class Watch:
    """A watchdog over one trial of a ledger, on a clock that is set by hand."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.killed = 0.0, list[object]()
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("ray.kill", self.killed.append)
        self.ledger = open_ledger(path)
        job = Job(path.parent, path.parent, Split(("a",), ("b",)), retries=1)
        self.searcher = LedgerSearcher(self.ledger, job, [], Interruption(), deaths=Deaths(1))
        self.dog = Watchdog(self.ledger, self.searcher, PATIENCE)
        state = SimpleNamespace(ray_actor="actor")
        config = self.searcher.suggest("a")
        self.trial = SimpleNamespace(trial_id="a", config=config, temporary_state=state)

    def start(self, *, ready: bool = True) -> None:
        self.dog.on_trial_start(0, [self.trial], self.trial)
        if ready:
            self.get_ready()

    def get_ready(self) -> None:
        told = {READY: True}
        assert self.searcher.record("a", told) is False
        self.dog.on_trial_result(0, [self.trial], self.trial, told)

    def report(self, epoch: int) -> None:
        told = row(epoch, 0.5)
        self.searcher.record("a", {f"{ROW}/{key}": value for key, value in told.items()})
        self.dog.on_trial_result(0, [self.trial], self.trial, {ROW: told})

    def wait(self, seconds: int) -> int:
        """How many were killed so far, after so long."""
        for _ in range(seconds):
            self.now += 1.0
            self.dog.on_step_end(0, [self.trial])
        return len(self.killed)


@pytest.fixture
def watch(study_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(study_path, monkeypatch)


def test_first_epoch_of_all_has_the_longest_time(watch: Watch) -> None:
    watch.start()
    assert watch.wait(999) == 0
    assert watch.wait(2) == 1


def test_each_epoch_has_its_time_anew(watch: Watch) -> None:
    watch.start()
    watch.report(1)
    watch.report(2)
    assert watch.wait(9) == 0
    watch.report(2)  # said again: it lives
    assert watch.wait(9) == 0
    assert watch.wait(2) == 1


def test_trial_that_fetches_its_data_has_the_longest_time(watch: Watch) -> None:
    watch.start()
    for epoch in (1, 2):
        watch.report(epoch)
    watch.start(ready=False)  # on a new machine; its process reports what was trained before
    watch.report(2)
    assert watch.wait(999) == 0
    watch.get_ready()
    assert watch.wait(99) == 0
    assert watch.wait(2) == 1


def test_saving_and_uploading_belong_to_an_epoch(watch: Watch) -> None:
    watch.start()
    for epoch in (1, 2):
        watch.wait(8)
        watch.report(epoch)  # half a second of training
    assert watch.wait(79) == 0
    assert watch.wait(2) == 1


def test_scoring_after_the_last_epoch_has_the_longest_time(watch: Watch) -> None:
    watch.start()
    for epoch in range(1, watch.trial.config["recipe"]["epochs"] + 1):
        watch.report(epoch)
    assert watch.wait(999) == 0
    assert watch.wait(2) == 1


def test_trial_that_starts_again_has_its_time_anew(watch: Watch) -> None:
    watch.start()
    watch.report(1)
    assert watch.wait(99) == 0
    watch.start()  # one epoch in the ledger
    assert watch.wait(99) == 0
    assert watch.wait(2) == 1


def test_process_that_lives_on_is_killed_again(watch: Watch) -> None:
    watch.start()
    watch.report(1)
    assert watch.wait(102) == 1
    assert watch.wait(102) == 2


@pytest.mark.parametrize("end", ["on_trial_complete", "on_trial_recover", "on_trial_error"])
def test_trial_that_is_over_is_not_killed(watch: Watch, end: str) -> None:
    watch.start()
    getattr(watch.dog, end)(0, [watch.trial], watch.trial)
    assert watch.wait(2000) == 0


def test_driver_that_slept_blames_no_trial(watch: Watch) -> None:
    watch.start()
    watch.now += 1e6
    assert watch.wait(1) == 0


def test_reason_is_told_only_if_it_hung_the_last_time(watch: Watch) -> None:
    watch.start()
    watch.wait(1001)
    watch.report(1)
    watch.searcher.on_trial_complete("a", None, error=True)
    assert watch.ledger.entry(0).reason == "its process died 1 time"


def test_trial_that_hung_too_often_fails_with_the_reason(watch: Watch) -> None:
    watch.start()
    watch.wait(1001)
    watch.searcher.on_trial_complete("a", None, error=True)
    assert watch.ledger.entry(0).reason == "hung 1 time: no epoch within 1000 s"


def hanging(folder: Path) -> Callable[[dict[str, Any]], None]:
    """In its second epoch trial 0 hangs once, trial 1 each time, in C and deaf to everything.

    Trial 2 is stopped, as Ctrl-Z or a debugger stops it: such a process answers nobody.
    """

    def train(config: dict[str, Any]) -> None:
        import ctypes
        import os
        import signal

        from ray import tune as ray_tune

        number = config["number"]
        ray_tune.report({"ready": True})
        for epoch in (1, 2, 3):
            mark = folder / f"hung-{number}"
            if epoch == 2 and (number == 1 or not mark.exists()):
                with mark.open("a") as file:
                    file.write(f"{os.getpid()}\n")
                if number == 2:
                    os.kill(os.getpid(), signal.SIGSTOP)
                ctypes.PyDLL(None).pause()  # never gives the interpreter back
            ray_tune.report({"row": {"epoch": epoch, "score": 0.5, "seconds": 0.01}})

    return train


@pytest.mark.slow
@pytest.mark.fault("hung")
def test_hung_process_is_ended_and_another_goes_on(
    study_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(study_path, "run_cap=3", "early_terminate={type: none}")
    monkeypatch.setattr(trainable, "train", hanging(tmp_path))
    split, patience = Split(("a",), ("b",)), Patience(own_s=3, others_s=3)
    job = Job(tmp_path, tmp_path, split, retries=1, patience=patience)
    assert execute(ledger, job) == 0
    first, second, third = ledger.entries()
    for entry in (first, third):
        assert (entry.state, [one["epoch"] for one in entry.rows]) == ("COMPLETE", [1, 2, 3])
    assert (second.state, second.reason) == ("FAIL", "hung 2 times: no epoch within 3 s")
    pids = [(tmp_path / f"hung-{number}").read_text().split() for number in (0, 1, 2)]
    assert [len(one) for one in pids] == [1, 2, 1]
    assert not any(psutil.pid_exists(int(pid)) for one in pids for pid in one)


def slow_to_end(config: dict[str, Any]) -> None:
    """After its last epoch each trial has things to put away for a second."""
    import os
    import threading

    from ray import tune as ray_tune

    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "0"
    try:
        ray_tune.report({"ready": True})
        for epoch in (1, 2, 3):
            score = 0.5 - 0.1 * config["number"]
            ray_tune.report({"row": {"epoch": epoch, "score": score, "seconds": 0.01}})
    finally:
        threading.Event().wait(1)


@pytest.mark.slow
def test_trial_whose_process_was_still_busy_gets_another(
    study_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ray gives such a trial up without a word to anybody: the search would never end."""
    ledger = open_ledger(study_path, "run_cap=3", "early_terminate={type: none}")
    monkeypatch.setattr(trainable, "train", slow_to_end)
    job = Job(tmp_path, tmp_path, Split(("a",), ("b",)), retries=1, concurrent=1)
    assert execute(ledger, job) == 0
    assert [entry.state for entry in ledger.entries()] == ["COMPLETE"] * 3
    assert "its process was busy with the trial before; it begins again" in caplog.text
