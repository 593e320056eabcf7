"""One turn of `benchmarks/data.py prepare`: wall and processor seconds of one way, as JSON.

    python benchmarks/prepare_once.py nibabel|ours SOURCE [--processes 1]

nibabel  all that nibabel does to have the voxels of every file in memory
ours     the whole preparation: checksums, checks, normalising, resizing, a store on the disk

A script of its own, as each process of a pool imports it anew: it loads no torch.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np


def unpack(file: Path) -> int:
    """Size of a volume in memory."""
    return int(np.asarray(nib.load(file).dataobj).nbytes)


def unpack_all(source: Path, processes: int) -> None:
    """In this process, or in others; those are waited for, so that their time is counted."""
    files = sorted(source.rglob("*.nii.gz"))
    if processes == 1:
        for file in files:
            unpack(file)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(unpack, files, chunksize=1)
        pool.close()
        pool.join()


def prepare_all(source: Path, processes: int) -> None:
    """As `segtune run` does with a new folder, for the sizes of BraTS."""
    from seglib.data.prepare import prepare
    from seglib.data.spec import DataSpec

    spec = DataSpec(layout="brats", target="regions", image_size=240)
    with tempfile.TemporaryDirectory() as root:
        prepare(spec, source, Path(root), workers=processes)


def spent() -> tuple[float, float]:
    """Wall and processor seconds so far, those of processes that ended counted in."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in usage)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=("nibabel", "ours"))
    parser.add_argument("source", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    if options.way == "ours":
        import seglib.data.prepare  # its start is not measured, as nibabel's is not
        import seglib.data.workers

        if options.processes == 1:  # as the processes do that preparation starts
            seglib.data.workers.use_one_core()
    before = spent()
    {"nibabel": unpack_all, "ours": prepare_all}[options.way](options.source, options.processes)
    print(json.dumps([b - a for a, b in zip(before, spent(), strict=True)]))


if __name__ == "__main__":
    main()
