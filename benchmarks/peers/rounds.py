"""What every process of a comparison does: say it is ready, then one round each time it is told.

Imports numpy alone, for it runs in each peer's own environment. A round's clock starts when
"go" is read, so what a process does to start costs it nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHORTEST_S = 1.0  # of a round of input, which is repeated until then
AUGMENTATION = {"rotation_deg": 10.0, "shift": 0.1, "zoom": 0.2, "flip": 0.5}  # the lab's task 4


def read_options(*networks: str) -> argparse.Namespace:
    """The words that the driver gives; ``networks`` are those that the script knows.

    Comes before the peer's own import: what is chosen here holds for it.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=[*networks, "input"])
    parser.add_argument("--data", type=Path, required=True, help="folder of the slices")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--base", type=int, default=16, help="filters of the first level")
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--core", type=int, default=-1, help="the one to stay on; -1: any")
    options = parser.parse_args()
    if options.core >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})
    return options


def read_slices(folder: Path) -> tuple[Any, Any]:
    """The training slices, decoded: ``(N, H, W, 1)`` and ``(N, H, W)``, uint8, masks 0 and 1."""
    return np.load(folder / "images.npy"), np.load(folder / "masks.npy")


def widths(options: argparse.Namespace) -> list[int]:
    """Filters of each level, the lowest included."""
    return [options.base * 2**level for level in range(options.depth + 1)]


def flop_of_step(model: Any, size: int) -> float:
    """Counted by torch for one image, forward and backward, on a device without memory.

    A multiplication and an addition are two. The peer must have torch, and the model's outputs
    be a tensor or a list of them.
    """
    import copy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    bare = copy.deepcopy(model).to("meta").train()
    with FlopCounterMode(display=False) as counter:
        found = bare(torch.empty(1, 1, size, size, device="meta"))
        outputs = found if isinstance(found, list | tuple) else [found]
        sum(output.sum() for output in outputs).backward()
    return float(counter.get_total_flops())


def num_parameters(model: Any) -> int:
    """Of a torch model, those that are trained."""
    return sum(one.numel() for one in model.parameters() if one.requires_grad)


def repeated(one_pass: Callable[[], int]) -> Callable[[], int]:
    """Passes over the slices until the round is long enough to be timed."""

    def work() -> int:
        started, images = time.perf_counter(), 0
        while time.perf_counter() - started < SHORTEST_S:
            images += one_pass()
        return images

    return work


def serve(facts: dict[str, Any], work: Callable[[], int]) -> None:
    """Tell ``facts``, then run ``work`` for each "go" until the driver closes the line.

    Args:
        facts: Versions, number of parameters and so on.
        work: One round; returns how many images it took.
    """
    line = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints does not get between the driver and the figures

    def tell(figures: dict[str, Any]) -> None:
        print(json.dumps(figures), file=line, flush=True)

    tell(facts)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        images = work()
        tell(
            {
                "images": images,
                "wall_s": time.perf_counter() - wall,
                "cpu_s": time.process_time() - cpu,
                "peak_mb": _peak_mb(),
            }
        )


def _peak_mb() -> float:
    """Most memory that the process ever held; Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))
