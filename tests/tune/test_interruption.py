from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tune.interruption import Interrupted, Interruption

pytestmark = pytest.mark.fault("signal")

KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("kind", KINDS)
def test_signal_ends_what_nobody_waits_for_at_once(kind: signal.Signals) -> None:
    interruption = Interruption()
    with interruption.listening(), pytest.raises(Interrupted, match=r"^$"):
        os.kill(os.getpid(), kind)
    assert (interruption.is_signal, interruption.exit_code) == (True, 128 + kind)


@pytest.mark.parametrize("kind", KINDS)
def test_signal_is_only_noted_while_a_block_looks_for_it(kind: signal.Signals) -> None:
    interruption = Interruption()
    with interruption.listening():
        with interruption.winding_down():
            os.kill(os.getpid(), kind)
            assert interruption.is_set
        os.kill(os.getpid(), signal.SIGTERM)  # the first one counts, and has been heard
    assert interruption.exit_code == 128 + kind


def test_what_is_kept_is_said_in_words_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    for interruption in (Interruption(), Interruption("the masks stay")):
        with interruption.winding_down():
            interruption.note(signal.SIGTERM, None)
    told = capfd.readouterr().err.split("\n")
    assert [line for line in told if line] == [
        "stopping; what is trained so far is kept", "stopping; the masks stay",
    ]  # fmt: skip


def test_handlers_are_what_they_were_afterwards() -> None:
    before = [signal.getsignal(kind) for kind in KINDS]
    interruption = Interruption()
    with interruption.listening(), interruption.listening(), interruption.winding_down():
        assert [signal.getsignal(kind) for kind in KINDS] != before
    assert [signal.getsignal(kind) for kind in KINDS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_signal_that_was_ignored_stays_ignored() -> None:
    """`nohup` does so with SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        interruption = Interruption()
        with interruption.listening():
            os.kill(os.getpid(), signal.SIGHUP)
        assert not interruption.is_set
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signal_that_python_cannot_raise_is_noted_without_a_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Finaliser:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    interruption = Interruption()
    with interruption.listening():
        Finaliser()
    assert interruption.exit_code == 143
    assert "Traceback" not in capfd.readouterr().err


def test_second_interrupt_ends_at_once() -> None:
    code = (
        "import os, signal; from tune.interruption import Interruption\n"
        "with (one := Interruption()).listening(), one.winding_down():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('never said', flush=True)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (130, "still here\n")


def test_second_signal_of_another_kind_keeps_the_first() -> None:
    interruption = Interruption()
    with interruption.winding_down():
        interruption.note(signal.SIGINT, None)
        interruption.note(signal.SIGTERM, None)
    assert interruption.exit_code == 130


def test_signal_counts_more_than_a_full_disk() -> None:
    interruption = Interruption()
    interruption.halt("no space left")
    assert (interruption.is_set, interruption.exit_code) == (True, 1)
    with interruption.winding_down():
        interruption.note(signal.SIGTERM, None)
    interruption.halt("no space left")
    assert interruption.exit_code == 143


DEAF = """\
import hashlib, os, signal, sys, threading
from tune import interruption
interruption._SECONDS_TO_END = 0.2
def send():
    for number in map(int, sys.argv[1:]):
        os.kill(os.getpid(), number)
with interruption.Interruption().listening():
    threading.Timer(0.1, send).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # many minutes in C, deaf to signals
"""


@pytest.mark.parametrize(("numbers", "code"), [(["15"], 143), (["15", "2"], 130), (["1"], 129)])
def test_process_that_hears_nothing_ends_in_time_all_the_same(
    numbers: list[str], code: int
) -> None:
    done = subprocess.run([sys.executable, "-c", DEAF, *numbers], timeout=60, check=False)
    assert done.returncode == code
