"""How long until the first training step, and until `segtune check` has answered?

    python benchmarks/startup.py [--repeats 5]

Whole processes, each started anew and in turn: importing the libraries, `segtune check`, and
`segtune run` on the demo of searchspaces/brats.yaml with its data prepared before. The time of
a run is that from its command to the moment at which the first worker begins its first epoch
of training, Ray's start included; then the run is interrupted. A worker tells of that moment
through a pipe: the function that trains an epoch is wrapped when its module is imported, by a
sitecustomize.py that only these runs see. CPU is that of the process and of those it waited
for, not of workers. Prints medians, the least and the most.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ("--space", str(ROOT / "searchspaces" / "brats.yaml"))
IMPORTS = ("torch", "ray", "ray.tune", "optuna", "pandas", "albumentations", "tune.cli",
           "tune.trainable")  # fmt: skip
LONGEST_S = 300
TELLTALE = """\
import importlib.util, os, sys, time

class Finder:
    def find_spec(self, name, path, target=None):
        if name != "seglib.training":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            train_epoch = module.Training.train_epoch
            def told(self, number):
                with open(os.environ["BENCHMARK_PIPE"], "w") as pipe:
                    pipe.write(f"{time.monotonic()}\\n")
                return train_epoch(self, number)
            module.Training.train_epoch = told
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""

Figures = tuple[float, float]
"""Wall and CPU seconds."""


def cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def whole(command: Sequence[str]) -> Figures:
    began, cpu_s = time.monotonic(), cpu_of_children_s()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.monotonic() - began, cpu_of_children_s() - cpu_s


def segtune(*words: str) -> list[str]:
    return [sys.executable, "-c", "import sys, tune.cli; sys.exit(tune.cli.main())", *words]


def until_first_step(folder: Path) -> Figures:
    """One run of the demo, interrupted as soon as it trains."""
    with tempfile.TemporaryDirectory() as scratch:
        pipe = Path(scratch) / "pipe"
        os.mkfifo(pipe)
        (Path(scratch) / "sitecustomize.py").write_text(TELLTALE)
        out = Path(scratch) / "runs"
        out.mkdir()
        (out / ".cache").symlink_to(folder / ".cache")
        reader = os.open(pipe, os.O_RDWR)
        began, cpu_s = time.monotonic(), cpu_of_children_s()
        driver = subprocess.Popen(
            segtune("run", *DEMO, "--out", str(out)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": scratch, "BENCHMARK_PIPE": str(pipe)},
        )
        try:
            ready, _, _ = select.select([reader], [], [], LONGEST_S)
            assert ready, f"no training within {LONGEST_S} s"
            told_at = float(os.read(reader, 100).split()[0])
        finally:
            driver.terminate()  # SIGINT is ignored in the background of a shell
            driver.wait()
            os.close(reader)
        return told_at - began, cpu_of_children_s() - cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short = ("--set", "early_terminate.type=none", "--trials", "1", "--out", name)
        print("preparing the demo's data", flush=True)
        subprocess.run(
            segtune("run", *DEMO, "--set", "epochs=1", *short),
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        )
        measures: dict[str, Callable[[], Figures]] = {
            f"import {one}": lambda one=one: whole([sys.executable, "-c", f"import {one}"])
            for one in IMPORTS
        }
        measures["segtune check"] = lambda: whole(segtune("check", *DEMO))
        measures["segtune run to the first training step"] = lambda: until_first_step(folder)
        found: dict[str, list[Figures]] = {name: [] for name in measures}
        for _ in range(repeats):
            for name, measure in measures.items():
                found[name].append(measure())
    print(f"{'medians of ' + str(repeats):40}  wall s (least to most)   CPU s")
    for name, figures in found.items():
        wall_s, cpu_s = zip(*figures, strict=True)
        spread = f"({min(wall_s):.2f} to {max(wall_s):.2f})"
        print(f"{name:40}  {statistics.median(wall_s):6.2f} {spread:17} "
              f"{statistics.median(cpu_s):6.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
