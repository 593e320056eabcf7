"""What grows and what does not: memory, open files and threads of trials, a store shared.

    python benchmarks/memory.py start|epochs|trials|sharing [--threads 1]

start    `segtune check` and the preparation of data, in seconds
epochs   one long trial of 240 x 240 x 4, base 32, batch 8: what its process holds, epoch by epoch
trials   small trials one after another in one process, as Ray's reused workers run them
sharing  a large store, read in full by several processes at once

Phantoms only. README.md beside this file holds what was measured, and on what.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch

from seglib.data.loader import iterate
from seglib.data.phantom import write_phantoms
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.data.splits import Split
from seglib.data.store import Store, StoreInfo
from seglib.data.store_writer import write_store
from seglib.recipe import Recipe
from seglib.target import Target
from tune.trial import ROW, run_trial

ROOT = Path(__file__).parents[1]
CHECK = ("check", "--space", str(ROOT / "searchspaces" / "brats.yaml"))
SIDE_PX = 240
LONG = Recipe(base_filters=32, batch_size=8, flip_horizontal=0.5, rotation_deg=10.0)


@dataclass(frozen=True)
class Holding:
    """What a process holds at one moment."""

    rss_mb: float
    files: int
    threads: int

    @classmethod
    def now(cls) -> Holding:
        process = psutil.Process()
        rss_mb = process.memory_info().rss / 2**20
        return cls(rss_mb, process.num_fds(), process.num_threads())


def measure_start(options: argparse.Namespace) -> None:
    """A new process for each `segtune check`, after one that warms the disk."""
    command = [Path(sys.executable).parent / "segtune", *CHECK]
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    warm = seconds[1:]
    print(f"segtune check: median {statistics.median(warm):.2f} s, most {max(warm):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        write_phantoms("phantom-brats", source, cases=24, seed=0, size=64)
        spec = DataSpec(layout="brats", target="regions", image_size=64)
        for name in ("first", "again"):
            started = time.perf_counter()
            store = prepare(spec, source, Path(folder) / "root", workers=options.threads)
            told = f"{time.perf_counter() - started:.2f} s"
            print(f"preparing 24 cases, {len(store)} slices of 64 px, {name}: {told}")


def build_config(store: Store, folder: Path, recipe: Recipe, threads: int) -> dict[str, Any]:
    """A trial that trains on one patient and validates on another."""
    first, second = sorted(set(store.index["group"]))[:2]
    return {
        "number": 0, "recipe": recipe.model_dump(), "seed": 0, "num_reported": 0,
        "folder": str(folder), "store": str(store.path),
        "split": asdict(Split((first,), (second,))),
        "metric": "dice", "maximize": True, "threads": threads,
    }  # fmt: skip


def run_whole(config: dict[str, Any], each: Callable[[dict[str, Any]], None]) -> None:
    """A trial whose failure is the end of the benchmark."""

    def report(sent: dict[str, Any]) -> None:
        if ROW not in sent:
            raise SystemExit(str(sent))
        each(sent[ROW])

    run_trial(config, report)


def measure_epochs(options: argparse.Namespace) -> None:
    """A trial of few slices: what could grow from epoch to epoch does so all the same."""
    found: list[Holding] = []

    def note(row: dict[str, Any]) -> None:
        found.append(Holding.now())
        told = f"{found[-1]}, most in it {row['peak_memory_mb']:.0f} MB, {row['seconds']:.1f} s"
        print(f"epoch {row['epoch']}: {told}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        spec = DataSpec(
            layout="phantom-brats", target="regions", cases=2, image_size=SIDE_PX, every=5
        )
        store = prepare(spec, None, Path(folder), workers=1)
        print(f"{store.index['group'].value_counts().to_dict()} slices, {store.image_size} px")
        recipe = LONG.model_copy(update={"epochs": options.epochs})
        config = build_config(store, Path(folder) / "trial", recipe, options.threads)
        before = Holding.now()
        run_whole(config, note)
    print(f"before: {before}; after the trial: {Holding.now()}")
    tell_thirds(found)


def tell_thirds(found: Sequence[Holding]) -> None:
    third = max(1, len(found) // 3)
    for name in ("rss_mb", "files", "threads"):
        values = [getattr(one, name) for one in found]
        early, late = statistics.mean(values[:third]), statistics.mean(values[-third:])
        print(
            f"{name} over {len(found)}: first third {early:.1f}, last third {late:.1f} "
            f"(x {late / early:.4f}), most {max(values):.1f}"
        )


def measure_trials(options: argparse.Namespace) -> None:
    """Trials of all kinds in one process; each in a thread of its own, as Ray runs them."""
    draw, found = random.Random(0), []
    with tempfile.TemporaryDirectory() as folder:
        spec = DataSpec(layout="phantom-brats", target="regions", cases=2, image_size=32)
        store = prepare(spec, None, Path(folder), workers=1)
        for number in range(options.trials):
            recipe = Recipe(
                epochs=2,
                base_filters=draw.choice((4, 8, 16)),
                depth=draw.choice((2, 3)),
                batch_size=draw.choice((2, 4, 8)),
                norm=draw.choice(("batch", "instance", "none")),
                rotation_deg=draw.choice((0.0, 10.0)),
            )
            config = build_config(store, Path(folder) / str(number), recipe, options.threads)
            trial = threading.Thread(target=run_whole, args=(config, lambda row: None))
            trial.start()
            trial.join()
            found.append(Holding.now())
            print(f"trial {number}: {found[-1]}", flush=True)
    tell_thirds(found)
    settled = found[len(found) // 3 :]
    rise = np.polyfit(range(len(settled)), [one.rss_mb for one in settled], 1)[0]
    print(f"RSS from trial {len(found) - len(settled)} on: {rise:+.2f} MB a trial")


def measure_sharing(options: argparse.Namespace) -> None:
    """Processes that read a whole store through the loader, and what is really theirs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        write_noise(path, round(options.gb * 1e9 / (SIDE_PX**2 * 5)))
        size = sum(file.stat().st_size for file in path.iterdir())
        command = [sys.executable, __file__, "read", "--store", str(path)]
        readers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(options.readers)
        ]
        for reader in readers:
            assert reader.stdout is not None
            print(reader.stdout.readline().strip())
        found = [pages_of(reader.pid, path) for reader in readers]  # all of them still hold it
        for reader in readers:
            reader.communicate("done")
    print(f"store: {size / 1e9:.2f} GB, read by {len(readers)} processes")
    for name, column in zip(("RSS", "PSS"), zip(*found, strict=True), strict=True):
        of_store, of_process = map(sum, zip(*column, strict=True))
        print(f"sum of {name}: {of_store:.2f} GB of the store, {of_process:.2f} GB in all")


