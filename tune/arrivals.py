"""Waiting for a node that a trial fits on: what was started a minute ago may still install."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from tune.joined import Pulse, wrong_address
from tune.nodes import Node, fit_in_all, living_nodes, say_nodes, say_request

__all__ = ["WAIT", "await_room", "patience_s"]

WAIT: Final = "SEGTUNE_NODE_WAIT_S"
"""Variable of the environment: seconds to wait for a node that a trial fits on."""

_SECONDS_TO_WAIT = 600.0
_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_BETWEEN_WORDS = 60.0

log = logging.getLogger("segtune")


def patience_s() -> float:
    """How long a node that fits is waited for.

    Returns:
        Seconds, as :data:`WAIT` says; ten minutes where it says nothing of use.
    """
    with suppress(ValueError):
        return max(0.0, float(os.environ[WAIT])) if os.environ.get(WAIT) else _SECONDS_TO_WAIT
    return _SECONDS_TO_WAIT


def await_room(wants: Sequence[tuple[int, float]], pulse: Pulse) -> tuple[Node, ...]:
    """The nodes of the joined cluster, once a trial fits on one, or when none has come in time.

    Meanwhile an autoscaler is asked for such a node; where there is none nobody hears it.

    Args:
        wants: Cores and GPUs of a trial, one or the other pair of them.
        pulse: Of the cluster.

    Returns:
        All nodes that live then; the caller looks whether one fits.

    Raises:
        RunError: The head of the cluster died.
    """
    nodes = living_nodes()
    if _fits(nodes, wants):
        return nodes
    began, next_word_at, wait_s = time.monotonic(), 0.0, patience_s()
    with _asking_for(wants, pulse):
        while not _fits(nodes, wants) and (waited := time.monotonic() - began) < wait_s:
            if waited >= next_word_at:
                log.warning("%s", _say_waiting(nodes, wants, left_s=wait_s - waited))
                next_word_at += _SECONDS_BETWEEN_WORDS
            time.sleep(min(_SECONDS_BETWEEN_LOOKS, wait_s - waited))
            if pulse.is_dead:
                raise wrong_address(f"{pulse.address}, whose head died", "a running cluster")
            if pulse.feel_now():  # else Ray would wait for its answer
                nodes = living_nodes()
    return nodes


def _fits(nodes: Sequence[Node], wants: Sequence[tuple[int, float]]) -> bool:
    return any(fit_in_all(nodes, cpus, gpus) for cpus, gpus in wants)


def _say_waiting(
    nodes: Sequence[Node], wants: Sequence[tuple[int, float]], *, left_s: float
) -> str:
    text = " or ".join(say_request(cpus, gpus) for cpus, gpus in wants)
    left = f"{left_s / 60:.0f} min" if left_s >= 60 else f"{left_s:.0f} s"
    return f"no node has room for a trial yet; waiting up to {left} for one with {text} " + (
        f"({say_nodes(nodes)})"
    )


@contextmanager
def _asking_for(wants: Sequence[tuple[int, float]], pulse: Pulse) -> Iterator[None]:
    """An autoscaler adds a node for each; what was asked for is taken back afterwards."""
    from ray.autoscaler.sdk import request_resources

    bundles = [{"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus} for cpus, gpus in wants]
    request_resources(bundles=bundles)
    try:
        yield
    finally:
        if pulse.feel_now():
            request_resources(bundles=[])
