"""One search per run directory: the second is told who the first is; dead ones hold nothing."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.chaos.driver import Driver, assert_sound, new_folder, scores_of
from tune.entries import Entry


@pytest.mark.slow
@pytest.mark.fault("two-drivers")
def test_second_driver_is_refused_and_the_first_goes_on_undisturbed(
    tmp_path: Path, undisturbed: list[Entry]
) -> None:
    folder = new_folder(tmp_path)
    lock = folder / "runs" / "deaths" / "run.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("pid 1 on a-host-that-lost-its-power\n")
    first = Driver(folder)
    first.wait_for("trial 0 epoch 2:")
    first.process.send_signal(signal.SIGSTOP)  # or it might be done before the second begins
    for _ in range(2):
        second = Driver(folder)
        assert second.end() == 2
        told = "".join(second.lines)
        holder = f"pid {first.process.pid} on {socket.gethostname()}"
        assert f"run.lock: found a search at work here ({holder})" in told
        assert "Traceback" not in told
    first.process.send_signal(signal.SIGCONT)
    assert first.end() == 0, "".join(first.lines)
    assert "a-host-that-lost-its-power" not in "".join(first.lines)
    assert scores_of(assert_sound(folder)) == scores_of(undisturbed)
