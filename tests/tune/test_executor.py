from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from seglib.data.splits import Split
from seglib.errors import RunError
from tests.tune.test_ledger import open_ledger, row
from tune import executor
from tune.executor import Job, check_address, execute
from tune.interruption import Interruption
from tune.ledger import Ledger


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path, tmp_path, Split(("a",), ("b",)))


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    @contextmanager
    def nothing(job: Job) -> Iterator[None]:
        yield

    monkeypatch.setattr(executor, "_running_ray", nothing)
    return monkeypatch


def epoch_of(ledger: Ledger) -> None:
    """Report one more epoch of the next trial."""
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, row(order.num_reported + 1, 0.5))


@pytest.mark.parametrize(
    "address", ["nonsense", "ray://head:10001", ":6379", "head:", "head:port", "127.0.0.1:99999999"]
)
def test_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(RunError, match="--address: found"):
        check_address(address)


def test_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can be there
        port = held.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(RunError, match=rf"127\.0\.0\.1:{port} \(.*refused"):
            check_address(f"127.0.0.1:{port}")
    assert time.monotonic() - started < executor._SECONDS_TO_CONNECT


def test_address_where_somebody_listens_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
    check_address("local")
    check_address("auto")


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1"])
def test_cluster_that_is_not_there_ends_the_first_start_without_another(
    address: str, study_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    starts = []

    def init(**options: object) -> None:
        starts.append(options["address"])
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RunError, match=r"--address: found .*Could not find any"):
        execute(open_ledger(study_path), replace(job, address=address))
    assert starts == [address]


def test_executor_that_fails_without_progress_is_given_up(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts = []

    def fail(*args: object) -> None:
        starts.append(1)
        raise RuntimeError("the raylet died\nwith a long story")

    no_ray.setattr(executor, "_run_tuner", fail)
    assert execute(open_ledger(study_path), job) == 1
    assert len(starts) == executor.MOST_RESTARTS + 1
    assert "the raylet died" in caplog.text
    assert "long story" not in caplog.text


def test_progress_between_faults_counts_anew(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    ledger, starts = open_ledger(study_path), []

    def fail(*args: object) -> None:
        starts.append(1)
        if len(starts) <= 9:
            epoch_of(ledger)
            raise RuntimeError("worker(s) were killed")

    no_ray.setattr(executor, "_run_tuner", fail)
    assert execute(ledger, job) == 0
    assert len(starts) == 10
    assert sum(len(entry.rows) for entry in ledger.entries()) == 9


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_winds_the_search_down_and_is_the_exit_code(
    kind: signal.Signals, code: int, study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    no_ray.setattr(executor, "_run_tuner", lambda *args: os.kill(os.getpid(), kind))
    assert execute(open_ledger(study_path), job) == code
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_fault_that_follows_a_signal_starts_nothing_again(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    starts = []

    def die(*args: object) -> None:
        starts.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("torn down")

    no_ray.setattr(executor, "_run_tuner", die)
    assert execute(open_ledger(study_path), job) == 143
    assert starts == [1]


def test_second_interrupt_ends_at_once() -> None:
    code = (
        "import os, signal; from tune.interruption import Interruption\n"
        "with Interruption().listening():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('never said', flush=True)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (130, "still here\n")


def test_second_signal_of_another_kind_keeps_the_first() -> None:
    interruption = Interruption()
    interruption.note(signal.SIGINT, None)
    interruption.note(signal.SIGTERM, None)
    assert interruption.exit_code == 130


def test_signal_counts_more_than_a_full_disk() -> None:
    interruption = Interruption()
    interruption.halt("no space left")
    assert (interruption.is_set, interruption.exit_code) == (True, 1)
    interruption.note(signal.SIGTERM, None)
    interruption.halt("no space left")
    assert interruption.exit_code == 143


def test_only_the_owner_can_read_the_token() -> None:
    path = executor._token_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) == 64
    assert executor._token_file() == path


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("worker(s) were killed\nmore", "RuntimeError: worker(s) were killed"),
        (
            "Traceback (most recent call last):\n  File x\nKeyError: 'b'\n",
            "RuntimeError: KeyError: 'b'",
        ),
        ("", "RuntimeError: "),
    ],
)
def test_error_is_told_in_its_telling_line(message: str, line: str) -> None:
    assert executor._in_a_line(RuntimeError(message)) == line
