"""Files that somebody else wrote: what is asked of them before they are opened."""

from __future__ import annotations

import stat
from pathlib import Path

__all__ = ["file_size", "is_file", "read_bounded"]


def file_size(path: Path) -> int:
    """Size of an ordinary file, in bytes.

    A pipe, a socket or a device may lie in a data folder under any name. Whoever opens one
    waits for ever, or reads for ever.

    Args:
        path: The file.

    Returns:
        Its size.

    Raises:
        OSError: It is missing, or no ordinary file.
    """
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError("a folder where a file should be")
    if not stat.S_ISREG(state.st_mode):
        raise OSError("a pipe, socket or device where a file should be")
    return state.st_size


def is_file(path: Path) -> bool:
    """Is it there, and ordinary? A name that no file system takes is not there."""
    try:
        file_size(path)
    except (OSError, ValueError):
        return False
    return True


def read_bounded(path: Path, most: int) -> bytes:
    """Content of an ordinary file, which may not be larger than such a file has reason to be.

    Args:
        path: The file.
        most: Bytes that it may hold.

    Returns:
        What it holds.

    Raises:
        OSError: It is missing, or no ordinary file.
        ValueError: It holds more.
    """
    size = file_size(path)
    if size > most:
        raise ValueError(f"{size} bytes, more than {most}")
    with path.open("rb") as file:
        return file.read(most)
