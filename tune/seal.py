"""Seal: the checksum in the first line of a file, by which a search knows its own file again."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from seglib.errors import Problem, RunError

__all__ = ["digest", "require_unbroken", "seal"]

_LINE = re.compile(rb"# sha256 ([0-9a-f]{64}) [^\n]*\n")


def digest(content: bytes) -> str:
    """SHA-256 of some bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def seal(text: str) -> str:
    """Put the seal before a text in which ``#`` begins a comment.

    Args:
        text: As it is to be read.

    Returns:
        The same with one line more.
    """
    return f"# sha256 {digest(text.encode())} of all lines below, not to be edited\n{text}"


def require_unbroken(path: Path) -> None:
    """See that a file holds what was sealed; one without a seal may hold anything.

    Args:
        path: The file.

    Raises:
        RunError: It was altered.
    """
    content = path.read_bytes()
    line = _LINE.match(content)
    if line is None:
        return
    found, wanted = digest(content[line.end() :]), line.group(1).decode()
    if found != wanted:
        hint = (
            "put a copy back; to change the search, edit the file that --space names.\n"
            "If this text is meant as it is, delete its first line"
        )
        raise RunError(str(path), [Problem("sha256", found, wanted, hint)])
