"""What a trial gets and how many run at once, on this machine or on the nodes of a cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seglib.errors import Problem, StudyFileError
from tune.gpu_share import gpus_per_trial
from tune.nodes import Node, fit_in_all, room_on, say_nodes
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from seglib.data.store import Store

__all__ = ["Allotment", "allot", "require_gpus_here", "say_shares", "survey"]


@dataclass(frozen=True)
class Allotment:
    """What each trial gets.

    Args:
        cpus: Cores.
        gpus: GPUs, or a share of one.
        concurrent: Trials at once; None for as many as the nodes of a cluster have room for.
    """

    cpus: int
    gpus: float
    concurrent: int | None


def survey(study: StudyFile, address: str, folders: Sequence[Path]) -> tuple[Node, ...] | None:
    """See that trials can run there at all, before anything is prepared.

    A cluster is joined for it, and left again: preparing data may take hours.

    Args:
        study: Says what a trial wants.
        address: Of the cluster, or ``local``.
        folders: What each node must see as this machine does; none with a storage elsewhere.

    Returns:
        The nodes, those that a trial fits on with the memory of their GPUs; None for a Ray of
        our own.

    Raises:
        StudyFileError: No node is large enough.
        RunError: There is no such cluster, or nodes are not fit: all faults of all of them.
    """
    if address == "local":
        return None
    from tune.cluster import running_ray
    from tune.nodes import living_nodes
    from tune.probe import probe

    cpus, gpus = _cpus(study), _wish(study)
    with running_ray(address, cpus):
        nodes = living_nodes()
        _require_room(study, nodes, cpus=cpus, gpus=gpus)
        useful = [node for node in nodes if room_on(node, cpus, gpus)]
        known = {node.identity: node for node in probe(useful, folders)}
    return tuple(known.get(node.identity, node) for node in nodes)


def require_gpus_here(study: StudyFile) -> None:
    """See that this machine has the GPUs of a trial: Ray would wait for them without an end.

    Args:
        study: Says what a trial wants.

    Raises:
        StudyFileError: It has not.
    """
    import torch

    wish, count = _wish(study), torch.cuda.device_count()
    if wish > count:
        wanted = f"at most {count}, as many as this machine has"
        problem = Problem("resources.gpus_per_trial", f"{wish:g}", wanted)
        raise StudyFileError(str(study.path), [problem])


def allot(study: StudyFile, store: Store, nodes: Sequence[Node] | None) -> Allotment:
    """What each trial gets, and how many run at once.

    Args:
        study: Its wishes.
        store: Says how large images and data are.
        nodes: Of the cluster; None for this machine.

    Returns:
        The allotment.

    Raises:
        StudyFileError: No node of the cluster is large enough for it.
    """
    cpus, gpus = _cpus(study), gpus_per_trial(study, store, nodes)
    if nodes is None:
        return Allotment(cpus, gpus, _concurrent_here(study, gpus))
    _require_room(study, nodes, cpus=cpus, gpus=gpus)
    return Allotment(cpus, gpus, study.resources.concurrent)


def say_shares(nodes: Sequence[Node] | None, allotment: Allotment) -> str:
    """Which nodes take part, and with how many trials at once.

    Args:
        nodes: Of the cluster; None for this machine.
        allotment: Of a trial.

    Returns:
        A line; empty for a Ray of our own.
    """
    if nodes is None:
        return ""
    cpus, gpus = allotment.cpus, allotment.gpus
    room = {node: room_on(node, cpus, gpus) for node in nodes}
    takes = [f"{node.address} ({fit})" for node, fit in room.items() if fit]
    idle = [str(node) for node, fit in room.items() if not fit]
    text = f"cluster: {len(takes)} of {len(nodes)} nodes take part, {sum(room.values())} trials at "
    text += f"once, each with {_request(cpus, gpus)}: {', '.join(takes)}"
    return text + (f"; too small: {', '.join(idle)}" if idle else "") + "\n"


def _require_room(study: StudyFile, nodes: Sequence[Node], *, cpus: int, gpus: float) -> None:
    """With a fixed number of trials at once Ray waits for a node that may be added."""
    if fit_in_all(nodes, cpus, gpus) or study.resources.concurrent:
        return
    small = not any(node.cpus >= cpus for node in nodes)
    hint = f"{say_nodes(nodes)}; where an autoscaler adds nodes that are large enough, "
    hint += "resources.concurrent says how many trials to ask it for"
    problems = []
    if small:
        found, wanted = f"{cpus} CPUs", f"at most {max([0, *(n.cpus for n in nodes)]):g}"
        problems.append(_never("cpus_per_trial", found, wanted, hint))
    if gpus and not any(node.gpus >= gpus for node in nodes):
        found, wanted = f"{gpus:g} GPUs", f"at most {max([0, *(n.gpus for n in nodes)]):g}"
        problems.append(_never("gpus_per_trial", found, wanted, hint))
    if not problems:
        wanted = "what one node has"
        problems.append(_never("gpus_per_trial", _request(cpus, gpus), wanted, hint))
    raise StudyFileError(str(study.path), problems)


def _never(name: str, found: str, wanted: str, hint: str) -> Problem:
    wanted += ", on one node of the cluster: such a trial could never start"
    return Problem(f"resources.{name}", found, wanted, hint)


def _request(cpus: int, gpus: float) -> str:
    text = f"{cpus} CPU{'' if cpus == 1 else 's'}"
    return text + (f" and {gpus:g} GPU{'' if gpus <= 1 else 's'}" if gpus else "")


def _cpus(study: StudyFile) -> int:
    return max(1, int(study.resources.cpus_per_trial))


def _wish(study: StudyFile) -> float:
    """GPUs that the study asks for by a number; 0 where it leaves that to us."""
    wish = study.resources.gpus_per_trial
    return 0.0 if wish == "auto" else wish


def _concurrent_here(study: StudyFile, gpus: float) -> int:
    """No more trials are asked for than can run: a proposal made late knows more."""
    fits = len(os.sched_getaffinity(0)) // _cpus(study)
    if gpus:
        import torch

        fits = min(fits, int(torch.cuda.device_count() / gpus))
    fits = max(fits, 1)
    return min(study.resources.concurrent or fits, fits)
