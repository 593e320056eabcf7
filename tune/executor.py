"""The Ray side of a search: Tune runs what the ledger asks for and owns no truth."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from seglib.data.splits import Split
from seglib.errors import Problem, RunError, SegtuneError
from tune.interruption import Interruption
from tune.ledger import Ledger, Order
from tune.patience import Patience

__all__ = ["Job", "Observer", "check_address", "execute"]

MOST_RESTARTS = 5
_SECONDS_TO_CONNECT = 5.0
_LONGEST_LINE = 300

log = logging.getLogger("segtune")


class Observer(Protocol):
    """Something that looks on: a screen, a tracker. It can delay nothing and decide nothing."""

    def started(self, order: Order) -> None:
        """A trial begins or goes on."""

    def reported(self, number: int, row: dict[str, float]) -> None:
        """A trial has finished an epoch."""

    def finished(self, number: int) -> None:
        """A trial has ended; the ledger knows how."""


@dataclass(frozen=True)
class Job:
    """What all trials of a search share.

    Args:
        run_dir: The run directory; trials get ``trials/<number>`` in it.
        store: The prepared data.
        split: Which groups train and which validate.
        cpus: CPU threads of a trial.
        gpus: GPUs of a trial; a fraction shares one.
        concurrent: Most trials at once; None for as many as fit.
        retries: How often a trial whose process died is tried again.
        address: Of a running Ray cluster; ``local`` starts one for this search.
        patience: How long a trial may be silent before it counts as hung.
    """

    run_dir: Path
    store: Path
    split: Split
    cpus: int = 1
    gpus: float = 0.0
    concurrent: int | None = None
    retries: int = 3
    address: str = "local"
    patience: Patience = field(default_factory=Patience)

    def folder(self, number: int) -> Path:
        """Where a trial keeps its files."""
        return self.run_dir / "trials" / str(number)

    def config(self, order: Order, ledger: Ledger) -> dict[str, Any]:
        """The plain data that ``tune.trainable.train`` works from."""
        return {
            "number": order.number,
            "recipe": order.recipe.model_dump(),
            "seed": order.seed,
            "num_reported": order.num_reported,
            "folder": str(self.folder(order.number)),
            "store": str(self.store),
            "split": asdict(self.split),
            "metric": ledger.file.metric.name,
            "maximize": ledger.file.metric.goal == "maximize",
            "threads": self.cpus,
        }


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


def execute(
    ledger: Ledger,
    job: Job,
    observers: Sequence[Observer] = (),
    interruption: Interruption | None = None,
) -> int:
    """Run trials until the ledger has no more to ask; returns an exit code.

    A fault of the executor itself (a lost node, the memory monitor, Ray) starts Ray
    again and goes on from the ledger, at most ``MOST_RESTARTS`` times in a row
    without a finished epoch in between.

    Args:
        ledger: What to run, and where results go.
        job: What all trials share.
        observers: Told of every start, epoch and end.
        interruption: Why to wind down; None for one of its own.

    Returns:
        0 when done, 1 when Ray failed too often or nothing can be written, 130 or 143 when
        interrupted.

    Raises:
        RunError: There is no Ray cluster at the address.
    """
    interruption = interruption or Interruption()
    restarts, epochs_before = 0, -1
    with interruption.listening():
        while not interruption.is_set:
            try:
                # Ray takes SIGTERM for itself when it starts: take it back.
                with _running_ray(job), interruption.listening():
                    _run_tuner(ledger, job, observers, interruption)
                break
            except Exception as error:
                if interruption.is_set:
                    break
                if isinstance(error, SegtuneError) and not restarts:
                    raise
                epochs = sum(len(entry.rows) for entry in ledger.entries())
                restarts = 1 if epochs > epochs_before else restarts + 1
                epochs_before = epochs
                log.warning("the executor failed (%s); starting it again", _in_a_line(error))
                if restarts > MOST_RESTARTS:
                    log.error("gave up after %d restarts without progress", MOST_RESTARTS)
                    return 1
                ledger.take_up_unfinished()
    return interruption.exit_code


def _in_a_line(error: Exception) -> str:
    """The kind and the telling line of an error; Ray's messages may be whole tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return f"{type(error).__name__}: {said}"[:_LONGEST_LINE]


@contextmanager
def _running_ray(job: Job) -> Iterator[None]:
    """A Ray of our own, or a connection to a cluster; shut down on leaving."""
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AIR_NEW_OUTPUT="0",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_DISABLE_SIGINT_HANDLER="1",
        TUNE_GLOBAL_CHECKPOINT_S="1000000000",
        TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S="1000000000",
    )
    # A short path: Ray puts UNIX sockets under it, and those allow 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="segtune-"))
    try:
        if job.address == "local":
            os.environ.pop("RAY_AUTH_TOKEN", None)
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(_token_file()))
        options: dict[str, Any] = {"address": job.address}
        if job.address == "local":
            options |= {
                "num_cpus": max(len(os.sched_getaffinity(0)), job.cpus),
                "include_dashboard": False,
                "object_store_memory": 128 * 2**20,
                "_temp_dir": str(folder),
            }
        import ray

        _take_up_environment()
        _connect(job.address, options)
        try:
            yield
        finally:
            ray.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_up_environment() -> None:
    """Ray reads its settings when it is imported, which may have been before they were made."""
    raylet: Any = importlib.import_module("ray._raylet")  # compiled, without types
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _connect(address: str, options: dict[str, Any]) -> None:
    """Start Ray or join it; a cluster that is not there is the user's to mend."""
    import ray

    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        if address == "local":
            raise
        found = f"{address} ({str(error).splitlines()[0]})"
        raise _wrong_address(found, "the address of a running cluster") from None


@cache
def _token_file() -> Path:
    """Only who can read this file can talk to the Ray we start. Ray reads it once per process."""
    folder = Path(tempfile.mkdtemp(prefix="segtune-token-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    handle = os.open(folder / "token", os.O_CREAT | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
    return folder / "token"


def _run_tuner(
    ledger: Ledger, job: Job, observers: Sequence[Observer], interruption: Interruption
) -> None:
    from ray import tune as ray_tune

    from tune.adapters import LedgerScheduler, LedgerSearcher, StopWhen, Watchdog
    from tune.trainable import train

    searcher = LedgerSearcher(ledger, job, observers, interruption)
    with tempfile.TemporaryDirectory(prefix="segtune-tune-") as scratch:
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(train, {"cpu": job.cpus, "gpu": job.gpus}),
            tune_config=ray_tune.TuneConfig(
                search_alg=searcher,
                scheduler=LedgerScheduler(searcher),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=ray_tune.RunConfig(
                name="search",
                storage_path=scratch,
                verbose=0,
                stop=StopWhen(interruption),
                callbacks=[Watchdog(ledger, searcher, job.patience)],
                failure_config=ray_tune.FailureConfig(max_failures=job.retries),
            ),
        )
        tuner.fit()
