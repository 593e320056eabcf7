"""Is the data ever the bottleneck: batches on one core, preparation, and stores of any size.

    python benchmarks/data.py pipeline [--store FOLDER] [--json]
    python benchmarks/data.py prepare [--source FOLDER] [--processes 2]
    python benchmarks/data.py growth

pipeline  images with their masks per second of one core, through the loader that training
          uses, for several augmentations; a store of noise unless one is given
prepare   NIfTI volumes to a store, beside nibabel that only unpacks the same files, with the
          same number of processes; phantoms of BraTS's layout unless a folder is given
growth    a store of BraTS's size, 60,000 slices of 1,250 patients, beside one of a twentieth:
          opening it, all that precedes the first batch, and the memory of the process

All that is compared is measured in turns. Medians, and in brackets least and most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import psutil
import torch

from seglib.augment import build_augment
from seglib.data.loader import iterate
from seglib.data.phantom import write_phantoms
from seglib.data.spec import SplitSpec
from seglib.data.splits import make_splits
from seglib.data.store import ARRAYS, CHECKSUMS, FILES, INFO, Store, StoreInfo
from seglib.data.store_writer import write_store
from seglib.files import checksum
from seglib.metrics import Tally
from seglib.recipe import Recipe
from seglib.target import Target
from seglib.training import Training

ONCE = Path(__file__).with_name("prepare_once.py")
BATCH = 8
TARGET = Target(
    kind="regions",
    classes=("whole", "core", "enhancing"),
    values={0: 0, 1: 1, 2: 2, 4: 3},
    members=((1, 2, 3), (1, 3), (3,)),
)
AUGMENTATIONS = {
    "none": Recipe(),
    "flips": Recipe(flip_horizontal=0.5, flip_vertical=0.5),
    "flips, rotation, shift, zoom": Recipe(
        flip_horizontal=0.5, flip_vertical=0.5, rotation_deg=15.0, shift=0.1, zoom=0.1
    ),
    "elastic, every image": Recipe(elastic=1.0),
    "brightness and contrast": Recipe(brightness=0.2, contrast=0.2),
    "noise": Recipe(noise=0.05),
    "brats.yaml, all of it": Recipe(
        flip_horizontal=0.5, rotation_deg=30.0, zoom=0.3, elastic=0.3, brightness=0.2
    ),
}
SHAPES = ((256, 1), (240, 4))
PATIENTS, SLICES = 1250, 48


def told(values: Iterable[float], digits: int = 0) -> str:
    """Median, least and most."""
    each = sorted(values)
    return f"{statistics.median(each):,.{digits}f} [{each[0]:,.{digits}f}-{each[-1]:,.{digits}f}]"


def info_of(side: int, num_channels: int) -> StoreInfo:
    channels = ("flair", "t1ce", "t1", "t2")[:num_channels]
    return StoreInfo(
        key="noise", target=TARGET, channels=channels, image_size=side,
        scale=1 / 32, offset=-3.0, fill=96, layout="noise", phantom=True,
    )  # fmt: skip


def index_of(patients: int, slices: int) -> pd.DataFrame:
    """Patients of as many slices each; of two slices one has foreground."""
    number = np.arange(patients * slices)
    names = np.array([f"BraTS2021_{patient:05}" for patient in range(patients)], dtype=object)
    columns = {"case": names[number // slices], "group": names[number // slices]}
    columns |= {"slice": number % slices, "spacing_z_mm": 1.0, "spacing_y_mm": 1.0}
    columns |= {"spacing_x_mm": 1.0, "body_px": 20_000}
    foreground = np.where(number % 2 == 0, 100 + number % 977, 0)
    return pd.DataFrame(columns | {f"px_{name}": foreground for name in TARGET.classes})


def measure_pipeline(options: argparse.Namespace) -> None:
    """Processor time of this process, which has one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        for store in stores_of(options.store, Path(folder)):
            name = f"{store.image_size} x {store.image_size} x {store.num_channels}"
            tables[name] = rates_of(store, options.repeats)
    if options.json:
        median = {
            name: {each: statistics.median(rates) for each, rates in table.items()}
            for name, table in tables.items()
        }
        print(json.dumps(median))
        return
    for name, table in tables.items():
        print(f"{name}, uint8 in a memory map, batches of {BATCH}: image and mask pairs/s per core")
        for each, rates in table.items():
            print(f"  {each:30} {told(rates)}")


def stores_of(path: Path | None, folder: Path) -> Iterator[Store]:
    """The store that was named, or noise in both shapes."""
    if path is not None:
        yield Store.open(path)
        return
    rng = np.random.default_rng(0)
    for side, num_channels in SHAPES:
        images = rng.integers(0, 256, (96, side, side, num_channels), dtype=np.uint8)
        masks = rng.integers(0, 4, (96, side, side), dtype=np.uint8)
        yield write_store(
            folder / f"{side}-{num_channels}",
            info_of(side, num_channels),
            pieces=[(images, masks)],
            index=index_of(2, 48),
        )


def rates_of(store: Store, repeats: int) -> dict[str, list[float]]:
    """Pairs per second with each augmentation, one after another, again and again."""
    rows = np.arange(min(len(store), 192))
    swap = store.target.mirror_pairs()
    augments = {name: build_augment(one, swap, store.fill) for name, one in AUGMENTATIONS.items()}
    rates: dict[str, list[float]] = {name: [] for name in augments}
    for turn in range(repeats + 1):
        for name, augment in augments.items():
            started = time.process_time()
            batches = iterate(
                store, rows, batch_size=BATCH, seed=turn, shuffle=True, augment=augment
            )
            seen = sum(len(batch.rows) for batch in batches)
            if turn:  # the first warms up
                rates[name].append(seen / (time.process_time() - started))
    return rates


