"""Interruption: why a search winds down before its end, and the exit code that follows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interruption"]


class Interruption:
    """SIGINT or SIGTERM seen once, or a place that takes no more files: the search winds down.

    What is trained so far is kept, and the same command goes on. A second SIGINT ends
    the process at once.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self.reason = ""

    @property
    def is_set(self) -> bool:
        """Shall the search wind down?"""
        return self.exit_code != 0

    def halt(self, reason: str) -> None:
        """Wind down with exit code 1, as no trial could go on.

        Args:
            reason: A sentence for the user.
        """
        if not self.is_set:
            self.exit_code, self.reason = 1, reason

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler."""
        if self.exit_code > 128 and number == signal.SIGINT:
            os._exit(128 + number)
        if self.exit_code <= 128:
            os.write(2, b"\nstopping; what is trained so far is kept\n")
            self.exit_code = 128 + number

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hold both signals while the block runs."""
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(kind, self.note) for kind in kinds]
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)
