"""All benchmarks, one after another, each a table: `python -m benchmarks [table ...] [--quick]`.

Each is a script of its own that can be run alone. The peers need `benchmarks/setup.sh` first;
what is missing is named and left out. On a machine where other work runs, ratios may be read
and times may not. README.md beside this file holds the last run.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import torch

from seglib.device import choose_device, device_name

HERE = Path(__file__).parent
IDLE = 0.3  # load of a machine on which nothing else runs


@dataclass(frozen=True)
class Table:
    """A benchmark and the words that it is started with.

    Args:
        script: File beside this one.
        words: In a whole run.
        quick: In a quick one; the same if not given.
        with_peers: Whether it reads the peers' environments.
        gpu: Whether it needs a GPU.
    """

    script: str
    words: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = None
    with_peers: bool = False
    gpu: bool = False


TABLES = {
    "training": Table("training.py", quick=("--quick",), with_peers=True),
    "inputs": Table("inputs.py", quick=("--quick",), with_peers=True),
    "pipeline": Table("data.py", ("pipeline",), ("pipeline", "--repeats", "2")),
    "prepare": Table("data.py", ("prepare",), ("prepare", "--repeats", "2", "--cases", "4")),
    "growth": Table("data.py", ("growth",), ("growth", "--repeats", "2")),
    "profile": Table("profile_epoch.py", quick=("--epochs", "2")),
    "gpu": Table("gpu.py", gpu=True),
    "startup": Table("startup.py", quick=("--repeats", "2")),
    "executor": Table("executor.py", quick=("--trials", "100")),
    "concurrent": Table("executor.py", ("--no-ray", "--concurrent", "64")),
    "scale": Table("scale.py", ("ledger",), ("ledger", "--sizes", "300")),
    "scale_postgres": Table("scale.py", ("ledger", "--storage", "postgres", "--sizes", "300")),
    "scale_optuna": Table("scale.py", ("optuna", "--sizes", "300", "1000")),
    "scale_pages": Table("scale.py", ("pages",), ("pages", "--sizes", "300")),
    "scale_ray": Table("scale.py", ("ray",), ("ray", "--concurrent", "4")),
    "scale_plan": Table("scale.py", ("plan",)),
    "peer_search": Table("peer_search.py", quick=("--repeats", "1")),
    "replay": Table("replay.py", quick=("--seeds", "5")),
    "start": Table("memory.py", ("start",)),
    "sharing": Table("memory.py", ("sharing",), ("sharing", "--gb", "0.5")),
    "trials": Table("memory.py", ("trials", "--trials", "100"), ("trials", "--trials", "10")),
    "epochs": Table("memory.py", ("epochs",), ("epochs", "--epochs", "15")),
    "predicted": Table("memory_model.py", ("grid", "--points", "24"), ("grid", "--points", "4")),
}


def tell_machine(tell: Callable[[str], None]) -> None:
    """What figures mean nothing without; says so when other work runs."""
    load = os.getloadavg()[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    tell(
        f"{datetime.now():%Y-%m-%d %H:%M}, {device_name(torch.device('cpu'))}, "
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, segtune {version('segtune')}, "
        f"torch {torch.__version__}, Ray {version('ray')}, Optuna {version('optuna')}"
    )
    if choose_device().type == "cuda":
        tell(f"GPU: {device_name(choose_device())}")
    tell(f"load at the start: {load:.2f}")
    if load > IDLE:
        tell("warning: other work runs on this machine; read ratios, not times")


def reason_to_skip(table: Table) -> str | None:
    if not (HERE / table.script).exists():
        return f"benchmarks/{table.script} is not there"
    if table.gpu and choose_device().type != "cuda":
        return "there is no GPU"
    return None


def run(table: Table, options: argparse.Namespace, tell: Callable[[str], None]) -> int:
    """Run a benchmark and pass on what it prints, line by line; its exit status."""
    words = table.quick if options.quick and table.quick is not None else table.words
    command = [sys.executable, str(HERE / table.script), *words]
    if table.with_peers and options.dir is not None:
        command += ["--dir", str(options.dir)]
    tell(f"`python benchmarks/{table.script} {' '.join(words)}".rstrip() + "`\n")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tell(line.rstrip("\n"))
    return process.returncode


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("table", nargs="*", help=f"all if not given: {', '.join(TABLES)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument("--dir", type=Path, help="the peers' environments, see setup.sh")
    parser.add_argument("--markdown", type=Path, help="a file for all that is printed")
    options = parser.parse_args()
    if unknown := set(options.table) - set(TABLES):
        parser.error(f"table: found {', '.join(sorted(unknown))} ; wanted {', '.join(TABLES)}")
    lines: list[str] = []

    def tell(line: str) -> None:
        print(line, flush=True)
        lines.append(line)
        if options.markdown is not None:
            options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")

    tell_machine(tell)
    failed = []
    for name in options.table or TABLES:
        tell(f"\n## {name}\n")
        if reason := reason_to_skip(TABLES[name]):
            tell(f"left out: {reason}")
        elif status := run(TABLES[name], options, tell):
            tell(f"failed with exit status {status}")
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