def measure_prepare(options: argparse.Namespace) -> None:
    """Each turn in new processes; that a pool's processes start first is counted on both sides."""
    with tempfile.TemporaryDirectory() as folder:
        source = options.source
        if source is None:
            source = Path(folder) / "source"
            write_phantoms("phantom-brats", source, cases=options.cases, seed=0, size=240)
        files = sorted(source.rglob("*.nii.gz"))
        size = sum(file.stat().st_size for file in files) / 2**20
        print(f"{len(files)} files, {size:.0f} MB packed, processes: {options.processes}")
        found: dict[str, list[list[float]]] = {"nibabel": [], "ours": []}
        for _ in range(options.repeats):
            for name, times in found.items():
                command = [sys.executable, str(ONCE), name, str(source)]
                command += ["--processes", str(options.processes)]
                times.append(answer_of(command))
    for number, unit in enumerate(("s of wall time", "s of processor time")):
        columns = {name: [one[number] for one in times] for name, times in found.items()}
        for name, column in columns.items():
            print(f"  {name:8} {told(column, 2)} {unit}")
        ratios = [a / b for a, b in zip(columns["nibabel"], columns["ours"], strict=True)]
        print(f"  our rate as a share of nibabel's: {told(ratios, 2)}")


def answer_of(command: list[str]) -> Any:
    """What another process measured."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def measure_growth(options: argparse.Namespace) -> None:
    """A new process for each look at each store."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"small": PATIENTS // 20, "large": PATIENTS}
        for name, patients in sizes.items():
            write_sparse(Path(folder) / name, patients)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sizes}
        for _ in range(options.repeats):
            for name, figures in found.items():
                command = [sys.executable, __file__, "once-growth", "--store"]
                command.append(str(Path(folder) / name))
                figures.append(answer_of(command))
    for name, figures in found.items():
        print(f"{sizes[name]} patients, {sizes[name] * SLICES:,} slices of 240 x 240 x 4")
        for figure in figures[0]:
            print(f"  {figure:34} {told((one[figure] for one in figures), 3)}")


def write_sparse(path: Path, patients: int) -> None:
    """A store whose arrays take no room on the disk: all zeros that nobody wrote."""
    path.mkdir()
    info, index = info_of(240, 4), index_of(patients, SLICES)
    shape = (len(index), 240, 240)
    for name, full in zip(ARRAYS, ((*shape, 4), shape), strict=True):
        np.lib.format.open_memmap(path / name, mode="w+", dtype=np.uint8, shape=full)
    index.to_parquet(path / "index.parquet", index=False)
    counts = {"num_slices": len(index), "num_cases": patients, "num_groups": patients}
    sizes = {name: (path / name).stat().st_size for name in FILES}
    full_info = info.model_copy(update={**counts, "sizes": sizes})
    (path / INFO).write_text(full_info.model_dump_json())
    # of the arrays nobody asks for them when a trial opens a store
    sums = dict.fromkeys(ARRAYS, "0" * 64)
    sums |= {name: checksum(path / name) for name in ("index.parquet", INFO)}
    (path / CHECKSUMS).write_text("".join(f"{one}  {name}\n" for name, one in sums.items()))


def grow_once(options: argparse.Namespace) -> None:
    """What a trial does before its first batch, and once an epoch, but for the training."""
    torch.set_num_threads(1)
    figures = {}

    def note(name: str, act: Callable[[], object]) -> object:
        started = time.process_time()
        made = act()
        figures[f"{name}, s"] = time.process_time() - started
        return made

    own = psutil.Process().memory_full_info().uss
    store = note("open", lambda: Store.open(options.store))
    assert isinstance(store, Store)
    splits = make_splits(store.index, SplitSpec())
    figures["memory of its own, open, MB"] = (psutil.Process().memory_full_info().uss - own) / 2**20
    recipe = Recipe(base_filters=4, batch_size=BATCH, foreground_fraction=0.5)
    cpu = torch.device("cpu")

    def first_batch() -> None:
        parts = splits.search_part().parts(store.index)
        store.has_foreground()
        training = Training(recipe, store, parts["train"], seed=0, device=cpu)
        fraction = recipe.foreground_fraction
        next(
            iterate(
                store, training.train, batch_size=BATCH, shuffle=True, foreground_fraction=fraction
            )
        )

    note("to the first batch", first_batch)
    tally, cases = Tally(TARGET), store.index["case"].to_numpy()
    planes = torch.ones((BATCH, TARGET.num_classes, 8, 8), dtype=torch.bool)

    def count() -> None:
        for start in range(0, len(cases), BATCH):
            tally.update(planes, planes, list(cases[start : start + BATCH]))
        tally.scores().per_case.to_csv(index=False)

    note("tally of every slice, and table", count)
    figures["memory of its own, MB"] = (psutil.Process().memory_full_info().uss - own) / 2**20
    print(json.dumps(figures))


PARTS = {
    "pipeline": measure_pipeline,
    "prepare": measure_prepare,
    "growth": measure_growth,
    "once-growth": grow_once,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS, metavar="pipeline|prepare|growth")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--store", type=Path, help="pipeline: a prepared store to read")
    parser.add_argument("--json", action="store_true", help="pipeline: medians, for programs")
    parser.add_argument("--source", type=Path, help="prepare: a folder of BraTS's layout")
    parser.add_argument("--cases", type=int, default=12, help="prepare: phantoms to write")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    PARTS[options.part](options)


if __name__ == "__main__":
    main()
