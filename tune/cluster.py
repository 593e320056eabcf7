"""Ray itself: started for one search or joined at an address, safe, quiet, and seen to be alive."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from seglib.allocator import ONE_HEAP
from seglib.files import require_room
from tune.joined import Pulse, check_address, environment_of_job, find_head, knock, wrong_address
from tune.own_ray import careful_groups, lean_start, plain_workers, take_up_environment
from tune.temporary import clear, temporary_folder

__all__ = ["NodeLostError", "find_dead", "require_disk", "running_ray"]

_RAYS_MEGABYTES = 2  # of logs and such, some hundred kB were measured
_ENVIRONMENT: Final = {
    "NO_ALBUMENTATIONS_UPDATE": "1",  # workers import it early, and it would ask a server for news
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000000",  # else one after another starts; Room says how many
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_STATE_REFRESH_PERIOD": "1000000000",  # it would ask a dead control process, for a minute
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000000000",
    **ONE_HEAP,
}
_TOKEN = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_VITAL = {"gcs_server": "Ray's control process", "raylet": "Ray's node process"}


class NodeLostError(BaseException):
    """A vital process of Ray has died.

    No Exception, as after one Ray Tune tidies up, and waits for the very process that is dead.
    """


@contextmanager
def running_ray(address: str, cpus: int, workers: int | None = None) -> Iterator[Pulse | None]:
    """A Ray of our own, or a connection to a cluster; shut down on leaving.

    Args:
        address: Of a running cluster; ``local`` starts one.
        cpus: What one trial wants; a Ray of our own has at least as many.
        workers: Processes that a Ray of our own starts at once; None for as many as fit.

    Yields:
        What feels whether the head of the cluster lives; None for a Ray of our own.

    Raises:
        RunError: There is no cluster at the address, or it does not let us in.
        UnwritableError: The disk for temporary files is full.
    """
    os.environ.update(_ENVIRONMENT)
    require_disk()
    if address != "local":
        with _joined(address) as pulse:
            yield pulse
        return
    folder = temporary_folder() / "ray"
    try:
        with _started(folder, cpus, workers):
            yield None
    finally:
        clear(folder)


@contextmanager
def _started(folder: Path, cpus: int, workers: int | None) -> Iterator[None]:
    num_cpus = max(len(os.sched_getaffinity(0)), cpus)
    with _own_token():
        import ray

        take_up_environment()
        with lean_start(workers or num_cpus // cpus):
            _init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,
                object_store_memory=128 * 2**20,
                _temp_dir=str(folder),
            )
        try:
            with plain_workers():
                yield
        finally:
            ray.shutdown()


@contextmanager
def _own_token() -> Iterator[None]:
    """Within this, Ray's token is ours; a cluster that is joined afterwards has another one."""
    before = {name: os.environ.pop(name, None) for name in _TOKEN}
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(_token_file()))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _joined(address: str) -> Iterator[Pulse]:
    """A cluster that others started; whoever leaves it does not wait for a dead head."""
    address = find_head(address)
    check_address(address)
    knock(address)
    import ray

    with Pulse(address) as pulse:
        try:
            _init(address=address, runtime_env=_environment_of_workers())
        except (ConnectionError, RuntimeError, ValueError) as error:
            hint = "start the search on a machine of the cluster, or submit it as a job"
            found = f"{address} ({' '.join(str(error).split())})"
            raise wrong_address(found, "the address of a running cluster", hint) from None

        def require_head() -> None:
            if not pulse.feel_now():
                raise NodeLostError(f"the head of the cluster at {address} died")

        try:
            with careful_groups(require_head):
                yield pulse
        finally:
            ray.shutdown()


def _environment_of_workers() -> dict[str, Any]:
    """The table above for the workers of other machines; no secret is in it.

    Within a Ray job that has variables of its own those come first: Ray refuses to have the
    same one twice.
    """
    taken = environment_of_job().get("env_vars") or {}
    return {"env_vars": {name: v for name, v in _ENVIRONMENT.items() if name not in taken}}


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


def _init(**options: Any) -> None:
    """Start Ray or join it."""
    import ray

    _silence()
    ray.init(**options, log_to_driver=False, logging_level=logging.CRITICAL)


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
