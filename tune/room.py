"""How many trials a search has room for, on this machine or on the nodes of a joined cluster."""

from __future__ import annotations

import importlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from tune.joined import Pulse
from tune.nodes import (
    Node,
    find_lost,
    fit_in_all,
    free_nodes,
    living_nodes,
    say_nodes,
    say_request,
)

__all__ = ["Room"]

_SECONDS_BETWEEN_LOOKS = 3.0
_LONGEST_LOOK_S = 30.0
_MOST_SECONDS_WITHOUT_ROOM = 1800.0

log = logging.getLogger("segtune")


class Room:
    """How many trials are asked for at once: a proposal made late knows more.

    Args:
        cpus: Of a trial.
        gpus: Of a trial.
        concurrent: A fixed number; None for as many as the nodes have room for.
        pulse: Of a joined cluster; None for a Ray of our own, where what fits is known before.
        halt: Ends the search, with a sentence for the user, when no node has come for long.
    """

    def __init__(
        self,
        cpus: float,
        gpus: float,
        concurrent: int | None,
        pulse: Pulse | None = None,
        *,
        halt: Callable[[str], None] | None = None,
    ) -> None:
        self._halt, self._without_room_s = halt, 0.0
        self._cpus, self._gpus, self._fixed, self._pulse = cpus, gpus, concurrent, pulse
        self._most, self._at_work, self._fits = 1, 0, True
        self._looked_at = -math.inf
        self.avoided: frozenset[str] = frozenset()
        """Nodes, by identity, that get no trial for now."""

    def most(self, at_work: int) -> int | None:
        """The limit now; while the head of the cluster is silent nothing new is asked for.

        Args:
            at_work: Trials that were given out and have not ended.

        Returns:
            A number of trials; None for no limit.
        """
        self._at_work = max(self._at_work, at_work)
        if self._pulse is None:
            return self._fixed
        most = self._fixed or self._most
        if at_work < most and not (self._pulse.is_fresh and self._pulse.feel_now()):
            return 0
        return most

    def find_dead(self) -> str:
        """The head of a joined cluster, if it has died; else empty."""
        if self._pulse is None or not self._pulse.is_dead:
            return ""
        return f"the head of the cluster at {self._pulse.address}"

    def look(self, at_work: int) -> None:
        """Count anew what fits, every few seconds: nodes join and die.

        Args:
            at_work: As above. What these trials hold is not free, but theirs.
        """
        now = time.monotonic()
        if self._pulse is None or now < self._looked_at + _SECONDS_BETWEEN_LOOKS:
            return
        passed_s, self._looked_at = min(now - self._looked_at, _LONGEST_LOOK_S), now
        if not self._pulse.feel_now():  # Ray would wait for its answer
            return
        nodes = self._without_avoided(living_nodes())
        fit = fit_in_all(nodes, self._cpus, self._gpus)
        if self._fits and not fit:
            log.warning(
                "no living node is large enough for a trial; waiting (%s)", say_nodes(nodes)
            )
        self._count_without_room(fit, passed_s, nodes)
        held = max(self._at_work, at_work)  # one that has just ended leaves its place to the next
        free = fit_in_all(self._without_avoided(free_nodes()), self._cpus, self._gpus)
        self._most, self._at_work, self._fits = max(1, min(fit, held + free)), at_work, fit > 0

    def avoid(self, bad: frozenset[str]) -> None:
        """Keep trials away from nodes, unless no other node is large enough.

        Args:
            bad: All nodes that shall be avoided from now on, by identity or address.
        """
        if self._pulse is None or not self._pulse.feel_now():
            return
        nodes = living_nodes()
        avoided = frozenset(one.identity for one in nodes if {one.identity, one.address} & bad)
        others = [node for node in nodes if node.identity not in avoided]
        self.avoided = avoided if fit_in_all(others, self._cpus, self._gpus) else frozenset()

    def _without_avoided(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        return tuple(node for node in nodes if node.identity not in self.avoided)

    def _count_without_room(self, fit: int, passed_s: float, nodes: Sequence[Node]) -> None:
        """Trials that wait are what an autoscaler grows for; where none comes it is over."""
        self._without_room_s = 0.0 if fit else self._without_room_s + passed_s
        if self._halt is not None and self._without_room_s >= _MOST_SECONDS_WITHOUT_ROOM:
            self._halt(
                f"for {_MOST_SECONDS_WITHOUT_ROOM / 60:.0f} min no living node was large enough "
                f"for a trial, which wants {say_request(self._cpus, self._gpus)} "
                f"({say_nodes(nodes)}); the same command goes on once there is one"
            )

    @property
    def is_joined(self) -> bool:
        """Do others run this Ray?"""
        return self._pulse is not None

    def node_of(self, actor: str) -> str:
        """On which node of a joined cluster one of Ray's actors is; empty where nobody knows."""
        if self._pulse is None or not self._pulse.feel_now():
            return ""
        state: Any = importlib.import_module("ray._private.state")
        return str((state.actors(actor) or {}).get("Address", {}).get("NodeID", ""))

    def find_lost(self, identity: str) -> str:
        """Is this node gone, by what Ray knows, or as nobody listens there any more?

        Args:
            identity: Of the node; may be empty.

        Returns:
            Its name, if it is gone.
        """
        if not identity or self._pulse is None or not self._pulse.feel_now():
            return ""
        return find_lost(identity)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray writes its state to disk, and what is here is of this moment."""
        return {}
