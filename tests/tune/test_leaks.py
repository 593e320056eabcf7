"""Ray uses a worker's process for trial after trial: what one leaves behind, the next one has."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from seglib.data.splits import Split
from seglib.data.store import Store
from tests.tune.test_trainable import build_config
from tune.trial import ROW, run_trial

pytestmark = pytest.mark.slow

Run = Callable[..., list[dict[str, Any]]]

ENDS: dict[str, dict[str, Any]] = {
    "finished": {"rotation_deg": 10.0},
    "stopped": {"stop": True},
    "failed": {"depth": 6},
}


@pytest.fixture
def run(store: Store, split: Split, tmp_path: Path) -> Run:
    return partial(_run, store, split, tmp_path)


def _run(
    store: Store, split: Split, folder: Path, name: str, *, stop: bool = False, **knobs: Any
) -> list[dict[str, Any]]:
    """What a trial reports from a thread of its own, as Ray has it."""
    told: list[dict[str, Any]] = []

    def report(sent: dict[str, Any]) -> None:
        told.append(sent)
        if stop:
            sys.exit(0)  # what Ray does to a trial that is stopped

    config = build_config(store, split, folder / name, **knobs)

    def train() -> None:
        with suppress(SystemExit):
            run_trial(config, report)

    trial = threading.Thread(target=train)
    trial.start()
    trial.join()
    return told


def holdings() -> dict[str, int]:
    process = psutil.Process()
    return {
        "open files": process.num_fds(),
        "threads": threading.active_count(),
        "processes": len(process.children(recursive=True)),
    }


def test_trials_leave_no_file_thread_or_process_behind(run: Run) -> None:
    def run_all(round_number: int) -> dict[str, int]:
        for name, how in ENDS.items():
            run(f"{name}{round_number}", **how)
        return holdings()

    first = run_all(0)  # opens what is opened once for all: the store, libraries
    assert [run_all(number) for number in (1, 2)] == [first, first]


@pytest.mark.parametrize("end", ENDS)
def test_network_and_its_gradients_go_with_the_trial(run: Run, end: str) -> None:
    gc.collect()
    before = num_modules()
    run(end, **ENDS[end])
    assert num_modules() == before  # at once, not only when Python looks for cycles


@pytest.mark.skipif(sys.platform != "linux", reason="asks what Linux tells, and glibc to give back")
def test_memory_of_a_trial_goes_back_to_the_system(run: Run) -> None:
    run("small")
    before = rss_mb()
    (sent,) = run("large", base_filters=32, batch_size=16, depth=2, epochs=1, precision="fp32")
    taken, kept = sent[ROW]["peak_memory_mb"] - before, rss_mb() - before
    assert taken > 30
    assert kept < taken / 3


def rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def num_modules() -> int:
    return sum(issubclass(type(thing), torch.nn.Module) for thing in gc.get_objects())
