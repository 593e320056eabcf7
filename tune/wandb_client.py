"""W&B's client, kept in bounds: a thread of its own, short waits, an end that comes."""

from __future__ import annotations

import logging
import os
import queue
import shlex
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = [
    "SECONDS_FOR_AN_ANSWER",
    "SECONDS_TO_END",
    "Background",
    "ask_server",
    "end_wandb",
    "first_line",
    "open_run",
    "say_sync",
]

SECONDS_FOR_AN_ANSWER = 10.0
SECONDS_TO_END = 3.0
_QUIET = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}  # no telemetry either

log = logging.getLogger("segtune")


class Background:
    """Runs jobs one after another in a thread of its own; a fault ends it, not the search."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._closing = False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Do this some time; returns at once."""
        self._jobs.put(job)

    def close(self, seconds: float) -> bool:
        """Wait for the jobs to be done, no longer than this; was all done?"""
        self._jobs.put(None)
        self._thread.join(seconds)
        self._closing = True
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                if not self._closing:
                    said = "%s stopped (%s); the search goes on without it"
                    log.warning(said, self._name, first_line(error))
                return


def open_run(
    heading: Mapping[str, Any], mode: str, folder: Path, *, seconds: float = SECONDS_FOR_AN_ANSWER
) -> Any:
    """Begin a run, or go on with the one of the same id.

    Args:
        heading: Project, name, id and configuration.
        mode: ``online`` or ``offline``.
        folder: Where W&B keeps its files: the run directory.
        seconds: The most that its end may take.

    Returns:
        W&B's own run.
    """
    os.environ.update(_QUIET)
    import wandb

    return wandb.init(
        **heading,
        dir=folder,
        mode=mode,  # type: ignore[arg-type]
        resume="allow" if mode == "online" else None,
        reinit="create_new",
        settings=wandb.Settings(
            silent=True,
            console="off",
            x_disable_stats=True,
            init_timeout=SECONDS_FOR_AN_ANSWER,
            finish_timeout=seconds,
            finish_timeout_raises=True,
        ),
    )


def say_sync(folder: Path, runs: str) -> str:
    """The command that sends what lies in a run directory.

    Args:
        folder: The run directory.
        runs: Which runs, as a pattern.

    Returns:
        A line for a shell.
    """
    return f"wandb sync {shlex.quote(str(folder / 'wandb'))}/{runs}"


def ask_server() -> None:
    """See that anybody answers, before W&B tries for a long time.

    Raises:
        ConnectionError: Nobody does.
    """
    os.environ.update(_QUIET)
    import wandb

    url = str(wandb.setup().settings.base_url)
    try:
        urllib.request.urlopen(url, timeout=SECONDS_FOR_AN_ANSWER).close()
    except urllib.error.HTTPError:
        pass  # an answer too
    except OSError as error:
        raise ConnectionError(f"{url} does not answer ({error})") from None


def end_wandb(seconds: float) -> None:
    """End W&B's helper process: on leaving Python, W&B would wait for it for minutes.

    All runs are finished by now, or will not be: what they were told lies in the
    run directory, for ``wandb sync``.

    Args:
        seconds: How long it may take of its own accord.
    """
    if "wandb" not in sys.modules:
        return
    import wandb
    from wandb.sdk import wandb_setup

    service = wandb_setup.singleton()._connection
    process = getattr(getattr(service, "_proc", None), "_process", None)
    if process is None:
        return

    def tear_down() -> None:
        with suppress(Exception, SystemExit):  # a helper that died on its own account
            wandb.teardown()

    ending = threading.Thread(target=tear_down, name="end of W&B", daemon=True)
    ending.start()
    ending.join(seconds)
    if ending.is_alive():
        process.kill()
        ending.join(SECONDS_TO_END)
    try:
        process.wait(SECONDS_TO_END)  # after a fault W&B does not
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def first_line(error: BaseException) -> str:
    """What an error is, in a line."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
