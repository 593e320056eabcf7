"""How many trials share one GPU: as many as are predicted to fit into its memory."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from seglib.architectures import why_impossible
from seglib.cost import estimate_memory_gb
from seglib.errors import InfeasibleError
from seglib.recipe import Recipe
from tune.space import Domain, Value
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from seglib.data.store import Store
    from tune.nodes import Node

__all__ = ["MOST_ON_A_GPU", "gpus_per_trial", "largest_memory_gb", "share_of"]

MOST_ON_A_GPU: Final = 8
"""More trials than this on one GPU wait for each other more than they gain."""

CONTEXT_GB: Final = 0.6
"""What the driver and the libraries take of a GPU for each process, whatever it does there."""

USABLE: Final = 0.9
"""Share of a GPU that is planned with: the allocator leaves gaps, predictions err."""

# What a trial's memory depends on; it grows with each, whatever the others are. The kind of
# network comes first of all, as it says which of the others count.
_KNOBS: Final = (
    "encoder", "base_filters", "depth", "batch_size", "precision", "norm", "dropout", "residual",
    "deep_supervision", "optimizer", "lab_exact", "channels",
)  # fmt: skip


def gpus_per_trial(study: StudyFile, store: Store, nodes: Sequence[Node] | None = None) -> float:
    """The share of a GPU that each trial gets: as the study says, else what its memory allows.

    On a cluster the smallest GPU of all decides, as nobody knows on which a trial will be.

    Args:
        study: Its resources and constraints, and the recipes that it may propose.
        store: Says how large images and data are.
        nodes: Of the cluster; None for this machine.

    Returns:
        GPUs; 0 where there is none and the study does not ask for one.
    """
    wish = study.resources.gpus_per_trial
    if wish != "auto":
        return float(wish)
    cards = _cards_here() if nodes is None else _cards_of(nodes, study.resources.cores)
    if not cards:
        return 0.0
    total_gb = min(card.memory_gb for card in cards)
    if total_gb <= 0:  # Ray counts one that nobody can ask
        return 1.0
    from seglib.data.feed import RESIDENT_SHARE, resident_bytes

    data = resident_bytes(len(store), image_size=store.image_size, num_channels=store.num_channels)
    data_gb = data / 1e9 if data / 1e9 <= RESIDENT_SHARE * total_gb else 0.0
    network_gb = largest_memory_gb(
        study,
        channels=store.channels,
        num_logits=store.target.num_logits,
        image_size=store.image_size,
    )
    most = int(min(card.cpus for card in cards) / study.resources.cores)
    return share_of(network_gb + data_gb + CONTEXT_GB, total_gb, most=most)


@dataclass(frozen=True)
class _Card:
    """A kind of GPU: its memory, and the machine's cores for each of them."""

    memory_gb: float
    cpus: float


def _cards_here() -> list[_Card]:
    import torch

    if not torch.cuda.is_available():
        return []
    memory_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
    return [_Card(memory_gb, len(os.sched_getaffinity(0)) / torch.cuda.device_count())]


def _cards_of(nodes: Sequence[Node], cpus: int) -> list[_Card]:
    """Of nodes that have the cores for a trial; the memory is 0 where nobody knows it."""
    return [
        _Card(node.gpu_memory_gb or 0.0, node.cpus / node.gpus)
        for node in nodes
        if node.gpus and node.cpus >= cpus
    ]


def share_of(needed_gb: float, total_gb: float, *, most: int) -> float:
    """The share of a GPU for a trial that needs so much of its memory.

    Args:
        needed_gb: By a trial.
        total_gb: Of the GPU.
        most: Trials that the processor has cores for, per GPU.

    Returns:
        One over a whole number, cut to four places as Ray counts them.
    """
    fit = int(USABLE * total_gb / needed_gb)
    trials = max(1, min(fit, most, MOST_ON_A_GPU))
    return math.floor(1e4 / trials) / 1e4


def largest_memory_gb(
    study: StudyFile, *, channels: tuple[str, ...], num_logits: int, image_size: int
) -> float:
    """What the largest trial that a study may propose takes of a GPU, the driver's part excepted.

    Args:
        study: Its space, its points, and ``constraints.memory_gb``, which no trial goes beyond.
        channels: Names of the data's channels.
        num_logits: Output channels of the network.
        image_size: Side of the image in pixels.

    Returns:
        GB, that is 1e9 bytes.
    """

    def needed(values: dict[str, Value]) -> float:
        recipe = Recipe.model_validate(values)
        try:
            num_channels = len(recipe.seen_channels(channels))
        except InfeasibleError:
            return 0.0  # never started
        if why_impossible(recipe, image_size):
            return 0.0  # nor this
        return estimate_memory_gb(
            recipe,
            num_channels=num_channels,
            num_logits=num_logits,
            image_size=image_size,
            on_gpu=True,
        )

    largest = study.default_point()
    for name in _KNOBS:
        if name in study.space:
            candidates = [{**largest, name: value} for value in _ends(study.space[name].domain)]
            largest = max([largest, *candidates], key=needed)
    points = [row.values for row in study.rows] or [study.full_point(one) for one in study.points]
    most = max(needed(values) for values in [largest, *points])
    return min(most, study.constraints.memory_gb or math.inf)


def _ends(domain: Domain) -> tuple[Value, ...]:
    """Every choice, or the two ends of a range."""
    return domain.grid() or (domain.nearest(-1e18), domain.nearest(1e18))
