"""Ray itself: started for one search or joined at an address, safe, quiet, and seen to be alive."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Final

from seglib.allocator import ONE_HEAP
from seglib.errors import Problem, RunError
from seglib.files import require_room
from tune.own_ray import lean_start, plain_workers, take_up_environment
from tune.temporary import clear, temporary_folder

__all__ = ["NodeLostError", "check_address", "find_dead", "require_disk", "running_ray"]

_SECONDS_TO_CONNECT = 5.0
_RAYS_MEGABYTES = 2  # of logs and such, some hundred kB were measured
_ENVIRONMENT: Final = {
    "NO_ALBUMENTATIONS_UPDATE": "1",  # workers import it early, and it would ask a server for news
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_STATE_REFRESH_PERIOD": "1000000000",  # it would ask a dead control process, for a minute
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000000000",
    **ONE_HEAP,
}
_VITAL = {"gcs_server": "Ray's control process", "raylet": "Ray's node process"}


class NodeLostError(BaseException):
    """A vital process of Ray has died.

    No Exception, as after one Ray Tune tidies up, and waits for the very process that is dead.
    """


def check_address(address: str) -> None:
    """See that somebody listens at a cluster's address: Ray itself would try for minutes.

    Args:
        address: ``local``, ``auto`` or ``host:port``.

    Raises:
        RunError: It is not an address, or nobody answers there.
    """
    if address in ("local", "auto"):
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in address or not port.isdecimal():
        hint = "port 6379 is Ray's own; ray:// is not supported, submit the search as a job instead"
        raise _wrong_address(address, "local, auto or host:port", hint)
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise _wrong_address(f"{address} ({error})", "the address of a running cluster") from None


def _wrong_address(found: str, wanted: str, hint: str = "") -> RunError:
    return RunError("command line", [Problem("--address", found, wanted, hint)])


@contextmanager
def running_ray(address: str, cpus: int, workers: int | None = None) -> Iterator[None]:
    """A Ray of our own, or a connection to a cluster; shut down on leaving.

    Args:
        address: Of a running cluster; ``local`` starts one.
        cpus: What one trial wants; a Ray of our own has at least as many.
        workers: Processes that a Ray of our own starts at once; None for as many as fit.

    Yields:
        Nothing.

    Raises:
        RunError: There is no cluster at the address.
        UnwritableError: The disk for temporary files is full.
    """
    os.environ.update(_ENVIRONMENT)
    folder = temporary_folder() / "ray"
    num_cpus = max(len(os.sched_getaffinity(0)), cpus)
    workers = workers or num_cpus // cpus
    require_disk()
    try:
        if address == "local":
            os.environ.pop("RAY_AUTH_TOKEN", None)
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(_token_file()))
        options: dict[str, Any] = {"address": address}
        if address == "local":
            options |= {
                "num_cpus": num_cpus,
                "include_dashboard": False,
                "object_store_memory": 128 * 2**20,
                "_temp_dir": str(folder),
            }
        import ray

        take_up_environment()
        is_ours = address == "local"
        with lean_start(workers) if is_ours else nullcontext():
            _connect(address, options)
        try:
            with plain_workers() if is_ours else nullcontext():
                yield
        finally:
            ray.shutdown()
    finally:
        clear(folder)


def require_disk() -> None:
    """See that Ray has room for its files: it does not say that the lack of it is its trouble.

    Raises:
        UnwritableError: The disk for temporary files is full.
    """
    require_room(temporary_folder(), _RAYS_MEGABYTES)


def find_dead() -> str:
    """Which vital process of a Ray of our own has died; empty while all live.

    Ray says nothing of it: without its node process no trial starts any more, and
    without its control process it ends this one after a minute of silence. What a
    joined cluster is made of is not ours to watch.
    """
    worker: Any = importlib.import_module("ray._private.worker")
    node = worker._global_node
    dead = () if node is None else node.dead_processes()
    return next((_VITAL[kind] for kind, _ in dead if kind in _VITAL), "")


def _connect(address: str, options: dict[str, Any]) -> None:
    """Start Ray or join it; a cluster that is not there is the user's to mend."""
    import ray

    _silence()
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, ValueError) as error:
        if address == "local":
            raise
        found = f"{address} ({str(error).splitlines()[0]})"
        raise _wrong_address(found, "the address of a running cluster") from None


def _silence() -> None:
    """Of each death Ray prints pages into our output; the sentence about it is ours to say."""
    worker: Any = importlib.import_module("ray._private.worker")
    worker.print_to_stdstream = lambda data, ignore_prefix: None


@cache
def _token_file() -> Path:
    """Only who can read this file can talk to the Ray we start. Ray reads it once per process."""
    path = temporary_folder() / "token"
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
    return path