def write_noise(path: Path, num_slices: int) -> None:
    target = Target(kind="binary", classes=("a",), values={0: 0, 1: 1}, members=((1,),))
    names = [f"case{i // 155}" for i in range(num_slices)]
    index = pd.DataFrame({"case": names, "group": names, "slice": range(num_slices), "px_a": 1})
    info = StoreInfo(
        key="noise", target=target, channels=tuple("abcd"), image_size=SIDE_PX,
        scale=1 / 128, offset=-1.0, layout="pairs",
    )  # fmt: skip

    def pieces() -> Iterator[tuple[Any, Any]]:
        rng = np.random.default_rng(0)
        for start in range(0, num_slices, 64):
            count = min(64, num_slices - start)
            image = rng.integers(0, 256, (count, SIDE_PX, SIDE_PX, 4), dtype=np.uint8)
            yield image, rng.integers(0, 2, (count, SIDE_PX, SIDE_PX), dtype=np.uint8)

    write_store(path, info, pieces=pieces(), index=index)


def pages_of(pid: int, path: Path) -> list[tuple[float, float]]:
    """RSS and PSS of a process in GB, each of the maps of a store and of all."""
    maps = psutil.Process(pid).memory_maps()
    mapped = [one for one in maps if one.path.startswith(str(path))]
    return [
        (
            sum(getattr(one, name) for one in mapped) / 1e9,
            sum(getattr(one, name) for one in maps) / 1e9,
        )
        for name in ("rss", "pss")
    ]


def read_all(options: argparse.Namespace) -> None:
    """One of the processes: reads every slice, and stays until it is told to go."""
    store = Store.open(options.store)
    torch.set_num_threads(options.threads)
    started, count = time.perf_counter(), 0
    for batch in iterate(store, np.arange(len(store)), batch_size=8, shuffle=True):
        count += len(batch.rows)
    print(f"read {count} slices in {time.perf_counter() - started:.0f} s", flush=True)
    sys.stdin.read()


MEASURES = {
    "start": measure_start,
    "epochs": measure_epochs,
    "trials": measure_trials,
    "sharing": measure_sharing,
    "read": read_all,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--gb", type=float, default=4.0)
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    MEASURES[options.what](options)


if __name__ == "__main__":
    main()
