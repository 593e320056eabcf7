from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from seglib.data.splits import Split
from seglib.errors import Problem, RunError, UnwritableError
from tests.tune.test_ledger import open_ledger, row
from tune import executor
from tune.deaths import Fault
from tune.executor import Job, execute
from tune.joined import await_cluster
from tune.remote import PATIENCE_S
from tune.room import Room


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path, tmp_path, Split(("a",), ("b",)))


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    @contextmanager
    def nothing(address: str, cpus: int, workers: int | None) -> Iterator[None]:
        yield

    monkeypatch.setattr(executor, "running_ray", nothing)
    return monkeypatch


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1"])
def test_cluster_that_is_not_there_ends_the_first_start_without_another(
    address: str, study_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(RunError, match=r"--address: found 127\.0\.0\.1:1 \(.*refused"):
        execute(open_ledger(study_path), replace(job, address=address))
    assert time.monotonic() - began < 10


def test_cluster_that_does_not_come_back_ends_the_search_with_one_message(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost = Fault("the head of the cluster at 127.0.0.1:1 died", at_work=2)
    no_ray.setattr(executor, "_run_tuner", lambda search, room: lost)
    no_ray.setattr(executor, "await_cluster", partial(await_cluster, seconds=0))
    assert execute(open_ledger(study_path), replace(job, address="127.0.0.1:1")) == 1
    assert caplog.records[-1].getMessage() == (
        "error: the head of the cluster at 127.0.0.1:1 died; no cluster has answered at "
        "127.0.0.1:1 for 60 s; the same command goes on, also on another cluster with its --address"
    )


def test_cluster_that_was_there_may_come_back(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    gone = RunError("command line", [Problem("--address", "10.0.0.1:6379 (refused)")])
    ends = [Fault("RaySystemError: gone", at_work=1), gone, gone, None]

    def run(*args: object, **more: object) -> Fault | None:
        end = ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    no_ray.setattr(executor, "_run_tuner", run)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        assert execute(open_ledger(study_path), replace(job, address=address)) == 0
    assert ends == []


def test_head_that_was_found_by_itself_is_waited_for_where_it_was(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lose_head(*args: object, **more: object) -> Fault:
        no_ray.delenv("RAY_ADDRESS")
        return Fault("the head of the cluster at 127.0.0.1:1 died", at_work=2)

    no_ray.setenv("RAY_ADDRESS", "127.0.0.1:1")
    no_ray.setattr(executor, "_run_tuner", lose_head)
    no_ray.setattr(executor, "await_cluster", partial(await_cluster, seconds=0))
    assert execute(open_ledger(study_path), replace(job, address="auto")) == 1
    assert "no cluster has answered at 127.0.0.1:1 for" in caplog.records[-1].getMessage()


def test_files_from_afar_give_a_trial_more_time(job: Job, tmp_path: Path) -> None:
    assert executor._patience(job) == job.patience
    (tmp_path / "images.npy").write_bytes(b"0" * 1000)
    slow = replace(job.patience, unknown_s=1000 / executor.SLOWEST_COPY - 1e-6)
    far = executor._patience(replace(job, store_key="key", url="s3://a/b", patience=slow))
    assert far.unknown_s == 1000 / executor.SLOWEST_COPY
    assert far.away_s > 2 * PATIENCE_S
    assert (far.own_s, far.others_s) == (job.patience.own_s, job.patience.others_s)


def test_ray_that_never_comes_up_is_given_up_with_one_message(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts = []

    def fail(*args: object, **more: object) -> None:
        starts.append(1)
        raise RuntimeError("the raylet died\nwith a long story")

    no_ray.setattr(executor, "_run_tuner", fail)
    assert execute(open_ledger(study_path), job) == 1
    assert len(starts) == executor.MOST_STARTS_IN_VAIN
    last = caplog.records[-1]
    assert (last.levelname, last.getMessage()) == (
        "ERROR",
        "error: Ray failed 3 times in a row before any trial was at work; the last time: "
        "RuntimeError: the raylet died",
    )
    assert "long story" not in caplog.text


def test_trial_at_work_shows_that_ray_can_be_started(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    dead = Fault("Ray's node process died")
    faults = [dead, dead, replace(dead, at_work=1), dead, dead, None]
    no_ray.setattr(executor, "_run_tuner", lambda *args, **more: faults.pop(0))
    assert execute(open_ledger(study_path), job) == 0
    assert faults == []


def test_fewer_trials_go_on_when_they_together_need_too_much_memory(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int | None] = []
    faults = [Fault("no memory", at_work=n, of_memory=True) for n in (3, 2, 1)]

    def run(search: executor._Search, room: Room) -> Fault | None:
        seen.append(search.job.concurrent)
        return faults.pop(0) if faults else None

    no_ray.setattr(executor, "_run_tuner", run)
    assert execute(open_ledger(study_path), job) == 0
    assert seen == [None, 2, 1, 1]
    assert [record.getMessage() for record in caplog.records] == [
        "no memory; starting Ray again, with 2 at a time",
        "no memory; starting Ray again, with 1 at a time",
        "no memory; starting Ray again",
    ]


def test_what_was_at_work_when_ray_died_is_given_out_again(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    ledger, orders = open_ledger(study_path), []

    def run(*args: object, **more: object) -> Fault | None:
        order = ledger.ask()
        assert order is not None
        orders.append((order.number, order.num_reported))
        ledger.report(order.number, row(order.num_reported + 1, 0.5))
        return Fault("Ray's node process died", at_work=1) if len(orders) < 3 else None

    no_ray.setattr(executor, "_run_tuner", run)
    assert execute(ledger, job) == 0
    assert orders == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_winds_the_search_down_and_is_the_exit_code(
    kind: signal.Signals, code: int, study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    no_ray.setattr(executor, "_run_tuner", lambda *args, **more: os.kill(os.getpid(), kind))
    assert execute(open_ledger(study_path), job) == code
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_fault_that_follows_a_signal_starts_nothing_again(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    starts = []

    def die(*args: object, **more: object) -> None:
        starts.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("torn down")

    no_ray.setattr(executor, "_run_tuner", die)
    assert execute(open_ledger(study_path), job) == 143
    assert starts == [1]


def test_full_disk_of_ray_is_no_death_of_a_trial(
    study_path: Path, job: Job, no_ray: pytest.MonkeyPatch
) -> None:
    class Tuner:
        def __init__(self, *args: object, **more: object) -> None:
            pass

        def fit(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    def full() -> None:
        raise UnwritableError("/tmp", "the disk is full")

    no_ray.setattr("ray.tune.Tuner", Tuner)
    no_ray.setattr(executor, "require_disk", full)
    ledger = open_ledger(study_path)
    with pytest.raises(UnwritableError, match="the disk is full"):
        execute(ledger, job)
    assert {entry.state for entry in ledger.entries()} <= {"WAITING", "RUNNING"}
