"""A run directory kept at a URL: the driver's own copy, and the place that it is held in step with.

What the driver writes goes to the URL whole. The journal goes there at each start and end
of a trial before anything else happens, of epochs every few seconds: what a checkpoint
says of epochs that a journal lacks is reported again by who takes the trial up.

Each driver leaves a mark of its own there when it begins, and looks for it before it puts
the journal: one that was cut off, while another took the run over, puts nothing any more.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from seglib.errors import UnwritableError
from tune.remote import Remote
from tune.trial_files import (
    BEST,
    CASES,
    EPOCHS,
    ERROR,
    FINAL,
    LAST,
    LEGACY,
    NOTES,
    RECIPE,
    trial_folder,
)

__all__ = ["Mirror"]

log = logging.getLogger("segtune")

JOURNAL = "journal.log"
DRIVER = "driver.json"
FILES = (
    "study.yaml",
    "splits.json",
    "environment.json",
    "ledger.id",
    "leaderboard.csv",
    "best.yaml",
    "report.html",
)
SECONDS_BETWEEN = 5.0
_OF_A_TRIAL = (RECIPE, EPOCHS, CASES, NOTES, FINAL, LEGACY, ERROR)
_SECONDS_FOR_THE_FIRST_ANSWER = 15.0


class Mirror:
    """Holds a run directory and its place at a URL in step; an observer of the search.

    Args:
        folder: The run directory on this machine.
        url: Its place.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self._folder = folder
        self._remote = Remote(url)
        self._mark = {"mark": secrets.token_hex(8), "pid": os.getpid(), "on": socket.gethostname()}
        self._put: dict[str, tuple[int, int]] = {}
        self._next_at, self._is_behind, self._is_anothers = 0.0, False, False

    def begin(self) -> None:
        """Take the run over, and fetch what the copy here lacks.

        Raises:
            UnwritableError: The place does not answer.
        """
        first = Remote(self.url, _SECONDS_FOR_THE_FIRST_ANSWER)
        first.write(DRIVER, json.dumps(self._mark).encode())
        there = first.sizes()
        if JOURNAL in there:
            self._settle_journal()
        for name in FILES:
            if name in there:
                self._remote.get(name, self._folder / name)
                self._put[name] = self._state_of(name)
        for name, size in there.items():
            if name.startswith("trials/") and name.split("/", 2)[2] in _OF_A_TRIAL:
                file = self._folder / name
                if not file.exists() or file.stat().st_size != size:
                    self._remote.get(name, file)

    def _settle_journal(self) -> None:
        """The longer one, where one is the other's beginning; else what others could see."""
        theirs = self._remote.read(JOURNAL) or b""
        path = self._folder / JOURNAL
        ours = path.read_bytes() if path.exists() else b""
        whole = ours[: ours.rfind(b"\n") + 1]
        self._is_behind = whole != theirs and whole.startswith(theirs)
        if whole == theirs or self._is_behind:
            return
        if not theirs.startswith(whole):
            log.warning(
                "%s: another search went on from %s; what the copy here had of epochs since is "
                "read from the checkpoints there",
                JOURNAL,
                self._remote.url,
            )
        self._remote.get(JOURNAL, path)

    def appended(self, urgent: bool) -> None:
        """The journal here has grown.

        Args:
            urgent: Put it now, as a trial began or ended; else every few seconds.

        Raises:
            UnwritableError: The place does not answer, or another driver took the run over.
        """
        self._is_behind = True
        if urgent or time.monotonic() >= self._next_at:
            self._put_journal()

    def _put_journal(self) -> None:
        if not self._is_behind or not (self._folder / JOURNAL).exists():
            return
        self._require_ours()
        self._remote.put(self._folder / JOURNAL, JOURNAL)
        self._is_behind, self._next_at = False, time.monotonic() + SECONDS_BETWEEN

    def _require_ours(self) -> None:
        found = json.loads(self._remote.read(DRIVER) or b"{}")
        if found.get("mark") != self._mark["mark"]:
            self._is_anothers = True
            other = f"pid {found.get('pid', '?')} on {found.get('on', '?')}"
            reason = f"another search took this run over ({other}). This one ends"
            raise UnwritableError(self._remote.url, reason)

    def close(self) -> None:
        """Put what has changed here, unless it was said already that it cannot be."""
        if not (self._remote.is_gone or self._is_anothers):
            self.push()

    def push(self) -> None:
        """Put what has changed here.

        Raises:
            UnwritableError: The place does not answer, or another driver took the run over.
        """
        self._put_journal()
        changed = [
            name
            for name in FILES
            if (self._folder / name).exists() and self._put.get(name) != self._state_of(name)
        ]
        if changed:
            self._require_ours()
        for name in changed:
            state = self._state_of(name)
            self._remote.put(self._folder / name, name)
            self._put[name] = state

    def started(self, order: Any) -> None:
        """Put the trial's recipe beside its other files."""
        name = self._name(order.number, RECIPE)
        if (self._folder / name).exists():
            self._remote.put(self._folder / name, name)

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Nothing: the trial's process has put its files there."""

    def finished(self, number: int) -> None:
        """Fetch what people read of the trial, and put what is new here."""
        there = self._remote.sizes(f"trials/{number}")
        for name in _OF_A_TRIAL:
            if name in there and name != RECIPE:
                self._remote.get(self._name(number, name), self._folder / self._name(number, name))
        self.push()

    def bring_checkpoints(self, numbers: Collection[int]) -> None:
        """Fetch trials' checkpoints, those that are there, for trials that go on from them.

        Args:
            numbers: Of the trials.
        """
        for number in numbers:
            for name in (BEST, LAST):
                name = self._name(number, name)
                self._remote.get(name, self._folder / name)

    def give_checkpoints(self, numbers: Collection[int]) -> None:
        """Put trials' files there, where they have not begun yet.

        Args:
            numbers: Of the trials.
        """
        for number in numbers:
            folder = trial_folder(self._folder, number)
            if LAST in self._remote.sizes(f"trials/{number}"):
                continue
            for name in (NOTES, CASES, BEST, LAST):  # with the last one all are there
                if (folder / name).exists():
                    self._remote.put(folder / name, self._name(number, name))

    def list_kept(self) -> set[int]:
        """Trials that have checkpoints there."""
        parts = [name.split("/") for name in self._remote.sizes("trials")]
        return {int(part[0]) for part in parts if part[1] == "checkpoint"}

    def sizes(self, number: int) -> Mapping[str, int]:
        """Bytes of a trial's checkpoints there, by name."""
        return self._remote.sizes(f"trials/{number}/checkpoint")

    def remove_checkpoints(self, number: int) -> None:
        """Remove a trial's checkpoints, there and here."""
        self._remote.remove(f"trials/{number}/checkpoint")
        shutil.rmtree((trial_folder(self._folder, number) / LAST).parent, ignore_errors=True)

    def _name(self, number: int, name: str) -> str:
        return f"trials/{number}/{name}"

    def _state_of(self, name: str) -> tuple[int, int]:
        state = (self._folder / name).stat()
        return state.st_ino, state.st_mtime_ns
