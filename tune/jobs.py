"""Searches as jobs of a Ray cluster: sent, listed, read, and stopped in order."""

from __future__ import annotations

import asyncio
import re
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from seglib.errors import Problem, RunError
from tune.dashboard import DashboardError, connect, has_failed, talking
from tune.errand import Errand
from tune.parcel import pack
from tune.pins import requirements

__all__ = ["JobState", "follow_log", "list_jobs", "read_log", "stop_job", "submit"]

_ENDED_IN_ORDER = "interrupted: the same command goes on from here"
_SECONDS_TO_STOP = 60
_SECONDS_TO_HEAR_OF_IT = 30
_MOST_LOGS_READ = 20
_NO_LOG = "(its log cannot be read)"
_PROGRESS = re.compile(r"^(trial |best: |study \d|nothing is left|data: |error: )")


@dataclass(frozen=True)
class JobState:
    """A job as the cluster tells of it.

    Args:
        job: Its id.
        study: The study's name.
        place: Its run directory, or the suite's folder of them.
        state: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        since: When it was sent, in seconds since 1970.
        exit_code: Of the search; None while it runs, and where a signal ended it.
        progress: The last line of its log that tells how far it is; may be empty.
    """

    job: str
    study: str
    place: str
    state: str
    since: float
    exit_code: int | None
    progress: str = ""

    @property
    def has_ended(self) -> bool:
        """Will nothing more come of it?"""
        return self.state in ("STOPPED", "SUCCEEDED", "FAILED")


def submit(errand: Errand, address: str, *, install: bool = False) -> JobState:
    """Send a search to a cluster; from then on it does not need this machine.

    The study is checked here, before the cluster is asked. The same study sent again goes
    on where it ended.

    Args:
        errand: What the job is to do.
        address: The cluster's dashboard.
        install: Have Ray install the pinned versions for this job.

    Returns:
        The job.

    Raises:
        InvalidInput: The study or the command has faults, there is no such cluster, or a
            job is at work on the same run directory.
    """
    study, place = errand.check(address)
    client = connect(address)
    jobs = list_jobs(client, address)
    _require_free(jobs, study, place)
    with tempfile.TemporaryDirectory(prefix="segtune-job-") as folder:
        space = pack(Path(folder), errand.request.space, errand.files())
        words = ["sh", "start.sh", *errand.words(space)]
        # Ray kills a job 3 s after it was asked to stop, unless its environment says otherwise.
        settings = {"RAY_JOB_STOP_WAIT_TIME_S": str(_SECONDS_TO_STOP)}
        runtime_env: dict[str, Any] = {"working_dir": folder, "env_vars": settings}
        if install:
            packages = list(requirements(errand.storage_path, networks=errand.takes_networks()))
            runtime_env["pip"] = {"packages": packages, "pip_check": False}
        with talking(address):
            job = client.submit_job(
                entrypoint=f"exec {shlex.join(words)}",
                submission_id=_new_name(study, jobs),
                runtime_env=runtime_env,
                metadata=errand.metadata(study, place),
            )
    return JobState(job, study, place, "PENDING", time.time(), None)


def list_jobs(client: Any, address: str, *, with_progress: bool = False) -> list[JobState]:
    """All jobs that segtune has sent to a cluster, oldest first.

    Args:
        client: As :func:`tune.dashboard.connect` returns it.
        address: The cluster's dashboard, for messages.
        with_progress: Read how far the newest ones are, too.

    Returns:
        What the cluster tells of them.
    """
    with talking(address):
        details = [one for one in client.list_jobs() if "segtune" in (one.metadata or {})]
        details.sort(key=lambda one: one.start_time or 0)
        read = details[-_MOST_LOGS_READ:] if with_progress else []
    logs = {one.submission_id: _log_so_far(client, one.submission_id) for one in read}
    return [
        JobState(
            job=one.submission_id,
            study=one.metadata.get("study", ""),
            place=one.metadata.get("place", ""),
            state=str(one.status.value),
            since=(one.start_time or 0) / 1000,
            exit_code=one.driver_exit_code,
            progress=_last_progress(logs.get(one.submission_id, "")),
        )
        for one in details
    ]


def read_log(client: Any, address: str, job: str) -> str:
    """What a job has said so far.

    Args:
        client: As :func:`tune.dashboard.connect` returns it.
        address: The cluster's dashboard, for messages.
        job: Its id.

    Returns:
        The whole log.

    Raises:
        RunError: There is no such job.
    """
    _find(list_jobs(client, address), job)
    with talking(address):
        return str(client.get_job_logs(job))


