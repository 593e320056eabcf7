"""A search that is asked to end says so, ends in time with the right exit code, and goes on."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.chaos.driver import Driver, assert_gone, assert_sound, finish, new_folder, scores_of
from tune.entries import Entry

pytestmark = [pytest.mark.slow, pytest.mark.fault("signal")]

IN_TERMINAL = "import fcntl, os, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + (
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def to_driver(driver: Driver, number: int) -> None:
    os.kill(driver.process.pid, number)


def to_group(driver: Driver, number: int) -> None:
    """As Ctrl-C and `timeout` do."""
    os.killpg(driver.process.pid, number)


def to_all(driver: Driver, number: int) -> None:
    """As a batch system does; Ray's processes are among them."""
    for process in [psutil.Process(driver.process.pid), *driver.children()]:
        process.send_signal(number)


def twice(driver: Driver, number: int) -> None:
    to_group(driver, number)
    driver.wait_for("stopping; what is trained so far is kept")
    to_group(driver, number)


Way = Callable[[Driver, int], None]

LIVES: tuple[tuple[str, Way, signal.Signals], ...] = (
    ("DEMO on generated phantoms", to_driver, signal.SIGTERM),  # data are prepared
    ("DEMO on generated phantoms", to_group, signal.SIGINT),
    ("run directory:", to_group, signal.SIGTERM),  # Ray starts
    ("run directory:", to_driver, signal.SIGINT),
    ("epoch 3:", to_group, signal.SIGINT),
    ("epoch 5:", to_group, signal.SIGTERM),
    ("epoch 7:", to_all, signal.SIGTERM),
    ("epoch 9:", twice, signal.SIGINT),
    ("epoch 2:", to_driver, signal.SIGHUP),
    ("best recipe:", to_group, signal.SIGTERM),  # the report is written
)


def test_search_ended_at_every_turn_finds_what_an_undisturbed_one_finds(
    tmp_path: Path, undisturbed: list[Entry]
) -> None:
    folder = new_folder(tmp_path)
    for moment, send, number in LIVES:
        driver = Driver(folder)
        driver.wait_for(moment)
        children = driver.children()
        started = time.monotonic()
        send(driver, number)
        code, told = driver.end(), "".join(driver.lines)
        assert code == 128 + number, f"{moment} {send.__name__} {number!r}:\n{told}"
        assert time.monotonic() - started < 30
        assert "stopping; what is trained so far is kept" in told
        assert "Traceback" not in told
        if send in (to_driver, to_group):
            assert "the same command goes on from here" in told
        assert_gone(children, seconds=15)
    told = "".join(finish(folder).lines)
    assert "nothing is left to train" in told
    assert (folder / "runs" / "deaths" / "report.html").exists()
    assert scores_of(assert_sound(folder)) == scores_of(undisturbed)


def test_closed_terminal_ends_the_search_in_order(tmp_path: Path, undisturbed: list[Entry]) -> None:
    folder = new_folder(tmp_path)
    ours, theirs = pty.openpty()
    script = Path(__file__).parents[2] / "tune" / "run.py"
    search = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, str(script), "--space", "deaths.yaml"],
        cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    while not re.search(r"[2-9]/12", shown):
        shown += os.read(ours, 4096).decode(errors="replace")
    os.close(ours)
    assert search.wait(timeout=30) == 128 + signal.SIGHUP
    finish(folder)
    assert scores_of(assert_sound(folder)) == scores_of(undisturbed)
