"""Where a trial's process works, and whether the trial is still its own.

A process that was cut off may go on while another has taken its trial up. Each start
leaves a mark of its own in the trial's folder, and who finds another's mark there stops
before it writes. Between that look and the end of the writing lies one file: what a
late one puts there is whole, and of the same trial with the same seed.

Where the run directory is kept at a URL, the trial's files go there after each epoch.
What decides goes first: of the last checkpoint all else can be written anew.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seglib.checkpoint import previous_of
from seglib.files import write_whole, writing
from tune.node_store import node_cache
from tune.remote import Remote
from tune.trial_files import BEST, FINAL, LAST, LEGACY, NOTES, OWNER, SMALL

__all__ = ["Superseded", "TrialHome", "at_home"]

_TAKEN_UP = (LAST, BEST, NOTES, FINAL, LEGACY)


class Superseded(Exception):
    """Another process has taken this trial up: that is no failure of the trial."""


class TrialHome:
    """A trial's folder on this machine, and its place at a URL if it has one.

    Args:
        folder: Where this process reads and writes.
        remote: The trial's folder at the URL; None where ``folder`` is the place itself.
    """

    def __init__(self, folder: Path, remote: Remote | None = None) -> None:
        self.folder = folder
        self._remote = remote
        self._mark = f"{secrets.token_hex(8)} pid {os.getpid()} on {socket.gethostname()}\n"
        self._put: dict[str, tuple[int, int]] = {}

    def take_up(self) -> None:
        """From now on the trial is this process's; with a URL, its files are fetched."""
        if self._remote is None:
            write_whole(self.folder / OWNER, self._mark)
            return
        self._remote.write(OWNER, self._mark.encode())
        there = self._remote.sizes()
        if LAST in there:  # else what is here, if anything is, was not put there yet
            previous_of(self.folder / LAST).unlink(missing_ok=True)
            for name in _TAKEN_UP:
                if name not in there or not self._remote.get(name, self.folder / name):
                    (self.folder / name).unlink(missing_ok=True)
                elif name in SMALL:
                    self._put[name] = self._state_of(name)

    def require_ours(self) -> None:
        """Look at the mark, before something is written.

        Raises:
            Superseded: It is another's.
        """
        if self._remote is not None:
            found = (self._remote.read(OWNER) or b"").decode(errors="replace")
        else:
            path = self.folder / OWNER
            with writing(path):
                found = path.read_text(errors="replace") if path.exists() else ""
        if found != self._mark:
            raise Superseded(f"taken up by {found.partition(' ')[2].strip() or 'nobody'}")

    def keep(self, *, best: bool = False) -> None:
        """Have everything of an epoch at the URL, before it is reported.

        Args:
            best: Is the last checkpoint the best one, too?

        Raises:
            Superseded: Another process has the trial.
            UnwritableError: The place does not answer.
        """
        if self._remote is None:
            return
        self.require_ours()
        if self._is_new(LAST):
            self._remote.put(self.folder / LAST, LAST)
            if best:
                self._remote.copy(LAST, BEST)
            self._put[LAST] = self._state_of(LAST)
        self.keep_small()

    def keep_small(self) -> None:
        """The same for what is read by people."""
        if self._remote is None:
            return
        for name in SMALL:
            if not (self.folder / name).exists():
                if self._put.pop(name, None) is not None:
                    self._remote.remove(name)
            elif self._is_new(name):
                self._remote.put(self.folder / name, name)
                self._put[name] = self._state_of(name)

    def _is_new(self, name: str) -> bool:
        return self._put.get(name) != self._state_of(name)

    def _state_of(self, name: str) -> tuple[int, int]:
        state = (self.folder / name).stat()
        return state.st_ino, state.st_mtime_ns


@contextmanager
def at_home(config: Mapping[str, Any]) -> Iterator[TrialHome]:
    """The folder to work in: the one that is named, or one of this process alone.

    Args:
        config: ``number`` and ``folder``; perhaps ``url``, the trial's place; then perhaps
            ``private``, where ``folder`` is on another machine's disk.

    Yields:
        The home. One of this process alone is removed at the end.

    Raises:
        UnwritableError: The disk is full.
    """
    remote = Remote(config["url"]) if config.get("url") else None
    if not config.get("private"):
        yield TrialHome(Path(config["folder"]), remote)
        return
    with _private_folder(node_cache() / "trials") as folder:
        yield TrialHome(folder / str(config["number"]), remote)


@contextmanager
def _private_folder(parent: Path) -> Iterator[Path]:
    """A new folder, locked while its owner lives; those of dead ones are removed."""
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for other in parent.glob("*.lock"):
            _remove_if_dead(other)
        handle, name = tempfile.mkstemp(suffix=".lock", dir=parent)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            folder = Path(name).with_suffix("")
            folder.mkdir()
        except BaseException:
            os.close(handle)
            raise
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(name).unlink(missing_ok=True)
        os.close(handle)


def _remove_if_dead(lock: Path) -> None:
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    finally:
        os.close(handle)
