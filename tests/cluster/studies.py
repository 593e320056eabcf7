"""The study that clusters run, and what must come of it, whichever trial is faster."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.driver import STUDY, Driver, assert_sound, new_folder, scores_of
from tests.cluster.nodes import Cluster, Node
from tune.entries import Entry

__all__ = [
    "EPOCHS",
    "MOST_SECONDS",
    "TRIALS",
    "Start",
    "assert_each_epoch_once",
    "assert_same",
    "await_epoch_elsewhere",
    "new_grid",
    "seconds_to_go_on",
    "start_on",
]

TRIALS, EPOCHS, MOST_SECONDS = 4, 20, 60.0
Start = Callable[..., Driver]

_GRID = (
    STUDY.replace("method: random", "method: grid")
    .replace("{distribution: log_uniform_values, min: 1e-3, max: 1e-2}", "{values: [2e-3, 8e-3]}")
    .replace("epochs: {value: 12}", f"epochs: {{value: {EPOCHS}}}")
)


def new_grid(parent: Path) -> Path:
    """A working directory with a grid of four trials in it, long enough to be disturbed."""
    return new_folder(parent, _GRID)


def start_on(cluster: Cluster, folder: Path, *words: str, before: Sequence[str] = ()) -> Driver:
    """`python tune/run.py` on a cluster's first node."""
    return Driver(
        folder, "--address", cluster.address, *words,
        environment=cluster.environment, before=before,
    )  # fmt: skip


def await_epoch_elsewhere(cluster: Cluster, driver: Driver, epoch: int) -> tuple[int, Node]:
    """A trial in the middle of its training, and its node, which is not the head."""
    while True:
        number = int(driver.wait_for(f" epoch {epoch}:").split()[1])
        if (node := cluster.where(number)) is not cluster.head:
            return number, node


def seconds_to_go_on(driver: Driver, number: int) -> float:
    """From now until a trial has been taken up and has a new epoch."""
    began = time.monotonic()
    driver.wait_for(f"trial {number} starts (goes on after epoch")
    driver.wait_for(f"trial {number} epoch ")
    return time.monotonic() - began


def assert_same(folder: Path, undisturbed: list[Entry]) -> None:
    """Every trial has the recipe and every score that it has in peace."""
    entries = assert_sound(folder, epochs=EPOCHS)
    assert [entry.values for entry in entries] == [entry.values for entry in undisturbed]
    assert scores_of(entries) == scores_of(undisturbed)
    assert not list((folder / "runs" / "deaths").rglob("*.tmp"))


def assert_each_epoch_once(driver: Driver) -> None:
    """No epoch was lost, none was told twice, and Ray did not speak."""
    told = "".join(driver.lines)
    for number in range(TRIALS):
        epochs = re.findall(rf"^trial {number} epoch (\d+):", told, re.MULTILINE)
        assert epochs == [str(epoch) for epoch in range(1, EPOCHS + 1)]
    assert "Traceback" not in told
    assert "raylet" not in told
