"""A search on this machine, asked to end in order."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

from seglib.errors import Problem, RunError
from tune.run_lock import is_held, owner_of

__all__ = ["stop_run"]

_SECONDS_TO_STOP = 60.0
_OWNER = re.compile(r"pid (\d+) on (.+)")


def stop_run(run: Path) -> bool:
    """Send SIGTERM to the process at work in a run directory, and wait until it has let go.

    Args:
        run: The run directory, or a suite's folder.

    Returns:
        Has it let go?

    Raises:
        RunError: Nobody is at work there, or somebody on another machine, or of another user.
    """
    if not run.is_dir():
        raise _refusal(run, "no such folder", "a run directory, such as runs/brats")
    if not is_held(run):
        raise _refusal(run, "nobody at work here", "a search that runs")
    owner = owner_of(run)
    match = _OWNER.fullmatch(owner)
    if match is None or match[2] != socket.gethostname():
        hint = "stop it there, or if it is a job: segtune stop --address http://head:8265 JOB"
        wanted = f"a process of this machine, {socket.gethostname()}"
        raise _refusal(run, f"a search at work elsewhere ({owner or 'unknown'})", wanted, hint)
    _send(run, int(match[1]), owner)
    until = time.monotonic() + _SECONDS_TO_STOP
    while is_held(run) and owner_of(run) == owner:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _send(run: Path, pid: int, owner: str) -> None:
    """The number may pass to another process meanwhile: it is held first, then looked at again."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:  # it has ended just now
        return
    try:
        if is_held(run) and owner_of(run) == owner:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    except PermissionError:
        found = f"a search of another user ({owner})"
        raise _refusal(run, found, "one of your own") from None
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _refusal(run: Path, found: str, wanted: str, hint: str = "") -> RunError:
    return RunError(str(run), [Problem("run directory", found, wanted, hint)])
