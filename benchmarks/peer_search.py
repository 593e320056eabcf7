"""The demo search by us and by plain Ray Tune and plain Optuna, over the same training.

    python benchmarks/peer_search.py [--repeats 2] [--trials 14] [--empty 20]

The demo of searchspaces/brats.yaml, its data prepared before. All train by `seglib.fit` on one
thread, two trials at a time on two cores, from the same space, and begin with the same trials.
Each search is a process of its own, started anew, and all take turns; its wall time is that of
the process, so imports and Ray's start and end are in it.

- ours: `segtune run` as it is, with all it writes, the report included.
- tune: Ray Tune as its documentation's examples have it. OptunaSearch as it is (TPE, the
  space as a function), ASHAScheduler as it is (first look after 1 epoch, a quarter goes on),
  one CPU a trial, and after each epoch a `tune.Checkpoint` of a temporary folder with what
  resuming needs. All else is Tune's default.
- tune, our rungs: the same with our study's first rung and reduction factor.
- optuna: `study.optimize`, one process, TPE, Optuna's MedianPruner; a checkpoint an epoch.
- optuna x 2: the same in two processes that share a journal file.

Optuna starts no processes and survives no death of one; it is here for the price of that.
`level` is the least of the best scores of all searches: the time to reach it is told, too.
The second table has trials that train nothing, `--empty` of them one after another: wall time
of a trial, from the end of the one before to its own, by Tune's defaults (a process for each
trial), with its `reuse_actors`, and by ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEARCHES = ("ours", "tune", "tune, our rungs", "optuna", "optuna x 2")
EMPTY = ("ours, empty", "tune, empty", "tune reusing, empty")

Told = list[tuple[float, float]]
"""When an epoch was told, by the monotonic clock, and its score."""


def measure(kind: str, folder: str, trials: int) -> tuple[float, Told]:
    """Wall time of a process that searches, and its epochs on a clock that starts with it."""
    from seglib.allocator import ONE_HEAP

    told_in = Path(folder) / "told.json"
    words = [sys.executable, str(ROOT / "benchmarks" / "one_search.py"), kind, folder, str(trials)]
    environment = os.environ | ONE_HEAP | {"OMP_NUM_THREADS": "1"}  # as our workers have it
    began = time.monotonic()
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wall_s = time.monotonic() - began
    return wall_s, sorted((at - began, score) for at, score in json.loads(told_in.read_text()))


def show_searches(found: dict[str, list[tuple[float, Told]]]) -> None:
    best = {
        kind: [max(score for _, score in told) for _, told in all_] for kind, all_ in found.items()
    }
    level = min(min(scores) for scores in best.values())
    first = next(iter(found))
    first_s = [wall_s for wall_s, _ in found[first]]
    print(
        f"\n{'search':18} wall s (least to most)  {first} / it  epochs  best Dice  s to {level:.3f}"
    )
    for kind, runs in found.items():
        walls = [wall_s for wall_s, _ in runs]
        ratios = [own / other for own, other in zip(first_s, walls, strict=True)]
        epochs = statistics.median(len(told) for _, told in runs)
        reached = [next(at for at, score in told if score >= level) for _, told in runs]
        print(
            f"{kind:18} {statistics.median(walls):6.1f} ({min(walls):.1f} to {max(walls):.1f})  "
            f"{statistics.median(ratios):8.2f}  {epochs:6.0f}  "
            f"{statistics.median(best[kind]):9.3f}  {statistics.median(reached):6.1f}"
        )


def show_empty(found: dict[str, list[tuple[float, Told]]]) -> None:
    print(f"\n{'trials that train nothing':26} wall s per trial (least to most)")
    for kind, runs in found.items():
        each = [(told[-1][0] - told[0][0]) / (len(told) - 1) for _, told in runs]
        print(f"{kind:26} {statistics.median(each):.3f} ({min(each):.3f} to {max(each):.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--trials", type=int, default=14)
    parser.add_argument("--empty", type=int, default=20)
    parser.add_argument("--only", choices=(*SEARCHES, *EMPTY), nargs="+")
    asked = parser.parse_args()
    found: dict[str, list[tuple[float, Told]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        measure("prepare", folder, 1)
        for _ in range(asked.repeats):
            for kind in asked.only or (*SEARCHES, *EMPTY):
                trials = asked.empty if kind in EMPTY else asked.trials
                found.setdefault(kind, []).append(measure(kind, folder, trials))
                print(f"{kind}: {found[kind][-1][0]:.1f} s", flush=True)
    searches = {kind: runs for kind, runs in found.items() if kind in SEARCHES}
    if searches:
        show_searches(searches)
    show_empty({kind: runs for kind, runs in found.items() if kind in EMPTY})


if __name__ == "__main__":
    main()
