"""Files that are whole or not there, whatever dies while they are written."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["flush", "write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: a temporary name, to the disk, then renamed.

    Args:
        path: The file; its folder is made if needed.
        content: What it shall hold; text is written as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    flush(temporary)
    temporary.replace(path)


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
