"""What `gpu.py` measures with: slices, trainings, rates and tables."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from seglib.data.feed import resident_bytes
from seglib.data.splits import Split
from seglib.data.store import Store, StoreInfo
from seglib.data.store_writer import write_store
from seglib.fit import Epoch, fit
from seglib.memory import give_back
from seglib.recipe import Recipe
from seglib.target import Target
from seglib.unet import UNet


@dataclass(frozen=True)
class Plan:
    """What is measured, and on how much."""

    device: torch.device
    sides: tuple[int, ...] = (240, 256)
    widths: tuple[int, ...] = (16, 32)
    batches: tuple[int, ...] = (8, 16, 32, 64)
    slices: int = 2560
    rounds: int = 4
    matrix: int = 8192
    packed: tuple[int, ...] = (1, 2, 4, 8)
    seconds: float = 20.0
    depth: int = 4


def small(device: torch.device) -> Plan:
    """Next to nothing, to show that the code runs."""
    torch.set_num_threads(1)
    return Plan(device, (32,), (4,), (4,), 20, 1, 128, packed=(2,), seconds=0.1, depth=2)


def made_up(folder: Path, side: int, num: int) -> Store:
    """Slices of noise with a bright disc, ten to a case."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 120, (num, side, side, 1), dtype=np.uint8)
    y, x = np.mgrid[:side, :side]
    masks = ((y - side / 2) ** 2 + (x - side / 3) ** 2 < (side / 6) ** 2).astype(np.uint8)
    masks = np.repeat(masks[None], num, axis=0)
    images[..., 0] += masks * 100
    cases = [f"case{i // 10:05d}" for i in range(num)]
    index = pd.DataFrame(
        {"case": cases, "group": cases, "slice": np.arange(num) % 10, "px_disc": masks[0].sum()}
    )
    target = Target(kind="binary", classes=("disc",), values={0: 0, 1: 1}, members=((1,),))
    info = StoreInfo(
        key="gpu", target=target, channels=("grey",), image_size=side,
        scale=2 / 255, offset=-1.0, layout="pairs",
    )  # fmt: skip
    return write_store(folder / f"slices{side}", info, pieces=[(images, masks)], index=index)


def split_of(store: Store) -> Split:
    cases = sorted(set(store.index["case"]))
    first = max(1, len(cases) // 5)
    return Split(tuple(cases[first:]), tuple(cases[:first]), "patient")


def recipe_of(plan: Plan, width: int, batch: int, **knobs: object) -> Recipe:
    return Recipe.model_validate(
        {"base_filters": width, "batch_size": batch, "depth": plan.depth, "epochs": 1000, **knobs}
    )


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(plan: Plan, dtype: torch.dtype, *, tf32: bool = False) -> float:
    """FLOP/s of a large matrix product, the best of ten."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    left, right = (
        torch.randn(plan.matrix, plan.matrix, device=plan.device).to(dtype) for _ in range(2)
    )
    best = float("inf")
    for _ in range(10):
        wait(plan.device)
        started = time.perf_counter()
        left @ right
        wait(plan.device)
        best = min(best, time.perf_counter() - started)
    torch.backends.cuda.matmul.allow_tf32 = False
    return 2 * plan.matrix**3 / best


def flop_of_image(recipe: Recipe, side: int) -> float:
    """Forth and back for one image, counted operation by operation."""
    model = UNet(recipe, num_channels=1, num_logits=1)
    image = torch.zeros(1, 1, side, side)
    with FlopCounterMode(display=False) as counter:
        model(image)[0].sum().backward()
    return float(counter.get_total_flops())


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}}-{high:{form}})"


def tell(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


class Running:
    """A training, taken one epoch further each time it is asked."""

    def __init__(self, plan: Plan, store: Store, recipe: Recipe, mode: str | None = None) -> None:
        self._plan, self._store = plan, store
        split = split_of(store)
        self._epochs: Generator[Epoch] = fit(  # type: ignore[assignment]
            recipe, store, split, seed=1, device=plan.device, compile_mode=mode
        )
        self.num_images = len(split.rows(store.index, "train"))

    def rate(self) -> float:
        """Images trained on per second of a whole epoch, its validation included."""
        wait(self._plan.device)
        started = time.perf_counter()
        next(self._epochs)  # its scores are on the host then: all work is done
        return self.num_images / (time.perf_counter() - started)

    def peak_gb(self) -> float:
        """Most memory that an epoch takes, without the slices where they lie on a GPU."""
        epoch = next(self._epochs)
        peak = epoch.as_row()["peak_memory_mb"] * 2**20
        if self._plan.device.type == "cuda":
            side = self._store.image_size
            peak -= resident_bytes(len(self._store), image_size=side, num_channels=1)
        return float(peak) / 1e9

    def close(self) -> None:
        """Give its memory back."""
        self._epochs.close()
        give_back(self._plan.device)


def in_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each side once per round; the first round warms up and is not counted."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, measure in sides.items():
            rate = measure()
            if number:
                found[name].append(rate)
    return found