def follow_log(client: Any, address: str, job: str, say: Callable[[str], object]) -> JobState:
    """Say what a job says, until it ends.

    Args:
        client: As :func:`tune.dashboard.connect` returns it.
        address: The cluster's dashboard, for messages.
        job: Its id.
        say: Takes each piece of the log.

    Returns:
        The job at its end.

    Raises:
        RunError: There is no such job.
        DashboardError: The cluster went away, or the log ended before the job did.
    """

    async def follow() -> None:
        async for piece in client.tail_job_logs(job):
            say(piece)

    _find(list_jobs(client, address), job)
    with talking(address):
        asyncio.run(follow())
    end = _soon(client, address, job)
    if not end.has_ended:
        raise DashboardError(f"{address}: the log broke off, and {job} is {end.state} still")
    return end


def stop_job(client: Any, address: str, job: str) -> tuple[JobState, str]:
    """Ask a job to stop, and wait until it has.

    It gets SIGTERM and a minute: the epochs so far are kept, and the ledger is told.

    Args:
        client: As :func:`tune.dashboard.connect` returns it.
        address: The cluster's dashboard, for messages.
        job: Its id.

    Returns:
        The job at its end, and how it ended in a few words; empty when it did so in order.

    Raises:
        RunError: There is no such job.
    """
    state = _find(list_jobs(client, address), job)
    if state.has_ended:
        return state, "it had ended before"
    began = time.monotonic()
    until = began + _SECONDS_TO_STOP + _SECONDS_TO_HEAR_OF_IT
    with talking(address):
        client.stop_job(job)
        while not (state := _find(list_jobs(client, address), job)).has_ended:
            if time.monotonic() > until:
                return state, f"it has not ended after {time.monotonic() - began:.0f} s"
            time.sleep(0.2)
        log = client.get_job_logs(job)
    if state.state != "STOPPED":
        return state, "it ended by itself meanwhile"
    if _ENDED_IN_ORDER in log:
        return state, ""
    if time.monotonic() - began > _SECONDS_TO_STOP:
        return state, f"it was killed, as it had not ended after {_SECONDS_TO_STOP} s"
    return state, "it had not begun to train"


def _soon(client: Any, address: str, job: str) -> JobState:
    """A job whose log has ended: it is a moment until Ray says so."""
    until = time.monotonic() + _SECONDS_TO_HEAR_OF_IT
    while not (state := _find(list_jobs(client, address), job)).has_ended:
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    return state


def _log_so_far(client: Any, job: str) -> str:
    """One that cannot be had, as of a node that is gone, leaves the table of jobs whole."""
    try:
        return str(client.get_job_logs(job))
    except Exception as error:
        if not has_failed(error):
            raise
        return _NO_LOG


def _require_free(jobs: list[JobState], study: str, place: str) -> None:
    for one in jobs:
        if not one.has_ended and one.study == study and one.place == place:
            since = datetime.fromtimestamp(one.since).strftime("%Y-%m-%d %H:%M")
            hint = f"segtune logs shows what {one.job} does, segtune stop ends it in order"
            found = f"{one.job}, at work on it since {since}"
            raise RunError(place, [Problem("job", found, "one at a time", hint)])


def _find(jobs: list[JobState], job: str) -> JobState:
    for one in jobs:
        if one.job == job:
            return one
    known = ", ".join(one.job for one in jobs[-5:]) or "none was submitted by segtune yet"
    raise RunError("command line", [Problem("JOB", job, f"a job of this cluster ({known})")])


def _new_name(study: str, jobs: list[JobState]) -> str:
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", study)[:60].strip("-.") or "study"
    name = f"segtune-{plain}-{datetime.now():%Y%m%d-%H%M%S}"
    taken = {one.job for one in jobs}
    later = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *later) if one not in taken)


def _last_progress(log: str) -> str:
    """The last line that tells how far a search is; of a refusal its first reason."""
    lines = [line for line in log.splitlines() if line.strip()]
    telling = [number for number, line in enumerate(lines) if _PROGRESS.match(line)]
    last = telling[-1] if telling else len(lines) - 1
    if last >= 0 and lines[last].startswith("error: ") and last + 1 < len(lines):
        last += 1
    return lines[last].strip() if lines else ""
