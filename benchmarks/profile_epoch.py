"""Where the time of an epoch goes: each part's share, images/s and GFLOP/s beside the limit.

    python benchmarks/profile_epoch.py [--precision fp32] [--epochs 4] [--base-filters 16]

The real thing runs: `run_trial`, so `fit` with its loader, augmentation and metrics, and all
files of a trial, on 64 + 16 made-up X-rays of 256 px, batch 8, on one thread of a CPU. The parts
are timed from outside, by functions put around those of the product; a part's time is without
that of the parts inside it. After each epoch stands a large matrix product (`torch.mm`), the
limit that the GFLOP/s are held against. The first epoch warms up and is not counted. Figures are
medians over the others, with the least and the most. Under load read the column of CPU time: it
counts what this process computed; wall time also has what it waited for.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.flop_counter import FlopCounterMode

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import Split, make_splits
from seglib.data.store import Store
from seglib.device import choose_device, choose_dtype, device_name, peak_memory_mb
from seglib.losses import build_loss
from seglib.recipe import Recipe
from seglib.unet import UNet
from tune.trial import ROW, run_trial

NUM_TRAIN, NUM_VAL, SIZE_PX, BATCH = 64, 16, 256, 8
AUGMENT = {"rotation_deg": 10.0, "shift": 0.05, "zoom": 0.1, "flip_horizontal": 0.5}

PARTS: dict[str, tuple[str, ...]] = {
    "loader and augmentation": ("seglib.inputs:iterate", "seglib.evaluate:iterate"),
    "forward": ("seglib.unet:UNet.forward",),
    "loss": ("seglib.micro_batch:_supervise",),
    "backward": ("torch:Tensor.backward",),
    "optimiser and norm of the gradient": (
        "torch.optim:AdamW.step", "torch.nn.utils:clip_grad_norm_",
    ),
    "validation, forward and loss": ("seglib.training:score_rows",),
    "metrics": (
        "seglib.training:predict_planes", "seglib.training:mask_planes",
        "seglib.evaluate:predict_planes", "seglib.evaluate:mask_planes",
        "seglib.metrics:Tally.update", "seglib.metrics:Tally.scores",
    ),
    "copy of the epoch's start": ("seglib.training:_copied",),
    "checkpoint and files": ("tune.trial:_save",),
}  # fmt: skip
"""Part -> functions of it, as module and name."""
COMPUTED = ("forward", "loss", "backward", "optimiser and norm of the gradient")
AROUND = ("loader and augmentation", "metrics", "checkpoint and files")


@dataclass
class Clock:
    """Adds up seconds of each part, wall and CPU, without those of parts inside it."""

    wall: Counter[str] = field(default_factory=Counter)
    cpu: Counter[str] = field(default_factory=Counter)
    _open: list[str] = field(default_factory=lambda: ["the rest"])
    _since: tuple[float, float] = (0.0, 0.0)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        # Also the network of the validation belongs to that.
        inside = self._open[-1] == "validation, forward and loss" and name in COMPUTED
        self.enter(self._open[-1] if inside else name)
        try:
            yield
        finally:
            self.switch()
            self._open.pop()

    def enter(self, name: str) -> None:
        self.switch()
        self._open.append(name)

    def switch(self) -> None:
        """Book what has passed on the part that is open."""
        now = (time.perf_counter(), time.process_time())
        self.wall[self._open[-1]] += now[0] - self._since[0]
        self.cpu[self._open[-1]] += now[1] - self._since[1]
        self._since = now

    def restart(self) -> tuple[dict[str, float], dict[str, float]]:
        """What was booked so far; everything from 0 again."""
        self.switch()
        booked = dict(self.wall), dict(self.cpu)
        self.wall.clear()
        self.cpu.clear()
        return booked

    def skip(self) -> None:
        """What has passed since the last switch is nobody's."""
        self._since = (time.perf_counter(), time.process_time())

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed; where it gives a generator, each step of that."""

        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            with self.part(name):
                made = function(*args, **options)
            return self._steps(name, made) if isinstance(made, Iterator) else made

        return timed

    def _steps(self, name: str, steps: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.part(name):
                one = next(steps, self)
            if one is self:
                return
            yield one


@dataclass(frozen=True)
class Epoch:
    """What one epoch took."""

    wall: dict[str, float]
    cpu: dict[str, float]
    product: float
    faults: int


def measure(recipe: Recipe) -> tuple[list[Epoch], float]:
    """Train by the recipe, all epochs but the first; and the peak memory in MB."""
    torch.set_num_threads(1)
    clock, epochs, faults = Clock(), list[Epoch](), [0]

    def report(sent: dict[str, Any]) -> None:
        if ROW not in sent:
            raise SystemExit(f"the trial did not end well: {sent}")
        wall, cpu = clock.restart()
        new = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults[0]
        epochs.append(Epoch(wall, cpu, matrix_rate(), new))
        faults[0] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        clock.skip()

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store, split = make_data(Path(folder))
        for name, places in PARTS.items():
            for place in places:
                stack.enter_context(_timed(clock, name, place))
        clock.skip()
        run_trial(_config(recipe, store, split, Path(folder) / "trial"), report)
    return epochs[1:], peak_memory_mb(choose_device())


def _timed(clock: Clock, name: str, place: str) -> Any:
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = path.split(".")
    for step in outer:
        owner = getattr(owner, step)
    return patch.object(owner, last, clock.around(name, getattr(owner, last)))


def make_data(folder: Path) -> tuple[Store, Split]:
    spec = DataSpec(layout="phantom-xray", cases=NUM_TRAIN + NUM_VAL, image_size=SIZE_PX)
    store = prepare(spec, None, folder)
    share = NUM_VAL / (NUM_TRAIN + NUM_VAL)
    return store, make_splits(store.index, SplitSpec(val=share, test=0)).search_part()


def _config(recipe: Recipe, store: Store, split: Split, folder: Path) -> dict[str, Any]:
    return {
        "number": 0, "recipe": recipe.model_dump(), "seed": 0, "num_reported": 0,
        "folder": str(folder), "store": str(store.path), "split": asdict(split),
        "metric": "dice", "maximize": True, "threads": 1,
    }  # fmt: skip


def matrix_rate(side: int = 2048) -> float:
    """GFLOP/s of a large product of float32, the best of three."""
    one, other = torch.rand(side, side), torch.rand(side, side)

    def seconds() -> float:
        started = time.process_time()
        torch.mm(one, other)
        return time.process_time() - started

    return 2 * side**3 / min(seconds() for _ in range(3)) / 1e9


def work_of_a_step(recipe: Recipe) -> float:
    """GFLOP of a batch, forth and back, counted operation by operation."""
    target = _target()
    model = UNet(recipe, num_channels=1, num_logits=target.num_logits)
    image = torch.rand(BATCH, 1, SIZE_PX, SIZE_PX)
    mask = torch.zeros(BATCH, SIZE_PX, SIZE_PX, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        build_loss(recipe, target)(model(image)[0], mask).backward()
    return counter.get_total_flops() / 1e9


def _target() -> Any:
    from memory_model import TARGETS

    return TARGETS["binary"]


def middle(values: Sequence[float], digits: int = 1) -> str:
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def tell(recipe: Recipe, epochs: Sequence[Epoch], peak_mb: float) -> None:
    dtype = choose_dtype(recipe.precision, choose_device())
    print(f"{device_name(choose_device())}, torch {torch.__version__}, one thread; {dtype}")
    totals = {kind: [sum(getattr(e, kind).values()) for e in epochs] for kind in ("wall", "cpu")}
    print(f"\n{'part of an epoch':36}{'% of wall time':>22}{'% of CPU time':>22}")
    for part in (*PARTS, "the rest"):
        told = f"{part:36}"
        for kind in ("wall", "cpu"):
            shares = [
                100 * getattr(e, kind).get(part, 0.0) / total
                for e, total in zip(epochs, totals[kind], strict=True)
            ]
            told += f"{middle(shares):>22}"
        print(told)
    around = [
        100 * sum(e.cpu.get(part, 0.0) for part in AROUND) / sum(e.cpu.values()) for e in epochs
    ]
    print(f"\nloader, metrics and checkpoint together: {middle(around)} % of CPU time")
    _tell_rates(recipe, epochs, totals)
    steps = NUM_TRAIN // BATCH
    print(f"page faults a step: {middle([e.faults / steps for e in epochs], 0)}")
    print(f"peak of the process: {peak_mb:,.0f} MB")


def _tell_rates(recipe: Recipe, epochs: Sequence[Epoch], totals: dict[str, list[float]]) -> None:
    work = work_of_a_step(recipe) * NUM_TRAIN / BATCH
    work += work * NUM_VAL / NUM_TRAIN / 3  # forward alone is a third
    for kind, spent in totals.items():
        rates = [work / seconds for seconds in spent]
        shares = [100 * rate / e.product for rate, e in zip(rates, epochs, strict=True)]
        trained = [
            NUM_TRAIN / (seconds - getattr(e, kind).get("validation, forward and loss", 0.0))
            for seconds, e in zip(spent, epochs, strict=True)
        ]
        print(
            f"by {kind} time: {middle(spent, 2)} s an epoch, {middle(trained)} training images/s "
            f"(validation's network excepted), {middle(rates)} GFLOP/s, "
            f"{middle(shares)} % of the float32 product's {middle([e.product for e in epochs])}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--base-filters", type=int, default=16)
    options = parser.parse_args()
    recipe = Recipe(
        base_filters=options.base_filters, batch_size=BATCH, epochs=options.epochs,
        precision=options.precision, **AUGMENT,
    )  # fmt: skip
    tell(recipe, *measure(recipe))


if __name__ == "__main__":
    main()
