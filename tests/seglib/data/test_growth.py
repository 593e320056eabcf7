"""What a trial does before its first batch hardly depends on how large the store is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seglib.data.store import ARRAYS, CHECKSUMS, FILES, INFO, StoreInfo
from seglib.files import checksum
from seglib.target import Target

SIDE = 32
SLICES = 48
TARGET = Target(kind="binary", classes=("tumour",), values={0: 0, 1: 1}, members=((1,),))

LOOK = """
import json, sys, time
from pathlib import Path
from seglib.data.loader import iterate
from seglib.data.spec import SplitSpec
from seglib.data.splits import make_splits
from seglib.data.store import Store
small, path = map(Path, sys.argv[1:])
Store.open(small)  # what is loaded at the first opening
def own():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous")) * 1024
before = own()
started = time.process_time()
store = Store.open(path)
opened = time.process_time()
rows = make_splits(store.index, SplitSpec()).search_part().parts(store.index)["train"]
for seed in range(3):
    next(iterate(store, rows, batch_size=8, shuffle=True, foreground_fraction=0.5, seed=seed))
ended = time.process_time()
print(json.dumps([opened - started, ended - opened, own() - before]))
"""


def write_empty_store(path: Path, patients: int) -> Path:
    """Arrays of zeros that take no room on the disk; every second slice counts as marked."""
    path.mkdir()
    number = np.arange(patients * SLICES)
    names = np.array([f"patient{one:05}" for one in range(patients)], dtype=object)[
        number // SLICES
    ]
    columns = {"case": names, "group": names, "slice": number % SLICES, "px_tumour": number % 2}
    pd.DataFrame(columns).to_parquet(path / "index.parquet", index=False)
    shape = (len(number), SIDE, SIDE)
    for name, full in zip(ARRAYS, ((*shape, 1), shape), strict=True):
        np.lib.format.open_memmap(path / name, mode="w+", dtype=np.uint8, shape=full)
    info = StoreInfo(
        key="empty",
        target=TARGET,
        channels=("flair",),
        image_size=SIDE,
        scale=1.0,
        offset=0.0,
        layout="empty",
        num_slices=len(number),
        num_cases=patients,
        num_groups=patients,
        sizes={name: (path / name).stat().st_size for name in FILES},
    )
    (path / INFO).write_text(info.model_dump_json())
    sums = {name: checksum(path / name) for name in (*FILES, INFO)}
    lines = (f"{digest}  {name}\n" for name, digest in sums.items())
    (path / CHECKSUMS).write_text("".join(lines))
    return path


@pytest.mark.slow
def test_twenty_times_the_slices_cost_little_more(tmp_path: Path) -> None:
    """Sixty thousand slices; memory may grow by their index, some hundred bytes a slice."""
    small = write_empty_store(tmp_path / "small", 62)
    large = write_empty_store(tmp_path / "large", 1250)
    found = []
    for path in (small, large):
        command = [sys.executable, "-c", LOOK, str(small), str(path)]
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    (open_small, begin_small, grown_small), (open_large, begin_large, grown_large) = found

    assert open_large < max(5 * open_small, 0.5)
    assert begin_large < max(5 * begin_small, 1.0)
    assert grown_large - grown_small < 60_000 * 1000
