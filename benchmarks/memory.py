"""Memory over many epochs in one process, time to prepare data, time to check a study file.

    python benchmarks/memory.py [--epochs 30] [--threads 1]

Phantoms only. Prints one line per figure; README.md beside this file holds what was
measured, and on what.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch

from seglib.data.phantom import write_phantoms
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import make_splits
from seglib.data.store import Store
from seglib.fit import fit
from seglib.recipe import Recipe

ROOT = Path(__file__).parents[1]
CASES, SIZE_PX = 24, 64
CHECK = ("check", "--space", str(ROOT / "searchspaces" / "brats.yaml"))


def rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def check_seconds(times: int = 5) -> list[float]:
    """Wall time of `segtune check`, a new process each time, after one that warms the disk."""
    command = [Path(sys.executable).parent / "segtune", *CHECK]
    seconds = []
    for _ in range(times + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def prepare_seconds(folder: Path) -> tuple[Store, float, float]:
    """First preparation of files that are there already, and the second, which does no work."""
    write_phantoms("phantom-brats", folder / "source", cases=CASES, seed=0, size=SIZE_PX)
    spec = DataSpec(layout="brats", target="regions", image_size=SIZE_PX)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        store = prepare(spec, folder / "source", folder / "root", workers=1)
        seconds.append(time.perf_counter() - started)
    return store, seconds[0], seconds[1]


def rss_by_epoch(store: Store, *, epochs: int) -> list[float]:
    recipe = Recipe(base_filters=8, epochs=epochs, flip_horizontal=0.5, rotation_deg=10.0)
    split = make_splits(store.index, SplitSpec()).search_part()
    return [rss_mb() for _ in fit(recipe, store, split, seed=0, device=torch.device("cpu"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    check = check_seconds()
    print(f"segtune check: median {statistics.median(check):.2f} s, most {max(check):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        store, first, again = prepare_seconds(Path(folder))
        print(f"preparing {CASES} cases, {len(store)} slices of {SIZE_PX} px: {first:.1f} s")
        print(f"the same again: {again:.3f} s")
        before = rss_mb()
        rss = rss_by_epoch(store, epochs=options.epochs)
    third = max(1, len(rss) // 3)
    early, late = statistics.mean(rss[:third]), statistics.mean(rss[-third:])
    print(f"RSS before training: {before:.0f} MB; after epoch 1: {rss[0]:.0f} MB")
    print(
        f"RSS over {len(rss)} epochs: first third {early:.0f} MB, last third {late:.0f} MB "
        f"({late - early:+.1f} MB), most {max(rss):.0f} MB"
    )


if __name__ == "__main__":
    main()
