"""Where the ledger lies: a journal file in the run directory, or a database."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

from seglib.errors import Problem, RunError
from seglib.files import writing
from seglib.foreign import is_file
from tune import database

__all__ = ["cut_torn_line", "open_storage", "view_storage"]

Appended = Callable[[bool], None]

_SET_STATE = 6  # Optuna's number for what begins and ends a trial

log = logging.getLogger("segtune")


def open_storage(
    place: Path | str, study: str = "", appended: Appended | None = None
) -> BaseStorage:
    """A journal file (a path) or a database (a URL), ready for one writing driver.

    A last line that a death tore off is cut away, and that is said.

    Args:
        place: Where the memory lies.
        study: Name of the study, which in a database has one driver at a time.
        appended: Called when a journal has grown, with whether a trial began or ended.

    Returns:
        Optuna's storage.

    Raises:
        RunError: The journal is damaged, or the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if isinstance(place, str):
        return database.connect(place, study)
    if place.exists():
        _replay(place, lambda: JournalStorage(_ReadOnlyBackend(place)))
    if cut := cut_torn_line(place):
        log.warning(
            "%s: the last line was cut off in the middle (%d bytes), as the search died while it "
            "wrote; removed, and nothing that was finished is lost",
            place.name,
            cut,
        )
    return JournalStorage(_Journal(place, appended))


def view_storage(place: Path | str) -> BaseStorage:
    """The same to look at only: nothing is written and no lock is taken.

    Args:
        place: Where the memory lies.

    Returns:
        Optuna's storage, as it is now.

    Raises:
        RunError: The journal is missing or damaged, or the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if isinstance(place, str):
        return database.view(place)
    if not is_file(place):
        raise RunError(str(place.parent), [Problem(place.name, "no such file", "a journal")])
    return _replay(place, lambda: JournalStorage(_ReadOnlyBackend(place)))


def cut_torn_line(path: Path) -> int:
    """Cut what follows the last line end of a file.

    Args:
        path: A file of whole lines; it may be missing.

    Returns:
        The number of bytes cut.
    """
    if not path.exists():
        return 0
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        with writing(path):
            os.truncate(path, whole)
    return len(text) - whole


def _replay(path: Path, read: Callable[[], BaseStorage]) -> BaseStorage:
    """Whatever Optuna cannot make sense of is a fault of the file."""
    try:
        return read()
    except RunError:
        raise
    except Exception as error:
        found = f"lines that contradict each other ({type(error).__name__}: {error})"
        raise _damaged(path, "journal", found) from None


def _damaged(path: Path, place: str, found: str) -> RunError:
    hint = "put back a copy of the file, or give another --out to start anew"
    return RunError(str(path), [Problem(place, found, "what a search wrote", hint)])


class _Journal(JournalFileBackend):
    """A journal of whole lines, also where the disk is full: half a line is taken back."""

    def __init__(self, path: Path, appended: Appended | None) -> None:
        with writing(path):
            super().__init__(str(path), lock_obj=_ProcessLock(path))
        self._path, self._appended = path, appended

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines, or none."""
        size = self._path.stat().st_size
        with writing(self._path):
            try:
                super().append_logs(logs)
            except OSError:
                os.truncate(self._path, size)
                raise
        if self._appended is not None:
            self._appended(any(log["op_code"] == _SET_STATE for log in logs))


class _ReadOnlyBackend(BaseJournalBackend):
    """The whole lines of a journal, also while another process appends to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        lines = self._path.read_bytes().split(b"\n")[:-1]
        for number, line in enumerate(lines[log_number_from:], start=log_number_from + 1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict) or "op_code" not in entry:
                shown = line[:60].decode(errors="replace")
                raise _damaged(self._path, f"line {number}", repr(shown))
            yield entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise AssertionError("this view of the journal writes nothing")


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
