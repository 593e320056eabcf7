"""10,000 trials, 256 at once: what does an event cost the ledger, Ray's loop and the report?

    python benchmarks/scale.py ledger   [--storage journal|postgres] [--sizes 300 1000 3000 10000]
    python benchmarks/scale.py optuna   [--storage journal|postgres] [--sizes 300 1000]
    python benchmarks/scale.py pages    [--sizes 1000 10000]
    python benchmarks/scale.py ray      [--concurrent 4 16 64]
    python benchmarks/scale.py plan

Trials are made up (scale_ledger.py) or train nothing (scale_ray.py); the ledger, its storages,
sampler, pruner, files and Ray are real. PostgreSQL is started for the time of the measurement,
with fsync. CPU is the driver's alone. docs/scale.md makes a plan of the figures.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))  # the PostgreSQL of the tests

from scale_ledger import EVENTS, Crowd, Meter, observers_of, opened, read_study
from scale_plan import (
    JOURNAL,
    POSTGRES,
    Search,
    checkpoint_mb_per_s,
    driver_share,
    epochs_per_trial,
    hours,
    reports,
    reports_per_s,
    shortest_epoch_s,
    trials_per_s,
)

from tune.run_directory import RunDirectory

EPOCHS = 27
WINDOW = 64
MANY = 1_000_000


@contextmanager
def place_of(storage: str, folder: Path) -> Iterator[Path | str]:
    """A journal's path, or the URL of a PostgreSQL that lives as long."""
    if storage == "journal":
        yield folder / "journal.log"
        return
    from tests.postgres import running_postgres

    with running_postgres(folder) as url:
        yield url


def memory_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6


def size_mb(place: Path | str) -> str:
    return f"{place.stat().st_size / 1e6:.0f}" if isinstance(place, Path) else "in the database"


def show_ledger(options: argparse.Namespace, folder: Path) -> None:
    """Grow a search with random proposals, which is quick; at each size go on with the method."""
    print("| trials | opening: CPU s | ask ms: CPU, wall | report | tell | files about it: CPU ms "
          "| memory MB | journal MB |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    with place_of(options.storage, folder) as place:
        for size in options.sizes:
            grow(place, folder, size, options.concurrent)
            show_size(place, folder, size, options)


def grow(place: Path | str, folder: Path, size: int, concurrent: int) -> None:
    with opened(read_study(folder, "random", epochs=EPOCHS, cap=MANY), place) as (ledger, _):
        ended = sum(entry.state not in ("RUNNING", "WAITING") for entry in ledger.entries())
        Crowd(ledger, concurrent).run(size - WINDOW - 1 - ended, Meter())


def show_size(place: Path | str, folder: Path, size: int, options: argparse.Namespace) -> None:
    study = read_study(folder, options.method, epochs=EPOCHS, cap=MANY)
    run = RunDirectory(folder / f"run-{size}")
    run.settle_study(study)
    meter = Meter()
    with opened(study, place) as (ledger, opening_s):
        crowd = Crowd(ledger, options.concurrent, observers_of(ledger, run))
        # those left unfinished begin again; the first proposal places all that there are
        crowd.run(1, Meter())
        crowd.run(WINDOW, meter)
    costs = [f"{meter.mean_ms(one):.1f}, {meter.mean_ms(one, wall=True):.1f}" for one in EVENTS[:3]]
    files_ms = 1000 * sum(meter.cpu_s["files"]) / meter.count("tell")
    print(f"| {size:,} | {opening_s:.1f} | {' | '.join(costs)} | {files_ms:.0f} a trial "
          f"| {memory_mb():.0f} | {size_mb(place)} |", flush=True)  # fmt: skip


def show_pages(options: argparse.Namespace, folder: Path) -> None:
    """What a person waits for: status, leaderboard and report of a large search."""
    from tune.leaderboard import show_status
    from tune.report_writer import ReportWriter
    from tune.reporting.page import write_report

    print("| trials | segtune status: CPU s | leaderboard.csv: CPU s, MB | report.html: CPU s, MB "
          "| memory MB |\n|---|---|---|---|---|")  # fmt: skip
    for size in options.sizes:
        study = read_study(folder, "random", epochs=EPOCHS, cap=MANY)
        run = RunDirectory(folder / "pages")
        run.settle_study(study)
        grow(run.journal, folder, size, options.concurrent)
        with opened(study, run.journal) as (ledger, _):
            writer = ReportWriter(ledger, run)
        clock = [time.process_time()]
        show_status(run.path, Console(file=io.StringIO()))
        clock.append(time.process_time())
        writer.write()
        clock.append(time.process_time())
        page = write_report(run.path)
        clock.append(time.process_time())
        status, table, report = (b - a for a, b in pairwise(clock))
        print(f"| {size:,} | {status:.1f} | {table:.1f}, {size_mb(run.leaderboard)} "
              f"| {report:.1f}, {size_mb(page)} | {memory_mb():.0f} |", flush=True)  # fmt: skip


def show_plan() -> None:
    """Events of the search of brats.yaml, on 256 GPUs, by the length of its epochs."""
    one = Search()
    print(f"{epochs_per_trial(one):.1f} epochs a trial, {reports(one):,.0f} in all\n")
    print("| s an epoch | epochs/s | trials/s | hours | driver: cores, journal | PostgreSQL "
          "| checkpoints of 94 MB: MB/s |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for epoch_s in (5.0, 20.0, 60.0, 240.0):
        one = Search(epoch_s=epoch_s)
        rates = f"{reports_per_s(one):.1f} | {trials_per_s(one):.3f} | {hours(one):.1f}"
        shares = f"{driver_share(one, JOURNAL):.2f} | {driver_share(one, POSTGRES):.2f}"
        print(f"| {epoch_s:g} | {rates} | {shares} | {checkpoint_mb_per_s(one, 94):,.0f} |")
    for name, costs in (("journal", JOURNAL), ("PostgreSQL", POSTGRES)):
        print(f"\n{name}: the driver is one full core at epochs of "
              f"{shortest_epoch_s(one, costs):.1f} s")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("ledger", "optuna", "pages", "ray", "plan"))
    parser.add_argument("--storage", choices=("journal", "postgres"), default="journal")
    parser.add_argument("--method", default="bayes")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 1000, 3000, 10_000])
    parser.add_argument("--concurrent", type=int, nargs="+", default=[])
    options = parser.parse_args()
    counts = options.concurrent or [4, 16, 64]
    options.concurrent = (options.concurrent or [256])[0]
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "ledger":
            show_ledger(options, Path(folder))
        elif options.what == "pages":
            show_pages(options, Path(folder))
        elif options.what == "ray":
            from scale_ray import show_ray

            show_ray(Path(folder), counts, reports=600)
        elif options.what == "optuna":
            from scale_optuna import show_optuna

            with place_of(options.storage, Path(folder)) as place:
                show_optuna(place, options.sizes, options.concurrent)
        else:
            show_plan()


if __name__ == "__main__":
    main()
