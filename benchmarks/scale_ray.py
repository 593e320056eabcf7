"""What Ray Tune costs the head for a trial and for an epoch, with many trials at once.

Real Ray, real worker processes, the executor, the ledger in a journal and all that looks on in a
search; only the trials train nothing. Each has a process of its own of about 100 MB and this
machine has no room for 256 of them, so that the cost is measured at several smaller numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from scale_ledger import observers_of, read_study

from seglib.data.splits import Split
from tune import own_ray, trainable
from tune.executor import Job, execute
from tune.ledger import Ledger, Order
from tune.run_directory import RunDirectory

_RAYS = ("gcs_server", "raylet")


def making_up(epochs: int) -> Callable[[dict[str, Any]], None]:
    """A trial that trains nothing, and reports as fast as it is heard."""

    def train(config: dict[str, Any]) -> None:
        from ray import tune as ray_tune

        names = ("train_loss", "train_dice", "val_loss", "dice", "iou", "precision", "recall")
        classes = [f"{one}_{name}" for one in names[3:6] for name in ("WT", "TC", "ET")]
        score = config["seed"] % 1000 / 1e3
        figures = dict.fromkeys((*names, *classes), score)
        rest = {"num_cases": 2, "learning_rate": 1e-3, "skipped_steps": 0, "micro_batch": 8,
                "seconds": 0.01, "peak_memory_mb": 300.0}  # fmt: skip
        for epoch in range(1 + config["num_reported"], epochs + 1):
            ray_tune.report({"row": {"epoch": epoch, "score": score, **figures, **rest}})

    return train


@dataclass
class Clock:
    """The processor's time of this process and of Ray's, from when all trials are at work."""

    concurrent: int
    begun: tuple[float, float, float] | None = None
    ended: tuple[float, float, float] | None = None
    num_started: int = 0
    num_trials: int = 0
    num_reports: int = 0
    workers_mb: float = 0.0

    def started(self, order: Order) -> None:
        self.num_started += 1

    def reported(self, number: int, row: dict[str, float]) -> None:
        self.num_reports += self.begun is not None

    def finished(self, number: int) -> None:
        """The first to end waited for its process to start; what follows is the steady state."""
        if self.begun is not None:
            self.num_trials += 1
            self.ended = self._read()
        elif self.num_started > self.concurrent:
            self.begun = self._read()

    def _read(self) -> tuple[float, float, float]:
        rays = 0.0
        for child in psutil.Process().children(recursive=True):
            try:
                if child.name() in _RAYS:
                    rays += sum(child.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        return time.process_time(), rays, time.monotonic()

    def spent(self) -> tuple[float, float, float]:
        """Seconds of the processor in this process and in Ray's two, and on the wall."""
        assert self.begun is not None
        assert self.ended is not None
        driver, rays, wall = (b - a for a, b in zip(self.begun, self.ended, strict=True))
        return driver, rays, wall


def run_tune(folder: Path, concurrent: int, *, trials: int, epochs: int) -> Clock:
    """That many trials through Ray; returns what they cost once all were at work."""
    study = read_study(folder, "random", epochs=epochs, cap=trials + 2 * concurrent)
    run = RunDirectory(folder / f"run-{concurrent}-{epochs}")
    run.settle_study(study)
    ledger = Ledger(study, run.settle_storage(None))
    trainable.train = making_up(epochs)
    own_ray.PRELOADED = ("ray.tune",)  # not torch, which these trials do without
    os.sched_getaffinity = lambda pid: set(range(concurrent))  # Ray is told of so many cores
    clock = Clock(concurrent)
    observers = [*observers_of(ledger, run), clock]
    job = Job(run.path, folder, Split(("a",), ("b",)), concurrent=concurrent)
    code = execute(ledger, job, observers)
    assert code == 0, code
    return clock


def show_ray(folder: Path, counts: list[int], *, reports: int) -> None:
    """A table: CPU of a trial and of an epoch, each from two runs of different lengths."""
    print("| trials at once | trials, epochs in all | driver ms a trial | driver ms an epoch "
          "| Ray's processes ms a trial | ms an epoch |\n|---|---|---|---|---|---|")  # fmt: skip
    for concurrent in counts:
        short = run_tune(folder, concurrent, trials=max(3 * concurrent, 60), epochs=2)
        epochs = max(4, reports // max(2 * concurrent, 20))
        long = run_tune(folder, concurrent, trials=max(2 * concurrent, 20), epochs=epochs)
        costs = []
        for kind in (0, 1):
            a, b = short.spent()[kind], long.spent()[kind]
            costs.append(solve((short, a), (long, b)))
        (trial, epoch), (rays_trial, rays_epoch) = costs
        total = f"{short.num_trials + long.num_trials}, {short.num_reports + long.num_reports}"
        print(f"| {concurrent} | {total} | {trial:.1f} | {epoch:.1f} "
              f"| {rays_trial:.1f} | {rays_epoch:.1f} |", flush=True)  # fmt: skip


def solve(one: tuple[Clock, float], other: tuple[Clock, float]) -> tuple[float, float]:
    """Milliseconds of a trial and of a report, of which two runs had different numbers."""
    (a, spent_a), (b, spent_b) = one, other
    determinant = a.num_trials * b.num_reports - b.num_trials * a.num_reports
    trial = (spent_a * b.num_reports - spent_b * a.num_reports) / determinant
    report = (spent_b * a.num_trials - spent_a * b.num_trials) / determinant
    return 1000 * trial, 1000 * report
