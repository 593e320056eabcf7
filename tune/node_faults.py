"""Faults of nodes, such as a full disk or a missing mount: which to keep away from, when to stop.

A bad node is free again at once, and would be given the next trial: so it gets none for a
while, where another node can take them. Where faults come in a row without one epoch
between them it is not one node that is bad, and the search ends. Knows nothing of Ray.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

__all__ = ["NodeFaults"]

MOST_IN_A_ROW = 3
SECONDS_AVOIDED = 3600.0


@dataclass(frozen=True)
class _Fault:
    node: str
    kind: str
    said: str


class NodeFaults:
    """The faults since the last epoch that was heard, and the nodes that had one lately.

    When one node fails, all trials on it say so: that is one fault.
    """

    def __init__(self) -> None:
        self._row: list[_Fault] = []
        self._counts: dict[str, int] = {}
        self._until: dict[str, float] = {}
        self.total = 0
        """Of all times: what :meth:`note` wants to know of a trial's start."""

    def note(self, node: str, kind: str, said: str, *, since: int) -> None:
        """A trial cannot go on where it is.

        Args:
            node: Its node.
            kind: Of the fault.
            said: Names the node for the user, and says what is wrong.
            since: ``total`` when the trial was given to the node.
        """
        self._until[node] = time.monotonic() + SECONDS_AVOIDED
        if self._counts.get(node, 0) <= since:
            self.total += 1
            self._counts[node] = self.total
            self._row.append(_Fault(node, kind, said))

    def note_epoch(self) -> None:
        """Somewhere the search goes on."""
        self._row.clear()

    @property
    def avoided(self) -> frozenset[str]:
        """Nodes that shall get no trial for now."""
        now = time.monotonic()
        return frozenset(node for node, until in self._until.items() if until > now)

    @property
    def verdict(self) -> str:
        """Why the search must end; empty while it may go on."""
        if not self._row:
            return ""
        last = self._row[-1]
        alike = {fault.node for fault in self._row if fault.kind == last.kind}
        if len(alike) < 2 and len(self._row) < MOST_IN_A_ROW:
            return ""
        said = "; ".join(dict.fromkeys(fault.said for fault in self._row))
        times = f"{len(self._row)} times in a row no trial could go on, without an epoch between"
        return f"{said} ({times}). Mend what is named, or take those nodes out of the cluster"
