"""What a trial gets and how many run at once, on this machine or on the nodes of a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.errors import Problem, StudyFileError
from tune.gpu_share import gpus_per_trial
from tune.joined import check_address
from tune.nodes import Node, fit_in_all, room_on, say_nodes, say_request
from tune.number_format import formats_of, settle_format
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from seglib.data.store import Store

__all__ = ["Allotment", "allot", "require_place", "say_shares", "settle", "survey"]

_WRITTEN_DOWN = ("address", "cpus", "gpus", "kind", "gpu_memory_gb", "processor")


@dataclass(frozen=True)
class Allotment:
    """What each trial gets.

    Args:
        cpus: Cores.
        gpus: GPUs, or a share of one.
        concurrent: Trials at once; None for as many as the nodes of a cluster have room for.
        precision: Number format of recipes that leave it open; None for what each device takes.
    """

    cpus: int
    gpus: float
    concurrent: int | None
    precision: str | None = None


def survey(study: StudyFile, address: str, places: Sequence[Path | str]) -> tuple[Node, ...] | None:
    """See that trials can run there at all, before anything is prepared.

    A cluster is joined for it, and left again: preparing data may take hours. Where no trial
    fits yet, a node on its way is waited for.

    Args:
        study: Says what a trial wants.
        address: Of the cluster, or ``local``.
        places: Folders and URLs that each node must see as this machine does.

    Returns:
        The nodes, those that a trial fits on with what a probe found there; None for a Ray of
        our own.

    Raises:
        StudyFileError: No node is large enough.
        RunError: There is no such cluster, or nodes are not fit: all faults of all of them.
    """
    if address == "local":
        return None
    from tune.arrivals import await_room
    from tune.cluster import running_ray
    from tune.probe import probe

    cpus, gpus = study.resources.cores, _wish(study)
    is_open = study.resources.gpus_per_trial == "auto"
    with running_ray(address, cpus) as pulse:
        assert pulse is not None  # of a cluster
        nodes = await_room([(cpus, 1.0), (cpus, 0.0)] if is_open else [(cpus, gpus)], pulse)
        _require_room(study, nodes, cpus=cpus, gpus=gpus)
        useful = [node for node in nodes if room_on(node, cpus, gpus)]
        known = {node.identity: node for node in probe(useful, places)}
    lost = {node.identity for node in useful} - known.keys()
    nodes = tuple(known.get(one.identity, one) for one in nodes if one.identity not in lost)
    _require_room(study, nodes, cpus=cpus, gpus=gpus)
    return nodes


def require_place(study: StudyFile, address: str) -> None:
    """See that there is a cluster, or that this machine has the GPUs of a trial.

    Ray would wait for them without an end.

    Args:
        study: Says what a trial wants.
        address: Of the cluster, or ``local``.

    Raises:
        RunError: Nobody answers at the address.
        StudyFileError: This machine has too few GPUs.
    """
    check_address(address)
    if address != "local":
        return
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
    cpus, gpus = study.resources.cores, gpus_per_trial(study, store, nodes)
    if nodes is None:
        return Allotment(cpus, gpus, _concurrent_here(study, gpus))
    _require_room(study, nodes, cpus=cpus, gpus=gpus)
    return Allotment(cpus, gpus, study.resources.concurrent)


def settle(
    allotment: Allotment, nodes: Sequence[Node] | None, starts: Sequence[Mapping[str, Any]]
) -> tuple[Allotment, dict[str, Any], str]:
    """With one number format for all trials, and what is to be written down of where they train.

    Args:
        allotment: Of a trial.
        nodes: Of the cluster; None for this machine.
        starts: Records of the starts before.

    Returns:
        The allotment, fields of the record of this start, and what to say; perhaps nothing.
    """
    taking = None if nodes is None else [one for one in nodes if _room(one, allotment)]
    on_gpu = allotment.gpus > 0
    found = settle_format(formats_of(taking, on_gpu=on_gpu), starts, on_gpu=on_gpu)
    record: dict[str, Any] = {}
    if taking is not None:
        record["nodes"] = [{name: getattr(node, name) for name in _WRITTEN_DOWN} for node in taking]
    if found is None:
        return allotment, record, ""
    record["auto_precision"] = found.name
    said = f"{found.said}\n" if found.said else ""
    return replace(allotment, precision=found.name), record, said


def say_shares(study: StudyFile, nodes: Sequence[Node] | None, allotment: Allotment) -> str:
    """Which nodes take part, and with how many trials at once.

    Args:
        study: Says whether it asks for a GPU itself.
        nodes: Of the cluster; None for this machine.
        allotment: Of a trial.

    Returns:
        Lines; empty for a Ray of our own.
    """
    if nodes is None:
        return ""
    room = {node: _room(node, allotment) for node in nodes}
    takes = [f"{node.address} ({fit})" for node, fit in room.items() if fit]
    idle = [str(node) for node, fit in room.items() if not fit]
    text = f"cluster: {len(takes)} of {len(nodes)} nodes take part, {sum(room.values())} trials at "
    text += f"once, each with {say_request(allotment.cpus, allotment.gpus)}: {', '.join(takes)}"
    text += (f"; too small: {', '.join(idle)}" if idle else "") + "\n"
    if study.resources.gpus_per_trial == "auto" and not allotment.gpus:
        few = "with the cores for a trial " if any(node.gpus for node in nodes) else ""
        text += f"no node {few}has a GPU: trials run on CPUs\n"
    return text


def _room(node: Node, allotment: Allotment) -> int:
    return room_on(node, allotment.cpus, allotment.gpus)


def _require_room(study: StudyFile, nodes: Sequence[Node], *, cpus: int, gpus: float) -> None:
    """Ray itself would wait without an end."""
    if fit_in_all(nodes, cpus, gpus):
        return
    small = not any(node.cpus >= cpus for node in nodes)
    hint = f"{say_nodes(nodes)}; no larger one has joined, nor has an autoscaler added one"
    problems = []
    if small:
        found, wanted = f"{cpus} CPUs", f"at most {max([0, *(n.cpus for n in nodes)]):g}"
        problems.append(_never("cpus_per_trial", found, wanted, hint))
    if gpus and not any(node.gpus >= gpus for node in nodes):
        found, wanted = f"{gpus:g} GPUs", f"at most {max([0, *(n.gpus for n in nodes)]):g}"
        problems.append(_never("gpus_per_trial", found, wanted, hint))
    if not problems:
        wanted = "what one node has"
        problems.append(_never("gpus_per_trial", say_request(cpus, gpus), wanted, hint))
    raise StudyFileError(str(study.path), problems)


def _never(name: str, found: str, wanted: str, hint: str) -> Problem:
    wanted += ", on one node of the cluster: such a trial could never start"
    return Problem(f"resources.{name}", found, wanted, hint)


def _wish(study: StudyFile) -> float:
    """GPUs that the study asks for by a number; 0 where it leaves that to us."""
    wish = study.resources.gpus_per_trial
    return 0.0 if wish == "auto" else wish


def _concurrent_here(study: StudyFile, gpus: float) -> int:
    """No more trials are asked for than can run: a proposal made late knows more."""
    fits = len(os.sched_getaffinity(0)) // study.resources.cores
    if gpus:
        import torch

        fits = min(fits, int(torch.cuda.device_count() / gpus))
    fits = max(fits, 1)
    return min(study.resources.concurrent or fits, fits)
