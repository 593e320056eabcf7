"""Trials at work: in which process, on which node, and whose fault it is when that ends."""

from __future__ import annotations

import logging
from dataclasses import replace

from tune.deaths import DIED, Cause, Deaths
from tune.last_words import find_missing, find_superseded, names_of_ended
from tune.node_faults import SECONDS_AVOIDED, NodeFaults
from tune.room import Room

__all__ = ["AtWork"]

_HUNG = "hung"

log = logging.getLogger("segtune")


class AtWork:
    """All trials that were given out and have not ended, by Ray's names for them.

    Args:
        deaths: How often trials died so far.
        room: Knows the nodes.
    """

    def __init__(self, deaths: Deaths, room: Room) -> None:
        self.numbers: dict[str, int] = {}
        self._deaths, self._room = deaths, room
        self._actors: dict[str, str] = {}
        self._nodes: dict[str, str] = {}
        self._causes: dict[str, Cause] = {}
        self._hung: dict[str, set[int]] = {}
        self._faults, self._since = NodeFaults(), dict[str, int]()

    def add(self, trial_id: str, number: int) -> list[str]:
        """The trial was given out.

        Args:
            trial_id: Ray's name.
            number: The ledger's.

        Returns:
            The nodes that it shall not be on.
        """
        self.numbers[trial_id], self._since[trial_id] = number, self._faults.total
        self._room.avoid(self._faults.avoided)
        return sorted(self._room.avoided)

    def end(self, trial_id: str) -> tuple[int | None, Cause]:
        """The trial has ended; its number, and of what, should it have died."""
        return self.numbers.pop(trial_id, None), self._causes.pop(trial_id, DIED)

    def note_start(self, trial_id: str, actor: str) -> None:
        """The trial is at work in this of Ray's actors."""
        self._actors[trial_id], self._nodes[trial_id] = actor, self._room.node_of(actor)
        self._since[trial_id] = self._faults.total

    def note_busy(self, trial_id: str) -> None:
        """The process that it was to take over was not free."""
        what = "its process was busy with the trial before"
        self._causes[trial_id] = Cause(what, is_foreign=True)

    def note_row(self, trial_id: str) -> None:
        """It lives: what seemed to be its end was none."""
        self._causes.pop(trial_id, None)

    def note_epoch(self, trial_id: str) -> None:
        """The trial has got on."""
        self._deaths.forget(self.numbers[trial_id])
        self._faults.note_epoch()
        self._hung.pop(self._nodes.get(trial_id, ""), None)

    def note_hung(self, trial_id: str, limit_s: float) -> None:
        """Its process is ended for it. Where several hang on one node it is the node that hangs."""
        node, number = self._nodes.get(trial_id, ""), self.numbers[trial_id]
        cause = Cause(_HUNG, f"no epoch within {limit_s:.0f} s")
        hung = self._hung.setdefault(node, set()) if node else set()
        if others := hung - {number}:
            cause = replace(cause, is_foreign=True)
            for other in others:  # which has died by now, or is about to
                self._deaths.excuse(other, _HUNG)
            for one, before in self._causes.items():
                if self.numbers.get(one) in others and before.what == _HUNG:
                    self._causes[one] = replace(before, is_foreign=True)
        hung.add(number)
        self._causes[trial_id] = cause

    def note_error(self, trial_id: str, error: str) -> str:
        """Its process is gone, and perhaps all of its node.

        Args:
            trial_id: Whose.
            error: All that Ray said.

        Returns:
            Why the search must end; empty while it may go on.
        """
        if node := self._room.find_lost(self._nodes.get(trial_id, "")):
            self._causes[trial_id] = Cause("its node was lost", node, is_foreign=True)
        elif other := find_superseded(error):
            self._causes[trial_id] = Cause("its process was cut off", other, is_foreign=True)
        elif self._room.is_joined and trial_id not in self._causes:
            place, missing = find_missing(error)
            if missing:
                self._nodes[trial_id] = self._nodes.get(trial_id) or place
                said = f"node {place}: {missing}; every node needs what the driver has installed"
                return self.note_fault(trial_id, "missing", said)
        return ""

    def note_fault(self, trial_id: str, kind: str, said: str) -> str:
        """The trial's node is at fault: it goes on elsewhere, unless that is bad, too.

        Args:
            trial_id: Whose.
            kind: Of the fault.
            said: Names the node and says what is wrong.

        Returns:
            Why the search must end; empty while it may go on.
        """
        self._causes[trial_id] = Cause("its node is at fault", said, is_foreign=True)
        node, before = self._nodes.get(trial_id, ""), self._room.avoided
        self._faults.note(node, kind, said, since=self._since[trial_id])
        self._room.avoid(self._faults.avoided)
        if self._room.avoided - before:
            log.warning(
                "%s gets no trials for %.0f min; mend it, or take it out of the cluster",
                said.partition(": ")[0],
                SECONDS_AVOIDED / 60,
            )
        return self._faults.verdict

    def with_process(self, shortage: str = "") -> list[int]:
        """Numbers of the trials that do not wait for their process.

        Args:
            shortage: What Ray's memory monitor said: whom it names, if it names any.

        Returns:
            The numbers.
        """
        began = {one: number for one, number in self.numbers.items() if one in self._actors}
        ended = names_of_ended(shortage)
        named = [number for one, number in began.items() if self._actors[one] in ended]
        return named or list(began.values())
