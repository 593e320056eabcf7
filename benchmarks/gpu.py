"""Training on a GPU: how near to what the machine can do, and whether it is kept waiting.

    python benchmarks/gpu.py                       # some minutes on one GPU
    python benchmarks/gpu.py --device cpu --small  # the same code, tiny: shows that it runs

From a checkout; it needs torch and what `seglib` imports, no Ray, Optuna or W&B. It measures

- the rate of large matrix products, in bf16 and in fp32 with and without TF32: the limit;
- whole epochs through `fit` (input, training, scores, validation), sizes, batches and ways
  interleaved in rounds, the first of which warms up; GFLOP are counted on the CPU;
- the input alone, from the device's memory and from pinned memory, augmented there;
- eager, compiled, and compiled with CUDA graphs;
- several processes on one GPU, all training at once, against one alone;
- the memory that a network takes beside what `seglib.cost` predicts.

Figures are medians (range). Slices are made up, uint8, one channel, 20 % of them to validate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from gpu_runs import (
    Plan,
    Running,
    flop_of_image,
    in_turns,
    made_up,
    matrix_rate,
    recipe_of,
    small,
    spread,
    tell,
    wait,
)

from seglib.augment_batch import build_batch_augment
from seglib.cost import estimate_memory_gb
from seglib.data.feed import Feed, PinnedFeed, ResidentFeed
from seglib.data.loader import iterate
from seglib.data.store import Store
from seglib.device import device_name
from seglib.recipe import Recipe

GOAL_SHARE, GOAL_PACKED = 0.20, 2.5
AUGMENTED = {"rotation_deg": 15.0, "shift": 0.05, "zoom": 0.1, "flip_horizontal": 0.5}
SHAKEN = {**AUGMENTED, "elastic": 0.3, "brightness": 0.1, "contrast": 0.1, "noise": 0.03}
WAYS = {"eager": None, "compiled": "default", "compiled, CUDA graphs": "reduce-overhead"}


def measure_epochs(plan: Plan, store: Store, limit: float) -> None:
    rows = []
    for width in plan.widths:
        recipes = {batch: recipe_of(plan, width, batch, **AUGMENTED) for batch in plan.batches}
        flop = flop_of_image(next(iter(recipes.values())), store.image_size)
        runs = {f"batch {b}": Running(plan, store, recipe) for b, recipe in recipes.items()}
        found = in_turns({name: run.rate for name, run in runs.items()}, plan.rounds)
        for name, rates in found.items():
            speed = statistics.median(rates) * flop
            rows.append(
                (f"base {width}, {store.image_size} px, {name}", spread(rates),
                 f"{speed / 1e12:.3g}", f"{speed / limit:.1%}")
            )  # fmt: skip
    tell(
        ("whole epoch through fit, eager", "images/s", "TFLOP/s of training",
         f"of the bf16 product (goal {GOAL_SHARE:.0%} at base 32)"), rows,
    )  # fmt: skip


def measure_memory(plan: Plan, store: Store) -> None:
    """One network at a time; the slices that lie on the device are not counted."""
    rows = []
    for width in plan.widths:
        for batch in plan.batches:
            recipe = recipe_of(plan, width, batch)
            predicted = estimate_memory_gb(
                recipe, num_channels=1, num_logits=1, image_size=store.image_size,
                on_gpu=plan.device.type == "cuda",
            )  # fmt: skip
            run = Running(plan, store, recipe)
            peaks = [run.peak_gb() for _ in range(2)]
            run.close()
            rows.append(
                (f"base {width}, batch {batch}", f"{predicted:.2f}",
                 *(f"{peak:.2f}" for peak in peaks), f"{peaks[1] / predicted:.2f}")
            )  # fmt: skip
    tell(
        (f"memory, {store.image_size} px", "predicted GB", "first epoch, GB",
         "second epoch, GB", "of predicted"), rows,
    )  # fmt: skip


def measure_input(plan: Plan, store: Store) -> None:
    """What the network would be fed with if it took no time at all, beside what it does take."""
    everything, width = np.arange(len(store)), max(plan.widths)
    batch = plan.batches[len(plan.batches) // 2]
    feeds: dict[str, Feed] = {
        "resident": ResidentFeed(store, everything, [0], plan.device),
        "pinned": PinnedFeed(store, [0], plan.device),
    }
    knobs: dict[str, dict[str, float]] = {"": {}, ", affine": AUGMENTED, ", all steps": SHAKEN}

    def drain(feed: Feed, chosen: dict[str, float]) -> Callable[[], float]:
        augment = build_batch_augment(Recipe.model_validate(chosen), (), 0, plan.device)

        def rate() -> float:
            wait(plan.device)
            started = time.perf_counter()
            for _ in iterate(
                store, everything, batch_size=batch, shuffle=True,
                augment=augment, device=plan.device, feed=feed,
            ):  # fmt: skip
                pass
            wait(plan.device)
            return len(store) / (time.perf_counter() - started)

        return rate

    sides = {
        f"{name}{what}": drain(feed, chosen)
        for name, feed in feeds.items()
        for what, chosen in knobs.items()
    }
    sides["training"] = Running(plan, store, recipe_of(plan, width, batch)).rate
    found = in_turns(sides, plan.rounds)
    needed = statistics.median(found.pop("training"))
    rows = [
        (name, spread(rates), f"{needed / statistics.median(rates):.1%}")
        for name, rates in found.items()
    ]
    tell(
        (f"input alone, batch {batch}, {store.image_size} px", "images/s",
         f"share of an epoch at base {width} (goal: far below 100 %)"), rows,
    )  # fmt: skip


def measure_compiling(plan: Plan, store: Store) -> None:
    rows = []
    for width in plan.widths:
        recipe = recipe_of(plan, width, plan.batches[0])
        runs = {name: Running(plan, store, recipe, mode) for name, mode in WAYS.items()}
        first: dict[str, float] = {}
        for name, run in runs.items():
            started = time.perf_counter()
            run.rate()
            first[name] = time.perf_counter() - started
        found = in_turns({name: run.rate for name, run in runs.items()}, plan.rounds)
        eager = statistics.median(found["eager"])
        for name, rates in found.items():
            ratio = statistics.median(rates) / eager
            rows.append((f"base {width}, {name}", spread(rates), f"{ratio:.2f}",
                         f"{first[name]:.1f}"))  # fmt: skip
    tell((f"batch {plan.batches[0]}", "images/s", "of eager", "first epoch, s"), rows)


def pack(arguments: argparse.Namespace, plan: Plan, folder: Path) -> None:
    """One process of several: train for a while after a word on stdin, say how much."""
    run = Running(
        plan, Store.open(folder), recipe_of(plan, min(plan.widths), plan.batches[0], **AUGMENTED)
    )
    run.rate()
    print("ready", flush=True)
    sys.stdin.readline()
    started, images = time.perf_counter(), 0
    while time.perf_counter() - started < plan.seconds:
        run.rate()
        images += run.num_images
    print(json.dumps({"rate": images / (time.perf_counter() - started)}), flush=True)


def packed_rate(arguments: argparse.Namespace, store: Store, count: int) -> float:
    command = [sys.executable, __file__, "--device", arguments.device, "--pack", str(store.path)]
    command += ["--small"] if arguments.small else []
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise SystemExit("a packed process failed; what it said is above")
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate()[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return sum(json.loads(answer)["rate"] for answer in answers)


def measure_packing(arguments: argparse.Namespace, plan: Plan, store: Store) -> None:
    alone, rows = 0.0, []
    for count in plan.packed:
        rate = packed_rate(arguments, store, count)
        alone = alone or rate
        rows.append((str(count), f"{rate:,.0f}", f"{rate / alone:.2f}"))
    tell(
        (f"trials on one device, base {min(plan.widths)}, batch {plan.batches[0]}",
         "images/s, all together", f"of one (goal: {GOAL_PACKED} from 4 on)"), rows,
    )  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true", help="tiny: shows that it runs")
    parser.add_argument("--pack", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("error: torch sees no GPU here; --device cpu --small tries the code without one",
              file=sys.stderr)  # fmt: skip
        return 2
    device = torch.device(arguments.device)
    plan = small(device) if arguments.small else Plan(device)
    if arguments.pack:
        pack(arguments, plan, arguments.pack)
        return 0
    print(f"{device_name(device)}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    limit = matrix_rate(plan, torch.bfloat16)
    rates = {"bf16": limit, "fp32": matrix_rate(plan, torch.float32)}
    rates["fp32 by TF32"] = matrix_rate(plan, torch.float32, tf32=True)
    size = f"product of two matrices of {plan.matrix}"
    tell((size, "TFLOP/s"), [(name, f"{rate / 1e12:.4g}") for name, rate in rates.items()])
    with tempfile.TemporaryDirectory() as folder:
        for side in plan.sides:
            store = made_up(Path(folder), side, plan.slices)
            measure_epochs(plan, store, limit)
        measure_memory(plan, store)
        measure_input(plan, store)
        measure_compiling(plan, store)
        measure_packing(arguments, plan, store)
    return 0


if __name__ == "__main__":
    sys.exit(main())
