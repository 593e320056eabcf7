"""A journal at a URL: in pieces, so that what is put each time does not grow with the search.

``journal.log`` is its first MiB, ``journal.log.0001`` the next, and so on. A piece that is
not full is the last one, whatever lies behind it, so that there is always one, if an empty
one; pieces are put from the last to the first.
So what can be read there is at every moment the beginning of one and the same journal.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from seglib.files import write_whole
from tune.remote import Remote

__all__ = ["JOURNAL", "FarJournal", "piece_name"]

log = logging.getLogger("segtune")

JOURNAL = "journal.log"
PIECE = 2**20
_AT_ONCE = 8


def piece_name(number: int) -> str:
    """What a piece is called.

    Args:
        number: From 0.

    Returns:
        Its name in the run directory's place.
    """
    return JOURNAL if number == 0 else f"{JOURNAL}.{number:04}"


class FarJournal:
    """A journal here, and the same at a URL.

    Args:
        remote: The place of the run directory.
        path: The journal on this machine.
    """

    def __init__(self, remote: Remote, path: Path) -> None:
        self._remote, self._path = remote, path
        self._size = 0  # of what is there, as far as this process knows
        self._kept = 0  # so much of it is as it is here

    def read(self) -> bytes:
        """All of it, as it is there; empty where there is none."""
        whole = bytearray()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for first in count(0, _AT_ONCE):
                names = [piece_name(first + more) for more in range(_AT_ONCE)]
                for piece in pool.map(lambda name: self._remote.read(name) or b"", names):
                    whole += piece
                    if len(piece) < PIECE:
                        return bytes(whole)
        raise AssertionError("unreachable")

    def fetch(self) -> None:
        """Have it here to look at, as old as it is there; nothing where there is none."""
        if text := self.read():
            write_whole(self._path, text)
            when = self._remote.modified_at(piece_name(len(text) // PIECE))
            if when is not None:
                os.utime(self._path, (when, when))

    def settle(self) -> bool:
        """The longer one, where one is the other's beginning; else what others could see.

        Returns:
            Has the one here more?
        """
        theirs = self.read()
        ours = self._path.read_bytes() if self._path.exists() else b""
        whole = ours[: ours.rfind(b"\n") + 1]
        self._size = self._kept = len(theirs)
        if whole.startswith(theirs):
            return whole != theirs
        if not theirs.startswith(whole):
            log.warning(
                "%s: another search went on from %s; what the copy here had of epochs since is "
                "read from the checkpoints there",
                JOURNAL,
                self._remote.url,
            )
        self._kept = theirs.rfind(b"\n") + 1  # what follows was torn off, and is cut off here
        write_whole(self._path, theirs)
        return False

    def has_moved(self) -> bool:
        """Is it another one than when it was read?"""
        last, inside = divmod(self._size, PIECE)
        following = self._remote.size(piece_name(last)) or 0
        before = self._remote.size(piece_name(last - 1)) if last else PIECE
        return following != inside or before != PIECE

    def put(self, look: Callable[[], None]) -> None:
        """Put what is new here.

        Args:
            look: Called before each try; raises where the run is another's by now.

        Raises:
            UnwritableError: The place does not answer.
        """
        with self._path.open("rb") as file:
            size = file.seek(0, 2)
            first = min(self._kept, size) // PIECE
            for number in reversed(range(first, size // PIECE + 1)):
                file.seek(number * PIECE)
                content = file.read(min(PIECE, size - number * PIECE))
                self._remote.write(piece_name(number), content, look=look)
        self._size = self._kept = size
