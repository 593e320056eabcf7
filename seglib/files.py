"""Files that are whole or not there, whatever dies while they are written; and their checksums."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglib.errors import Problem, RunError, UnwritableError

__all__ = [
    "checksum",
    "clear_unfinished",
    "flush",
    "replacing",
    "require_place",
    "require_room",
    "write_whole",
    "writing",
]

_AGAIN = "; then the same command goes on"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSALS = {
    errno.ENOSPC: ("the disk is full", "Free some space"),
    errno.EDQUOT: ("the quota is used up", "Free some space"),
    errno.EFBIG: ("no file may grow that large", "Raise the limit (ulimit -f)"),
    errno.EROFS: ("it is read-only", "Make it writable"),
    errno.EACCES: ("writing is not permitted", "Make it writable"),
    errno.EPERM: ("writing is not permitted", "Make it writable"),
    errno.EIO: ("the disk fails", "See to the disk"),
    errno.ESTALE: ("the network disk is gone", "Bring it back"),
}
"""What the system answers where the place is at fault and not who writes: words, and what helps."""

_UNFINISHED = ".tmp"


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say which place takes no more files, where the system refuses to write in this block.

    Args:
        place: What is written; the innermost of several blocks names it.

    Yields:
        Nothing.

    Raises:
        UnwritableError: The disk is full, the quota used up, the folder read-only, or so.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        words, advice = _REFUSALS[error.errno]
        room = _room(place) if error.errno in _FULL else ""
        raise UnwritableError(str(place), f"{words}{room}. {advice}{_AGAIN}") from error


def require_place(path: Path, option: str, *, folder: bool) -> None:
    """See that a file or folder can be made there, before hours of work that it is to hold.

    Nothing is made.

    Args:
        path: The file or folder; it and folders above it may be missing.
        option: What the user calls it.
        folder: It is a folder.

    Raises:
        RunError: Something else is there, or no such name can be.
        UnwritableError: The folder that is there takes no files.
    """
    wanted = "a folder" if folder else "a file"
    try:
        if path.exists() and path.is_dir() != folder:
            there = "a file" if folder else "a folder"
            raise RunError(str(path), [Problem(option, there, wanted)])
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:  # a file among the folders above it, a name that is too long
        found = f"a place where nothing can be ({error.strerror})"
        raise RunError(str(path), [Problem(option, found, wanted)]) from None
    here = path if folder else path.parent
    first = next(one for one in (here, *here.absolute().parents) if one.exists())
    with writing(path):
        if not os.access(first, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(first))


def require_room(folder: Path, megabytes: float) -> None:
    """See that somebody who does not say when a disk is full will have room.

    Args:
        folder: Where it will write.
        megabytes: How much it needs.

    Raises:
        UnwritableError: There is less.
    """
    if shutil.disk_usage(folder).free < megabytes * 1e6:
        words, advice = _REFUSALS[errno.ENOSPC]
        raise UnwritableError(str(folder), f"{words}{_room(folder)}. {advice}{_AGAIN}")


def _room(place: Path) -> str:
    """How much is free; a quota may leave less than the disk has."""
    there = next((one for one in (place, *place.parents) if one.is_dir()), Path("/"))
    try:
        usage = shutil.disk_usage(there)
    except OSError:
        return ""
    return f" ({usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB free)"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all: a temporary name, to the disk, then renamed.

    Args:
        path: The file; its folder is made if needed.

    Yields:
        The temporary name. It is gone if the block fails, so that it takes no room.

    Raises:
        UnwritableError: The place takes no more files.
    """
    # a process of another machine that writes to the same disk may have the same number
    own = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f"{path.name}.{own}{_UNFINISHED}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush(temporary)
            temporary.replace(path)
        finally:
            # gone, but for a failure, or where it is another name of the same file: renaming
            # that does nothing, and leaves both
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Args:
        path: The file; its folder is made if needed.
        content: What it shall hold; text is written as UTF-8.

    Raises:
        UnwritableError: The place takes no more files.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def clear_unfinished(folder: Path) -> None:
    """Remove what a process left that died while it wrote; nobody else may write there now.

    Args:
        folder: May be missing.
    """
    with writing(folder):
        for path in folder.glob(f"*{_UNFINISHED}"):
            path.unlink()


def flush(place: Path) -> None:
    """Make a file, or the names in a directory, survive a power cut.

    Args:
        place: The file or directory.
    """
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checksum(path: Path) -> str:
    """SHA-256 of a file.

    Args:
        path: The file.

    Returns:
        Hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
