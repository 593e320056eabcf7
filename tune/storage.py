"""Where the ledger lies: a journal file in the run directory, or a database."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

__all__ = ["cut_torn_line", "open_storage"]


def open_storage(place: Path | str) -> BaseStorage:
    """A journal file (a path) or a database (a URL), ready for one writing driver.

    A last line that a death tore off is cut away: it was never acknowledged.

    Args:
        place: Where the memory lies.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if isinstance(place, str):
        return RDBStorage(place)
    cut_torn_line(place)
    return JournalStorage(JournalFileBackend(str(place), lock_obj=_ProcessLock(place)))


def cut_torn_line(path: Path) -> int:
    """Cut what follows the last line end of a file; the number of bytes cut.

    Args:
        path: A file of whole lines; it may be missing.
    """
    if not path.exists():
        return 0
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(path, whole)
    return len(text) - whole


class _ProcessLock(JournalFileOpenLock):
    """A lock that the system frees when its owner dies; Optuna's own would wait 30 s."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._path = journal.with_name(journal.name + ".flock")
        self._handle: int | None = None

    def acquire(self) -> bool:
        self._handle = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
