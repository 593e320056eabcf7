"""A large search on paper: what it asks of the head, the ledger, the disks and the network.

Pure arithmetic on measured costs. `Search` says how large it is, `Costs` what one event costs;
docs/scale.md names the source of each figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Search:
    """How large a search is.

    Args:
        trials: In all.
        gpus: One trial each.
        epochs: Of a whole training.
        first: Epochs to the first rung.
        eta: One in so many goes on at each rung.
        epoch_s: Seconds of an epoch.
    """

    trials: int = 10_000
    gpus: int = 256
    epochs: int = 150
    first: int = 17
    eta: int = 4
    epoch_s: float = 60.0


@dataclass(frozen=True)
class Costs:
    """What one event costs the driver, in milliseconds.

    Args:
        ask_ms: A proposal among all trials there will be.
        report_ms: An epoch in the ledger, on the processor.
        tell_ms: The end of a trial in the ledger, and the files about it.
        ray_trial_ms: A trial in Ray Tune's loop.
        ray_epoch_ms: An epoch in Ray Tune's loop, the ledger left out.
        write_ms: An epoch in the ledger by the clock, the wait for the storage included.
    """

    ask_ms: float
    report_ms: float
    tell_ms: float
    ray_trial_ms: float
    ray_epoch_ms: float
    write_ms: float


JOURNAL = Costs(ask_ms=260, report_ms=3, tell_ms=40, ray_trial_ms=35, ray_epoch_ms=3.6, write_ms=10)
"""With 10,000 trials in a journal, measured while other work ran; see docs/scale.md."""

POSTGRES = Costs(
    ask_ms=350, report_ms=13, tell_ms=50, ray_trial_ms=35, ray_epoch_ms=3.6, write_ms=20
)
"""The same in PostgreSQL: 79 statements for a new trial, 8 for an epoch."""


def rungs(search: Search) -> list[int]:
    """Epochs at which trials are compared, all below the whole length."""
    found, rung = [], search.first
    while rung < search.epochs:
        found.append(rung)
        rung *= search.eta
    return found


def epochs_per_trial(search: Search) -> float:
    """Mean epochs of a trial where successive halving lets one in eta pass each rung."""
    total, share, before = 0.0, 1.0, 0
    for rung in [*rungs(search), search.epochs]:
        total += share * (rung - before)
        share, before = share / search.eta, rung
    return total


def reports(search: Search) -> float:
    """Epochs of all trials together."""
    return search.trials * epochs_per_trial(search)


def reports_per_s(search: Search) -> float:
    """Epochs that end in a second while all GPUs are at work."""
    return search.gpus / search.epoch_s


def trials_per_s(search: Search) -> float:
    """Trials that end, and begin, in a second."""
    return reports_per_s(search) / epochs_per_trial(search)


def hours(search: Search) -> float:
    """How long the search takes if the GPUs never wait."""
    return reports(search) / reports_per_s(search) / 3600


def driver_share(search: Search, costs: Costs) -> float:
    """Of one core: the driver's work in a second, at the end of the search."""
    epoch_ms = costs.report_ms + costs.ray_epoch_ms
    trial_ms = costs.ask_ms + costs.tell_ms + costs.ray_trial_ms
    return (reports_per_s(search) * epoch_ms + trials_per_s(search) * trial_ms) / 1000


def shortest_epoch_s(search: Search, costs: Costs) -> float:
    """An epoch of fewer seconds leaves GPUs waiting for the driver."""
    return search.epoch_s * driver_share(search, costs)


def most_gpus(search: Search, costs: Costs) -> int:
    """GPUs that one driver keeps at work; trials in all stay as many."""
    return int(search.gpus / driver_share(search, costs))


def writing_share(search: Search, costs: Costs) -> float:
    """Of the driver's one thread: time that it waits for the ledger's storage."""
    return reports_per_s(search) * costs.write_ms / 1000


def checkpoint_mb_per_s(search: Search, checkpoint_mb: float) -> float:
    """What all trials write together: the last state after each epoch; the best, a hard link."""
    return reports_per_s(search) * checkpoint_mb


def checkpoints_gb(search: Search, checkpoint_mb: float, *, at_work: int, kept: int) -> float:
    """Disk that they take at once: files of each trial at work, and of the best that ended."""
    return (search.gpus * at_work + kept) * checkpoint_mb / 1000


def copy_minutes(store_gb: float, nodes: int, *, gigabit_per_s: float) -> float:
    """Until each node has the store, all at once from one place with that much bandwidth."""
    return store_gb * 8 * nodes / gigabit_per_s / 60


def nodes_of(search: Search, gpus_per_node: int) -> int:
    """Machines with so many GPUs each."""
    return ceil(search.gpus / gpus_per_node)
