"""Ours beside the peers, each in a process of its own, one of them computing at a time.

A process starts, imports and builds before the first round and then waits, so that rounds can
take turns: the product of matrices, ours, a peer, ours, the next peer. A ratio is that of two
neighbours; the first round of each warms up and is not counted. All stay on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seglib.allocator import ONE_HEAP
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.data.splits import Split

HERE = Path(__file__).parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


Figures = dict[str, float]


@dataclass(frozen=True)
class Side:
    """One row of a table.

    Args:
        name: In the table.
        script: In ``peers/``.
        what: The network that the script shall train, or ``input``.
        venv: Its environment, as ``setup.sh`` calls it; none for our own.
        goal: How many times as fast ours shall be.
    """

    name: str
    script: str
    what: str
    venv: str | None = None
    goal: float | None = None


class MissingError(SystemExit):
    """A side that cannot be measured, and why; the end of all if it is ours."""


@dataclass
class Rounds:
    """What a side told: facts once, figures of each round that counts.

    ``before`` are those of ours, of the round just before each of a peer's.
    """

    side: Side
    facts: dict[str, Any]
    figures: list[Figures] = field(default_factory=list)
    before: list[Figures] = field(default_factory=list)

    def rates(self, clock: str) -> list[float]:
        """Images per second, round by round."""
        return [_rate(one, clock) for one in self.figures]

    def ratios(self, clock: str) -> list[float]:
        """How many times as fast ours was, round by round."""
        pairs = zip(self.before, self.figures, strict=True)
        return [_rate(ours, clock) / _rate(own, clock) for ours, own in pairs]

    def peak_mb(self) -> float:
        return max(one["peak_mb"] for one in self.figures)


def _rate(figures: Figures, clock: str) -> float:
    return figures["images"] / figures[f"{clock}_s"]


class Running:
    """A side's process between its start and its end."""

    def __init__(self, side: Side, options: argparse.Namespace, data: Path) -> None:
        python = Path(sys.executable)
        if side.venv is not None:
            python = options.dir / side.venv / "bin" / "python"
        if not python.exists():
            raise MissingError(f"not installed: benchmarks/setup.sh {side.venv}")
        words = {"data": data, **{name: getattr(options, name) for name in PASSED}}
        script = HERE / "peers" / f"{side.script}.py"
        command: list[str | Path] = [python, script, side.what]
        command += [f"--{name}={value}" for name, value in words.items()]
        env = os.environ | ONE_THREAD | {"CUDA_VISIBLE_DEVICES": ""}
        if side.venv is None:
            env |= ONE_HEAP | {"PYTHONPATH": str(HERE.parent)}  # as our workers of Ray have it
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in `end`
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            text=True, env=env,
        )  # fmt: skip
        try:
            self.rounds = Rounds(side, self._answer())
        except MissingError:
            self.end()
            raise

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            told = self._errors.read().strip().splitlines()
            raise MissingError(f"it failed: {told[-1] if told else 'it said nothing'}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def go(self) -> Figures:
        """One round."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said before it died is read below
        return self._answer()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


PASSED = ("batch", "base", "depth", "dropout", "core")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What all comparisons let choose."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {-1}
    home = os.environ.get("SEGTUNE_BENCH_VENVS", HERE / ".venvs")
    parser.add_argument("--dir", type=Path, default=Path(home), help="the peers' environments")
    parser.add_argument("--peers", nargs="*", help="names of environments; all if not given")
    parser.add_argument("--rounds", type=int, default=5, help="that count, each side in each")
    parser.add_argument("--train", type=int, default=48, help="slices of an epoch")
    parser.add_argument("--val", type=int, default=8, help="slices of our validation")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--base", type=int, default=16, help="filters of the first level")
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--core", type=int, default=max(cores), help="for all; -1: any")
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu where other work runs"
    )
    parser.add_argument(
        "--quick", action="store_true", help="two rounds of 16 slices, 4 to validate"
    )


def parse_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    add_options(parser)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.train, options.val = 2, 16, 4
    return options


@contextmanager
def shared_data(options: argparse.Namespace) -> Iterator[Path]:
    """Phantom X-rays: a store for us, the same training slices as plain arrays for the peers."""
    cases = options.train + options.val
    spec = DataSpec(layout="phantom-xray", image_size=options.size, cases=cases)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = prepare(spec, None, folder / "prepared", workers=1)
        groups = sorted(set(store.index["group"]))
        split = Split(tuple(groups[: options.train]), tuple(groups[options.train :]))
        rows = np.flatnonzero(store.index["group"].isin(split.train))
        np.save(folder / "images.npy", store.images[rows])
        np.save(folder / "masks.npy", (store.masks[rows] > 0).astype(np.uint8))
        (folder / "split.json").write_text(json.dumps(asdict(split)))
        (folder / "store").symlink_to(store.path)
        yield folder


def compare(
    sides: Sequence[Side], options: argparse.Namespace, *, yardstick: Side | None = None
) -> tuple[list[Rounds], dict[str, str]]:
    """Run all rounds; the first side is ours and runs before each of the others.

    Returns:
        The yardstick's rounds if there is one, then those of ours, then those of each peer
        that could be measured; and why the others could not.
    """
    ours, *others = sides
    if options.peers is not None:
        others = [side for side in others if side.venv in (None, *options.peers)]
    missing: dict[str, str] = {}
    with shared_data(options) as data, ExitStack() as stack:

        def started(side: Side) -> Running:
            running = Running(side, options, data)
            stack.callback(running.end)
            return running

        first = [started(yardstick)] if yardstick else []
        own, peers = started(ours), []
        for side in others:
            with _noted(side, missing):
                peers.append(started(side))
        for number in range(options.rounds + 1):
            _run_round(first, own, peers, missing)
            if number == 0:  # it warmed up
                for one in (*first, own, *peers):
                    one.rounds.figures.clear()
                    one.rounds.before.clear()
            print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
        return [one.rounds for one in (*first, own, *peers)], missing


def _run_round(
    first: list[Running], own: Running, peers: list[Running], missing: dict[str, str]
) -> None:
    """One round of each, ours before each peer; a peer that fails is out."""
    for one in first:
        one.rounds.figures.append(one.go())
    if not peers:
        own.rounds.figures.append(own.go())
    for peer in list(peers):
        before = own.go()
        own.rounds.figures.append(before)
        with _noted(peer.rounds.side, missing):
            peer.rounds.figures.append(peer.go())
            peer.rounds.before.append(before)
        if peer.rounds.side.name in missing:
            peers.remove(peer)


@contextmanager
def _noted(side: Side, missing: dict[str, str]) -> Iterator[None]:
    try:
        yield
    except MissingError as error:
        missing[side.name] = str(error)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, least and most."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def tell_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in Markdown."""
    for cells in (heads, ["---"] * len(heads), *rows):
        print(f"| {' | '.join(cells)} |")


def tell_missing(missing: dict[str, str]) -> None:
    for name, reason in missing.items():
        print(f"left out: {name}: {reason}")
