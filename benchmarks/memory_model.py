"""The memory that trials really take, beside what `seglib.cost` predicts for them.

    python benchmarks/memory_model.py grid [--points 40] [--seed 6] [--csv peaks.csv]
    python benchmarks/memory_model.py one '{"image_size": 128, "recipe": {"base_filters": 16}}'

A trial is a process of its own: it imports what a worker of Ray imports and calls `run_trial`
in a thread, as Ray does, from the first epoch to the scores after the last, on made-up slices
and on one core. On a CPU the peak is that of the whole process (VmHWM); the store is so small
here that its pages hardly count. On a GPU it is what torch reserved on the device. The points
are drawn by chance; the constants of `seglib.cost` were set on those of other seeds. README.md
beside this file holds what was measured, and on what.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglib.allocator import ONE_HEAP
from seglib.cost import estimate_memory_gb
from seglib.data.splits import Split
from seglib.recipe import Recipe
from seglib.target import Target

LABELS = {0: 0, 1: 1, 2: 2, 3: 3}
REGIONS = ((1, 2, 3), (1, 3), (3,))
TARGETS = {
    "binary": Target(kind="binary", classes=("a",), values=LABELS, members=((1, 2, 3),)),
    "organs": Target(kind="organs", classes=("a", "b"), values=LABELS, members=((1,), (2,))),
    "regions": Target(kind="regions", classes=("a", "b", "c"), values=LABELS, members=REGIONS),
}
EPOCHS = 3  # optimisers have their states from the first on, the allocator settles in the next
LEAST_WORK, MOST_WORK = 4, 80  # of a step, in GFLOP: neither all process nor minutes long

CHOICES: dict[str, tuple[Any, ...]] = {
    "base_filters": (4, 8, 12, 16, 24, 32),
    "depth": (2, 3, 4, 5),
    "batch_size": (1, 2, 4, 8, 16),
    "norm": ("batch", "batch", "instance", "group", "none"),
    "dropout": (0.0, 0.0, 0.2),
    "residual": (False, False, True),
    "deep_supervision": (False, False, True),
    "lab_exact": (False, False, False, True),
    "optimizer": ("adamw", "sgd"),
    "loss": ("dice_ce", "ce", "dice", "tversky", "focal", "focal_tversky", "topk_ce"),
    "overlap_over": ("batch", "image"),
    "rotation_deg": (0.0, 10.0),
    "precision": ("fp32", "auto"),
}


@dataclass(frozen=True)
class Point:
    """A recipe and the data that it meets."""

    recipe: dict[str, Any] = field(default_factory=dict)
    image_size: int = 128
    channels: int = 4
    target: str = "regions"

    def predicted_gb(self, on_gpu: bool = False) -> float:
        return estimate_memory_gb(
            Recipe(**self.recipe),
            num_channels=self.channels,
            num_logits=TARGETS[self.target].num_logits,
            image_size=self.image_size,
            on_gpu=on_gpu,
        )

    def work(self) -> float:
        """GFLOP of a step, roughly: by the U-Net of 16 filters at 256 px, batch 8."""
        width, batch = self.recipe["base_filters"] / 16, self.recipe["batch_size"] / 8
        return float(144.5 * width**2 * (self.image_size / 256) ** 2 * batch)


def draw_points(count: int, seed: int) -> list[Point]:
    rng = random.Random(seed)

    def drawn() -> Iterator[Point]:
        while True:
            recipe = {name: rng.choice(values) for name, values in CHOICES.items()}
            size = rng.choice((64, 96, 100, 128, 160, 192, 240, 256))
            point = Point(recipe, size, rng.choice((1, 4)), rng.choice(sorted(TARGETS)))
            if LEAST_WORK < point.work() < MOST_WORK:
                yield point

    points = drawn()
    return [next(points) for _ in range(count)]


def measure(point: Point) -> dict[str, float]:
    """Run a point in a process of its own; its peak in GB."""
    command = [sys.executable, __file__, "one", json.dumps(asdict(point))]
    alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} | ONE_HEAP
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | alone
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_here(point: Point) -> dict[str, float]:
    """Run a point in this process."""
    import torch

    import tune.trainable  # noqa: F401  Ray is part of what a worker holds
    from seglib.device import choose_device, peak_memory_mb, reset_peak_memory
    from tune.trial import ROW, run_trial

    device, peaks, sent_rows = choose_device(), [], []

    def peak_gb() -> float:
        if device.type == "cuda":
            return float(torch.cuda.max_memory_reserved(device)) / 1e9
        return peak_memory_mb(device) * 2**20 / 1e9

    def report(sent: dict[str, Any]) -> None:
        sent_rows.append(sent)
        peaks.append(peak_gb())

    with tempfile.TemporaryDirectory() as folder:
        config = _config(point, Path(folder))
        reset_peak_memory(device)
        before = peak_gb()
        trial = threading.Thread(target=run_trial, args=(config, report))
        trial.start()
        trial.join()
    if len(sent_rows) != EPOCHS or any(ROW not in sent for sent in sent_rows):
        raise SystemExit(f"the trial did not end well: {sent_rows}")
    peak = max(*peaks, peak_gb())
    return {"before_gb": before, "peak_gb": peak, "predicted_gb": point.predicted_gb()}


def _config(point: Point, folder: Path) -> dict[str, Any]:
    recipe = Recipe(**point.recipe).model_copy(update={"epochs": EPOCHS})
    store = _write_slices(folder / "store", point, recipe.batch_size)
    return {
        "number": 0, "recipe": recipe.model_dump(), "seed": 0, "num_reported": 0,
        "folder": str(folder / "trial"), "store": str(store),
        "split": asdict(Split(("train",), ("val",))),
        "metric": "dice", "maximize": True, "threads": 1,
    }  # fmt: skip


def _write_slices(path: Path, point: Point, batch_size: int) -> Path:
    """A batch to train on and one to validate on, of noise."""
    from seglib.data.store import StoreInfo
    from seglib.data.store_writer import write_store

    target, rng = TARGETS[point.target], np.random.default_rng(0)
    groups = ["train"] * batch_size + ["val"] * batch_size
    side, pixels = point.image_size, point.image_size**2
    index = pd.DataFrame({"case": groups, "group": groups})
    index["slice"] = range(len(groups))
    for name in ("spacing_z_mm", "spacing_y_mm", "spacing_x_mm"):
        index[name] = 1.0
    for name in ("body_px", *(f"px_{name}" for name in target.classes)):
        index[name] = pixels // 4
    channels = tuple(f"channel{i}" for i in range(point.channels))
    info = StoreInfo(
        key="noise", target=target, channels=channels, image_size=side,
        scale=1 / 128, offset=-1.0, layout="pairs",
    )  # fmt: skip
    pieces = (
        (
            rng.integers(0, 256, (1, side, side, point.channels), dtype=np.uint8),
            rng.integers(0, len(LABELS), (1, side, side), dtype=np.uint8),
        )
        for _ in groups
    )
    return write_store(path, info, pieces=pieces, index=index).path


def tell_errors(table: pd.DataFrame) -> None:
    """Errors of the whole, and of what comes on top of a process that has not begun."""
    peak, before, predicted = table["peak_gb"], table["before_gb"], table["predicted_gb"]
    for part, off in (
        ("whole", predicted / peak - 1),
        ("above the process", (predicted - peak) / (peak - before)),
    ):
        print(
            f"{part}: error median {statistics.median(abs(off)):.1%}, worst {max(abs(off)):.1%}; "
            f"from {min(off):+.1%} to {max(off):+.1%}, mean {off.mean():+.1%}"
        )


def measure_grid(points: Sequence[Point], csv: Path | None) -> None:
    rows = []
    for point in points:
        known = {"image_size": point.image_size, "channels": point.channels}
        rows.append({**known, "target": point.target, **point.recipe, **measure(point)})
        print(json.dumps(rows[-1]), flush=True)
        if csv is not None:
            pd.DataFrame(rows).to_csv(csv, index=False)
    tell_errors(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["grid", "one"])
    parser.add_argument("point", nargs="?", default="{}", help="a point as JSON")
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    if options.what == "one":
        print(json.dumps(run_here(Point(**json.loads(options.point)))))
    else:
        measure_grid(draw_points(options.points, options.seed), options.csv)


if __name__ == "__main__":
    main()
