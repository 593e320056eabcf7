"""A folder for what only this process needs, and a watcher that clears it when the process is gone.

However a process ends, its watcher sees it: the pipe between them closes. Then it ends
all that still writes in the folder, which are the processes of a Ray that nobody shut
down, and removes the folder. Run as a script, this file is the watcher.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["clear", "temporary_folder"]

_SECONDS_TO_DIE = 10
_LONGEST_SOCKET = (
    "/segtune-abcdefgh/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
)
_ROOM = 107 - len(_LONGEST_SOCKET)  # a system's limit; Ray puts its sockets under this folder


@cache
def temporary_folder() -> Path:
    """The folder of this process; its name is short, as Ray makes long ones of it.

    Returns:
        An empty folder, the first time.
    """
    folder = Path(tempfile.mkdtemp(prefix="segtune-", dir=_place()))
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # no Ctrl-C is meant for it
    )
    atexit.register(_dismiss, watcher, os.getpid())
    return folder


def _place() -> str:
    """Where temporary files go; elsewhere if its name is too long (Slurm's often are)."""
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) <= _ROOM:
        return usual
    return next(
        (one for one in ("/tmp", "/var/tmp", "/dev/shm") if os.access(one, os.W_OK | os.X_OK)),
        usual,
    )


def clear(folder: Path) -> None:
    """End every other process that writes in a folder, then remove it.

    Args:
        folder: May be missing.
    """
    until = time.monotonic() + _SECONDS_TO_DIE
    while (writers := set(_writers(folder))) and time.monotonic() < until:
        for writer in writers:
            with suppress(OSError):
                os.kill(writer, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _writers(folder: Path) -> Iterator[int]:
    """Processes, but for this one, that have a file of the folder open to write to it.

    A process tells its name as it likes, but not what it writes to. One that only reads,
    perhaps a person's pager on a log, is left alone.
    """
    inside = f"{os.path.realpath(folder)}/"
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) in (os.getpid(), os.getppid()):  # the owner may still be alive
            continue
        with suppress(OSError):  # of another user, or gone meanwhile
            for link in (process / "fd").iterdir():
                if link.readlink().is_relative_to(inside) and link.lstat().st_mode & 0o200:
                    yield int(process.name)
                    break


def _dismiss(watcher: subprocess.Popen[bytes], owner: int) -> None:
    """Let the watcher do its work now; a fork of the owner has no say in it."""
    if os.getpid() == owner and watcher.stdin is not None:
        watcher.stdin.close()
        watcher.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Ray sends it to all that a stopped job started
    sys.stdin.buffer.read()  # returns when the other end is closed, by whatever end
    clear(Path(sys.argv[1]))
