"""What a trial works in dies: its process, by whatever hand, Ray's node, Ray's control process."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory

from seglib.data.splits import Split
from tests.chaos.driver import Driver, assert_sound, new_folder, scores_of
from tests.tune.test_ledger import open_ledger
from tune import trainable
from tune.entries import Entry
from tune.executor import Job, execute

pytestmark = [pytest.mark.slow, pytest.mark.fault("worker-killed")]


def kill(driver: Driver, name: str) -> None:
    """SIGKILL to one of Ray's own processes."""
    (process,) = [child for child in driver.children() if child.name() == name]
    process.kill()


def test_ray_that_dies_is_started_again_and_no_epoch_is_lost(
    tmp_path: Path, undisturbed: list[Entry]
) -> None:
    folder = new_folder(tmp_path)
    driver = Driver(folder)
    driver.wait_for("trial 0 epoch 4:")
    kill(driver, "raylet")
    driver.wait_for("trial 0: Ray died under it: Ray's node process died; it goes on after epoch")
    driver.wait_for("Ray's node process died; starting Ray again")
    driver.wait_for("trial 2 epoch 2:")
    kill(driver, "gcs_server")
    driver.wait_for("Ray's control process died; starting Ray again")
    assert driver.end() == 0, "".join(driver.lines)
    assert scores_of(assert_sound(folder)) == scores_of(undisturbed)
    told = "".join(driver.lines)
    for number in range(4):
        epochs = re.findall(rf"^trial {number} epoch (\d+):", told, re.MULTILINE)
        assert epochs == [str(epoch) for epoch in range(1, 13)]
    assert "raylet" not in told
    assert "Traceback" not in told


def dying(folder: Path) -> Callable[[dict[str, Any]], None]:
    """After its first epoch trial 0 needs all memory once, trial 1 always; 2 kills itself always.

    Trial 0 waits for trial 1 with that, so that they are two at once.
    """

    def train(config: dict[str, Any]) -> None:
        import os
        import signal
        import time

        import psutil
        from ray import tune as ray_tune

        def use_up_memory() -> None:
            held, most = [], psutil.virtual_memory().available // 2**26
            while len(held) < most * 3 // 4:
                held.append(b"x" * 2**26)
                time.sleep(0.02)

        number, begun, used_up = config["number"], folder / "begun", folder / "used-up"
        for epoch in range(config["num_reported"] + 1, 4):
            if epoch == 2 and number == 0 and not used_up.exists():
                while not begun.exists():
                    time.sleep(0.05)
                used_up.touch()
                use_up_memory()
            if epoch == 2 and number == 1:
                begun.touch()
                if config["num_reported"] == 0:
                    signal.pause()  # until it dies with trial 0
                use_up_memory()
            if epoch == 2 and number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            ray_tune.report({"row": {"epoch": epoch, "score": 0.5, "seconds": 0.01}})

    return train


def test_trials_that_die_each_time_fail_and_the_search_goes_on(
    study_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    total, used = get_system_memory(), get_used_memory()
    monkeypatch.setenv("RAY_memory_usage_threshold", str((used + (total - used) / 4) / total))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    monkeypatch.setattr(trainable, "train", dying(tmp_path))
    ledger = open_ledger(study_path, "run_cap=4", "early_terminate={type: none}")
    job = Job(tmp_path, tmp_path, Split(("a",), ("b",)), concurrent=2, retries=1)
    assert execute(ledger, job) == 0

    entries = ledger.entries()
    assert [entry.state for entry in entries] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    epochs = [[row["epoch"] for row in entry.rows] for entry in entries]
    assert epochs == [[1, 2, 3], [1], [1], [1, 2, 3]]
    use = r"[\d.]+ of [\d.]+ GB in use"
    assert re.fullmatch(f"killed by Ray's memory monitor 2 times: {use}", entries[1].reason)
    assert entries[2].reason == "its process died 2 times"

    # Ray ended trial 0 and perhaps trial 1 with it, the younger: after that there is one at a time
    told = [re.sub(use, "USE", record.getMessage()) for record in caplog.records]
    killed, again = "killed by Ray's memory monitor: USE", "it goes on after epoch 1"
    assert told[0] == f"trial 0: {killed}; {again}"
    assert "Ray's memory monitor ended a trial; starting Ray again, with 1 at a time" in told
    assert told[-4:] == [
        f"trial 1: {killed}; it is given up",
        "Ray's memory monitor ended a trial; starting Ray again",
        f"trial 2: its process died; {again}",
        "trial 2: its process died; it is given up",
    ]
    assert sum("trial 1: " in sentence for sentence in told) == 2
