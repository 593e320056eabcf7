"""A run directory kept at a URL: the driver's own copy, and the place that it is held in step with.

What the driver writes goes to the URL whole. The journal goes there at each start and end
of a trial before anything else happens, of epochs every few seconds: what a checkpoint
says of epochs that a journal lacks is reported again by who takes the trial up.

Each driver leaves a mark of its own there right before it trains, and looks for it before
it puts anything: one that was cut off, while another took the run over, puts nothing any
more. A command that is refused leaves no mark, so that it disturbs nobody.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from seglib.errors import Problem, RunError, UnwritableError
from tune.far_journal import JOURNAL, FarJournal
from tune.remote import Remote
from tune.trial_files import BEST, CASES, LAST, NOTES, RECIPE, SMALL, trial_folder

__all__ = ["Mirror", "describe_driver"]

log = logging.getLogger("segtune")

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
_OF_A_TRIAL = (RECIPE, *SMALL)
_SECONDS_FOR_THE_FIRST_ANSWER = 15.0
_FETCHED_AT_ONCE = 8


class Mirror:
    """Holds a run directory and its place at a URL in step; an observer of the search.

    Args:
        folder: The run directory on this machine.
        url: Its place.
    """

    is_vital = True  # when it fails the search ends, which would go on unseen

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self._folder = folder
        self._remote = Remote(url)
        self._journal = FarJournal(self._remote, folder / JOURNAL)
        self._mark = {"mark": secrets.token_hex(8), "pid": os.getpid(), "on": socket.gethostname()}
        self._put: dict[str, tuple[int, int]] = {}
        self._next_at, self._is_behind = 0.0, False
        self._has_begun, self._is_anothers = False, False

    def fetch(self) -> None:
        """Fetch what the copy here lacks; nothing is changed there, and nobody is disturbed.

        Raises:
            UnwritableError: The place does not answer, or takes no files.
        """
        first = Remote(self.url, _SECONDS_FOR_THE_FIRST_ANSWER)
        trace = f"begin-{self._mark['mark']}.tmp"
        first.write(trace, b"")  # told now, and not after the data were prepared
        first.remove(trace)
        there = first.sizes()
        self._is_behind = self._journal.settle()
        wanted = [name for name in FILES if name in there]
        wanted += [name for name, size in there.items() if self._lacks(name, size)]
        with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
            list(pool.map(lambda name: self._remote.get(name, self._folder / name), wanted))
        self._put.update((name, self._state_of(name)) for name in FILES if name in there)

    def _lacks(self, name: str, size: int) -> bool:
        if not name.startswith("trials/") or name.split("/", 2)[2] not in _OF_A_TRIAL:
            return False
        file = self._folder / name
        return not file.exists() or file.stat().st_size != size

    def take_over(self) -> None:
        """From now on the run is this driver's; to be called once nothing can be refused.

        Raises:
            RunError: Another driver has written there since :meth:`fetch`: it is at work.
            UnwritableError: The place does not answer.
        """
        self._require_still()
        self._remote.write(DRIVER, json.dumps(self._mark).encode())
        self._require_still()  # it may have been in the middle of it
        self._has_begun = True

    def _require_still(self) -> None:
        if not self._journal.has_moved():
            return
        found = f"a search at work there ({describe_driver(self._remote)})"
        hint = "wait for it or stop it; if it has ended just now, the same command goes on"
        problem = Problem(JOURNAL, found, "a run that no other process works on", hint)
        raise RunError(self.url, [problem])

    def appended(self, urgent: bool) -> None:
        """The journal here has grown.

        Args:
            urgent: Put it now, as a trial began or ended; else every few seconds.

        Raises:
            UnwritableError: The place does not answer, or another driver took the run over.
        """
        self._is_behind = True
        if self._has_begun and (urgent or time.monotonic() >= self._next_at):
            self._put_journal()

    def _put_journal(self) -> None:
        if not self._is_behind or not (self._folder / JOURNAL).exists():
            return
        self._require_ours()
        self._journal.put(look=self._require_ours)
        self._is_behind, self._next_at = False, time.monotonic() + SECONDS_BETWEEN

    def _require_ours(self) -> None:
        mark = _read_mark(self._remote)
        if mark.get("mark") == self._mark["mark"]:
            return
        self._is_anothers = True
        reason = f"{DRIVER} there is gone or damaged, so that nobody knows whose the run is. "
        if mark:
            reason = f"another search took this run over ({describe_driver(self._remote)}). "
        raise UnwritableError(self._remote.url, f"{reason}This one ends")

    def close(self) -> None:
        """Put what has changed here, unless the run is not ours or the place is gone."""
        if self._has_begun and not (self._remote.is_gone or self._is_anothers):
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
        """Put the trial's recipe beside its other files.

        Args:
            order: The trial.

        Raises:
            UnwritableError: The place does not answer, or another driver took the run over.
        """
        name = self._name(order.number, RECIPE)
        if (self._folder / name).exists():
            self._require_ours()
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
        self._require_ours()
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
        self._require_ours()
        self._remote.remove(f"trials/{number}/checkpoint")
        shutil.rmtree((trial_folder(self._folder, number) / LAST).parent, ignore_errors=True)

    def _name(self, number: int, name: str) -> str:
        return f"trials/{number}/{name}"

    def _state_of(self, name: str) -> tuple[int, int]:
        state = (self._folder / name).stat()
        return state.st_ino, state.st_mtime_ns


def describe_driver(remote: Remote) -> str:
    """Who began there last.

    Args:
        remote: The place of a run directory.

    Returns:
        Such as ``pid 7 on host``; whether it is still at work is another question.
    """
    mark = _read_mark(remote)
    return f"pid {mark.get('pid', '?')} on {mark.get('on', '?')}"


def _read_mark(remote: Remote) -> dict[str, Any]:
    """Empty where there is none that can be read."""
    try:
        found = json.loads(remote.read(DRIVER) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
