"""Many short trials through the real executor: does one cost the driver more than the one before?

    python benchmarks/executor.py [--trials 1000] [--method bayes] [--concurrent 2]
    python benchmarks/executor.py --no-ray [--concurrent 64]

Real Ray, real worker processes, real ledger and run directory, with all that a search
writes when a trial starts and ends. Only the training is none: each trial reports one
epoch with a made-up score, so that what is measured is the search around it. With --no-ray
the ledger alone is asked and told, by one process, with that many trials open all the time:
a machine that has not as many cores can tell what 64 at once cost. Prints one line per
figure; README.md beside this file holds what was measured, and on what.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from seglib.data.splits import Split
from tune import trainable
from tune.executor import Job, execute
from tune.ledger import Ledger, Order
from tune.report_writer import ReportWriter
from tune.retention import CheckpointKeeper
from tune.run_directory import RunDirectory
from tune.screen import PlainScreen
from tune.storage import open_storage
from tune.study_file import load_study

STUDY = """\
name: many
method: {method}
data: {{layout: phantom-brats, cases: 8, image_size: 32, target: regions}}
parameters:
  optimizer: {{values: [adamw, sgd]}}
  learning_rate: {{distribution: log_uniform_values, min: 1e-4, max: 1e-2}}
  momentum: {{min: 0.8, max: 0.99, when: {{optimizer: sgd}}}}
  base_filters: {{values: [8, 16, 32]}}
  dropout: {{min: 0.0, max: 0.5}}
  epochs: {{value: 1}}
run_cap: {trials}
tracking: {{wandb: off}}
"""


def making_up() -> Callable[[dict[str, Any]], None]:
    """A trial that trains nothing and reports one epoch, as wide a row as a real one."""

    def train(config: dict[str, Any]) -> None:
        from ray import tune as ray_tune

        rate = config["recipe"]["learning_rate"]
        score = 1 - abs(rate - 3e-3) * 50 + config["seed"] % 1000 / 1e5
        names = ("train_loss", "train_dice", "val_loss", "dice", "iou", "precision", "recall")
        classes = [f"{one}_{name}" for one in names[3:6] for name in ("WT", "TC", "ET")]
        figures = dict.fromkeys((*names, *classes), score)
        rest = {"num_cases": 2, "learning_rate": rate, "skipped_steps": 0, "micro_batch": 8,
                "seconds": 0.01, "peak_memory_mb": 300.0}  # fmt: skip
        ray_tune.report({"row": {"epoch": 1, "score": score, **figures, **rest}})

    return train


@dataclass
class Meter:
    """Looks on and measures the driver whenever a trial has ended; the last observer of all."""

    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    children: list[int] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)

    def started(self, order: Order) -> None:
        pass

    def reported(self, number: int, row: dict[str, float]) -> None:
        pass

    def finished(self, number: int) -> None:
        driver = psutil.Process()
        self.cpu_s.append(time.process_time())
        self.wall_s.append(time.monotonic())
        self.files.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        self.threads.append(driver.num_threads())
        self.children.append(len(driver.children(recursive=True)))
        self.rss_mb.append(driver.memory_info().rss / 2**20)


def per_trial_ms(clock: list[float], begin: int, end: int) -> float:
    part = clock[begin:end]
    return 1000 * (part[-1] - part[0]) / (len(part) - 1)


def size_kb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1024


def run(trials: int, method: str, folder: Path, concurrent: int = 2) -> tuple[Meter, RunDirectory]:
    path = folder / "many.yaml"
    path.write_text(STUDY.format(method=method, trials=trials))
    study = load_study(path, demo=False)
    run_directory = RunDirectory(folder / "runs" / "many")
    run_directory.settle_study(study)
    ledger = Ledger(study, run_directory.settle_storage(None))
    trainable.train = making_up()
    meter = Meter()
    observers = [
        ReportWriter(ledger, run_directory),
        CheckpointKeeper(ledger, run_directory.path),
        PlainScreen(ledger, Console(file=io.StringIO())),
        meter,
    ]
    job = Job(run_directory.path, folder, Split(("a",), ("b",)), concurrent=concurrent)
    code = execute(ledger, job, observers)
    assert code == 0, code
    assert sum(entry.state == "COMPLETE" for entry in ledger.entries()) == trials
    return meter, run_directory


def run_ledger(trials: int, method: str, folder: Path, concurrent: int) -> list[float]:
    """CPU seconds at which trials ended, when the ledger alone is asked and told."""
    path = folder / "many.yaml"
    path.write_text(STUDY.format(method=method, trials=trials + concurrent))
    ledger = Ledger(load_study(path, demo=False), open_storage(folder / "journal.log"))
    at_work: deque[Order] = deque()
    ended_s = []
    while len(ended_s) < trials:
        while len(at_work) < concurrent and (order := ledger.ask()) is not None:
            at_work.append(order)
        order = at_work.popleft()
        score = 1 - abs(order.recipe.learning_rate - 3e-3) * 50 + order.seed % 1000 / 1e5
        ledger.report(order.number, {"epoch": 1, "score": score, "seconds": 0.01})
        ledger.finish(order.number)
        ended_s.append(time.process_time())
    return ended_s


def show_per_trial(name: str, clock: list[float]) -> None:
    part = min(100, len(clock) // 2)
    first_ms, last_ms = (
        per_trial_ms(clock, 0, part),
        per_trial_ms(clock, len(clock) - part, len(clock)),
    )
    print(f"{name} per trial, first {part} and last {part}: {first_ms:.0f} ms, "
          f"{last_ms:.0f} ms (x {last_ms / first_ms:.2f})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--method", default="bayes")
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--no-ray", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        what = (arguments.trials, arguments.method, Path(folder), arguments.concurrent)
        if arguments.no_ray:
            show_per_trial(f"ledger CPU, {arguments.concurrent} at once,", run_ledger(*what))
            return
        meter, found = run(*what)
        show_per_trial("driver CPU", meter.cpu_s)
        show_per_trial("wall", meter.wall_s)
        for name in ("files", "threads", "children"):
            counts = getattr(meter, name)
            print(f"{name}: {counts[9]} after trial 10, {counts[-1]} after the last, "
                  f"{min(counts)} to {max(counts)} all the way")  # fmt: skip
        middle, end = meter.rss_mb[len(meter.rss_mb) // 2], meter.rss_mb[-1]
        print(f"driver RSS: {meter.rss_mb[9]:.0f}, {middle:.0f}, {end:.0f} MB "
              "after trial 10, half, and the last")  # fmt: skip
        journal_kb = (found.path / "journal.log").stat().st_size / 1024
        print(f"journal: {journal_kb:.0f} kB; run directory: {size_kb(found.path):.0f} kB")
    print(f"wall in all: {meter.wall_s[-1] - meter.wall_s[0]:.0f} s")


if __name__ == "__main__":
    main()
