"""`segtune stop RUN`: only who holds the lock gets the signal."""

from __future__ import annotations

import fcntl
import re
import signal
import socket
import subprocess
import sys

import pytest

from seglib.errors import RunError
from tests.chaos.driver import Driver, new_folder
from tune.cli import main
from tune.run_lock import is_held, owner_of
from tune.stop_run import stop_run

WAITER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]


@pytest.fixture
def stranger():
    """A process that has nothing to do with any search."""
    with subprocess.Popen(WAITER, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_where_nobody_is_at_work_nobody_is_stopped(tmp_path, stranger):
    with pytest.raises(RunError, match="nobody at work here"):
        stop_run(tmp_path)
    (tmp_path / "run.lock").write_text(f"pid {stranger.pid} on {socket.gethostname()}\n")
    with pytest.raises(RunError, match="nobody at work here"):
        stop_run(tmp_path)
    assert stranger.poll() is None
    with pytest.raises(RunError, match="no such folder"):
        stop_run(tmp_path / "none")


def test_search_of_another_machine_is_not_ours_to_stop(tmp_path, stranger):
    with (tmp_path / "run.lock").open("w") as lock:
        lock.write(f"pid {stranger.pid} on elsewhere\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match=r"at work elsewhere \(pid \d+ on elsewhere\)"):
            stop_run(tmp_path)
    assert stranger.poll() is None


def test_command_says_what_is_missing(capsys):
    assert main(["stop"]) == 2
    assert re.search("RUN: found nothing ; wanted a run directory", capsys.readouterr().err)


@pytest.mark.slow
def test_search_on_this_machine_ends_in_order(tmp_path, capsys):
    driver = Driver(new_folder(tmp_path))
    driver.wait_for(" epoch 2:")
    run = tmp_path / "runs" / "deaths"
    assert owner_of(run).startswith(f"pid {driver.process.pid} on ")
    assert main(["stop", str(run)]) == 0
    assert "what is trained so far is kept" in capsys.readouterr().out
    assert not is_held(run)
    assert driver.end() == 128 + signal.SIGTERM
    assert "interrupted: the same command goes on from here\n" in driver.lines
