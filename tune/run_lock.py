"""The lock of a run directory: one search at a time, and no lock outlives its owner."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglib.errors import Problem, RunError
from seglib.files import writing

__all__ = ["hold", "is_held", "owner_of"]

_SECONDS_OF_A_LOOK = 0.5


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder for this process. What the lock file says of a dead owner means nothing.

    Args:
        folder: A run directory; made if needed.

    Yields:
        Nothing.

    Raises:
        RunError: Another process holds it, or it is no folder or cannot be locked.
        UnwritableError: It is read-only, or the disk is full.
    """
    handle = _acquire(folder)
    try:
        with writing(_path(folder)):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Is a process at work in a folder?

    Args:
        folder: A run directory.

    Returns:
        Whether one holds its lock.
    """
    try:
        handle = os.open(_path(folder), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # where nothing can be locked, nobody holds anything
        return False
    finally:
        os.close(handle)
    return False


def owner_of(folder: Path) -> str:
    """Who wrote into the lock last, such as ``pid 7 on host``; whether it still holds it is
    another question, see :func:`is_held`.

    Args:
        folder: A run directory.

    Returns:
        A few words; empty where there is no lock.
    """
    try:
        handle = os.open(_path(folder), os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.pread(handle, 200, 0).decode(errors="replace").strip()
    finally:
        os.close(handle)


def _path(folder: Path) -> Path:
    return folder / "run.lock"


def _acquire(folder: Path) -> int:
    """The locked file that has the name now: a search that was refused may have removed it."""
    while True:
        handle = _open(folder)
        try:
            _lock(handle, folder)
            if os.path.samestat(os.fstat(handle), _path(folder).stat()):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _open(folder: Path) -> int:
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            return os.open(_path(folder), os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        found = f"{folder} ({error.strerror})"
        problem = Problem("--out", found, "a folder that can be written to")
        raise RunError("command line", [problem]) from None


def _lock(handle: int, folder: Path) -> None:
    until = time.monotonic() + _SECONDS_OF_A_LOOK
    try:
        while not _try_to_lock(handle, last=time.monotonic() >= until):
            time.sleep(0.05)
    except BlockingIOError:
        owner = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
        found, hint = f"a search at work here ({owner})", "wait for it, or give another --out"
        problem = Problem("run.lock", found, "a folder of its own", hint)
        raise RunError(str(folder), [problem]) from None
    except OSError as error:
        found = f"{folder}, where files cannot be locked ({error.strerror})"
        hint = "a network disk needs its lock service for that, Lustre the mount option flock"
        problem = Problem("--out", found, "a disk that keeps two searches apart", hint)
        raise RunError("command line", [problem]) from None


def _try_to_lock(handle: int, *, last: bool) -> bool:
    """Whoever only looks, as in :func:`is_held`, has the lock for a moment, too."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if last:
            raise
        return False
    return True
