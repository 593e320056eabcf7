"""The nodes of a joined cluster: what each has, and how many trials fit."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune.joined import answers

__all__ = [
    "Node",
    "find_lost",
    "fit_in_all",
    "free_nodes",
    "living_nodes",
    "room_on",
    "say_nodes",
    "say_request",
]

_MOST_NAMED = 4


@dataclass(frozen=True)
class Node:
    """One machine of a cluster, as Ray counts it.

    Args:
        identity: Ray's name for it.
        address: Its IP address.
        cpus: Cores for trials.
        gpus: GPUs for trials.
        kind: Of its GPUs; empty when Ray does not know.
        gpu_memory_gb: Of its smallest GPU, in 1e9 bytes; None when it has none that was asked.
        hostname: What the machine calls itself.
        processor: Its model; empty where nobody asked, as with what follows.
        cpu_format: Number format that ``precision: auto`` means on its processor.
        gpu_format: The same on its weakest GPU.
    """

    identity: str
    address: str
    cpus: float
    gpus: float = 0.0
    kind: str = ""
    gpu_memory_gb: float | None = None
    hostname: str = ""
    processor: str = ""
    cpu_format: str = ""
    gpu_format: str = ""

    def __str__(self) -> str:
        gpus = f", {_count(self.gpus, 'GPU')}" if self.gpus else ""
        kind = f" {self.kind}" if gpus and self.kind else ""
        return f"{self.address} ({_count(self.cpus, 'CPU')}{gpus}{kind})"


def room_on(node: Node, cpus: float, gpus: float) -> int:
    """How many trials a node has room for.

    A share of a GPU is a share of one: what is left on two GPUs makes no third share.

    Args:
        node: With what it has, or with what is free of it.
        cpus: Of a trial.
        gpus: Of a trial: at most 1, or a whole number.

    Returns:
        A number of trials.
    """
    fit = _floor(node.cpus / cpus)
    if 0 < gpus < 1:
        whole, rest = divmod(node.gpus, 1)
        fit = min(fit, int(whole) * _floor(1 / gpus) + _floor(rest / gpus))
    elif gpus:
        fit = min(fit, _floor(node.gpus / gpus))
    return fit


def fit_in_all(nodes: Sequence[Node], cpus: float, gpus: float) -> int:
    """How many trials all nodes together have room for."""
    return sum(room_on(node, cpus, gpus) for node in nodes)


def say_nodes(nodes: Sequence[Node]) -> str:
    """What the cluster has, in half a sentence."""
    if not nodes:
        return "the cluster has no node"
    largest = max(nodes, key=lambda node: (node.gpus, node.cpus))
    shown = "; ".join(map(str, nodes[:_MOST_NAMED]))
    more = f"; and {len(nodes) - _MOST_NAMED} more" if len(nodes) > _MOST_NAMED else ""
    size = f"{_count(largest.cpus, 'CPU')}, {_count(largest.gpus, 'GPU')}"
    return f"largest node: {size}; {_count(len(nodes), 'node')}: {shown}{more}"


def say_request(cpus: float, gpus: float) -> str:
    """What a trial wants, in words."""
    text = _count(cpus, "CPU")
    return text + (f" and {gpus:g} GPU{'' if gpus <= 1 else 's'}" if gpus else "")


def living_nodes() -> tuple[Node, ...]:
    """The nodes of the cluster that this process has joined, by address.

    Returns:
        Without the memory of their GPUs, which Ray does not know.
    """
    import ray

    return _sorted(_as_node(row, row["Resources"]) for row in ray.nodes() if row["Alive"])


def free_nodes() -> tuple[Node, ...]:
    """The same nodes, each with what nobody uses just now."""
    import ray

    state: Any = importlib.import_module("ray._private.state")
    free = state.available_resources_per_node()
    rows = [row for row in ray.nodes() if row["Alive"]]
    return _sorted(_as_node(row, free.get(row["NodeID"], {})) for row in rows)


def find_lost(identity: str) -> str:
    """A node that is gone, also where Ray does not know it yet: nobody listens there any more.

    Args:
        identity: Ray's name for it.

    Returns:
        Its address and name, if it is gone.
    """
    import ray

    for row in ray.nodes():
        if row["NodeID"] == identity:
            address, port = row["NodeManagerAddress"], row["NodeManagerPort"]
            if row["Alive"] and answers(f"{address}:{port}"):
                return ""
            return f"{address} {row['NodeManagerHostname']}"
    return ""


def _as_node(row: Mapping[str, Any], resources: Mapping[str, float]) -> Node:
    kinds = [one for one in row["Resources"] if one.startswith("accelerator_type:")]
    return Node(
        row["NodeID"],
        row["NodeManagerAddress"],
        resources.get("CPU", 0.0),
        resources.get("GPU", 0.0),
        kinds[0].partition(":")[2] if kinds else "",
        hostname=row["NodeManagerHostname"],
    )


def _sorted(nodes: Iterator[Node]) -> tuple[Node, ...]:
    return tuple(sorted(nodes, key=lambda node: (node.address, node.identity)))


def _floor(number: float) -> int:
    return math.floor(number + 1e-6)  # a third of Ray's GPU is 0.3333


def _count(number: float, unit: str) -> str:
    return f"{number:g} {unit}{'' if number == 1 else 's'}"
