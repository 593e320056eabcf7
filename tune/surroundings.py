"""Surroundings: file names that Python would misread, a terminal without UTF-8, or none at all."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO, cast

from rich.console import Console

__all__ = ["Voice", "in_notebook", "open_console", "settle_surroundings"]

_NOTEBOOK = 110  # characters in a line of a cell's output


def settle_surroundings() -> None:
    """Make the process one that can name every file and may say what it likes.

    To be called once, before anything is opened. In a locale that is not UTF-8 Python
    cannot pass every file name on to libraries that insist on it: the process then
    starts itself again in Python's UTF-8 mode, which its workers inherit. Standard
    streams that were closed become the null device, or else the next file to be opened
    would get their numbers, and what a library prints would go into it. Where to draw is not
    taken over from a notebook's kernel, as all drawings are files.
    """
    _fill_standard_streams()
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:replace")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    if in_notebook():
        os.environ.setdefault("JPY_PARENT_PID", str(os.getppid()))  # by which it is known later
        os.environ["MPLBACKEND"] = "agg"  # a kernel's own may not be installed here


def _fill_standard_streams() -> None:
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for name, handle in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(handle, "r" if handle == 0 else "w", closefd=False))


def open_console() -> Console:
    """A terminal as wide as it is; a pipe wide enough for every line.

    A notebook is no terminal, though it pretends to be one to the commands that it runs:
    nothing can be drawn anew in place there, and each try would be added to its page.
    """
    voice = cast(TextIO, Voice(sys.stdout))
    if in_notebook():
        return Console(file=voice, width=_NOTEBOOK, force_terminal=False, force_jupyter=False)
    console = Console(file=voice)
    return console if console.is_terminal else Console(file=voice, width=160)


def in_notebook() -> bool:
    """Is this a kernel of Jupyter, or a command that one runs with ``!``?

    Kernels are given the number of their parent, and give their children where to draw.
    """
    drawn = os.environ.get("MPLBACKEND", "")
    return "JPY_PARENT_PID" in os.environ or "inline" in drawn


class Voice:
    """A stream to speak to, also when nobody listens any more.

    The reader of a pipe may go, a log's disk may be full: what is said is lost then, the
    search is not.

    Args:
        stream: Where to speak.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Say something."""
        try:
            return self._stream.write(text)
        except OSError:
            self._hush()
            return len(text)

    def flush(self) -> None:
        """Have it said now."""
        try:
            self._stream.flush()
        except OSError:
            self._hush()

    def _hush(self) -> None:
        """From now on to the null device, which also takes what is still in the buffer."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
