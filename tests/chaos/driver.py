"""A search as a process of its own: started, watched line by line, killed, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import psutil

from tune.entries import Entry, read_entries
from tune.storage import view_storage

__all__ = [
    "EPOCHS",
    "STUDY",
    "TRIALS",
    "Driver",
    "assert_gone",
    "assert_sound",
    "entries_of",
    "finish",
    "new_folder",
    "scores_of",
]

TRIALS, EPOCHS = 4, 12

STUDY = """\
name: deaths
method: random
metric: {name: dice, goal: maximize}
data: {layout: phantom-brats, cases: 8, image_size: 32, target: regions}
split: {val: 0.25, test: 0.25}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-3, max: 1e-2}
  base_filters: {values: [4, 8]}
  depth: {value: 2}
  dropout: {value: 0.1}
  flip_horizontal: {value: 0.5}
  epochs: {value: 12}
run_cap: 4
tracking: {wandb: off}
"""
"""Nothing in it depends on which trial is faster, so every undisturbed run is the same."""


class Driver:
    """`python tune/run.py` in a process group of its own.

    Args:
        folder: Working directory; the study file and the runs are in it.
        words: Said after ``--space deaths.yaml``.
        environment: Laid over this process's own.
        before: Words before the command, as ``ip netns exec NAME``.
    """

    def __init__(
        self,
        folder: Path,
        *words: str,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        script = Path(__file__).parents[2] / "tune" / "run.py"
        self.process = subprocess.Popen(
            [*before, sys.executable, str(script), "--space", "deaths.yaml", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            start_new_session=True,
        )
        self.lines: list[str] = []

    def wait_for(self, text: str) -> str:
        """Read on until a line holds this text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"the search ended without {text!r}:\n{''.join(self.lines)}")

    def children(self) -> list[psutil.Process]:
        """All processes that the search has started so far."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> list[psutil.Process]:
        """SIGKILL to the driver alone; the processes that it leaves behind."""
        children = self.children()
        self.process.kill()
        self.process.communicate()
        return children

    def send(self, number: signal.Signals) -> None:
        """A signal to the driver alone."""
        os.kill(self.process.pid, number)

    def end(self) -> int:
        """Read to the end; the exit code."""
        rest, _ = self.process.communicate(timeout=240)
        self.lines += rest.splitlines(keepends=True)
        return self.process.returncode


def assert_gone(processes: list[psutil.Process], *, seconds: float) -> None:
    """None of these is left running after so long."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert not alive, f"left running: {alive}"


def new_folder(parent: Path, study: str = STUDY) -> Path:
    """A working directory with the study file in it."""
    (parent / "deaths.yaml").write_text(study)
    return parent


def finish(folder: Path, *words: str) -> Driver:
    """Run the same command to its end; it must succeed."""
    driver = Driver(folder, *words)
    code = driver.end()
    assert code == 0, "".join(driver.lines)
    return driver


def entries_of(folder: Path) -> list[Entry]:
    """What the ledger holds, read without touching it."""
    return read_entries("deaths", view_storage(folder / "runs" / "deaths" / "journal.log"))


def scores_of(entries: list[Entry]) -> list[list[float]]:
    """Of every epoch of every trial."""
    return [[row["score"] for row in entry.rows] for entry in entries]


def assert_sound(folder: Path, *, trials: int = TRIALS, epochs: int = EPOCHS) -> list[Entry]:
    """Every trial is there once, complete, and its files agree with the ledger."""
    run = folder / "runs" / "deaths"
    entries = entries_of(folder)
    assert [entry.number for entry in entries] == list(range(trials))
    for entry in entries:
        assert entry.state == "COMPLETE", entry
        assert [row["epoch"] for row in entry.rows] == list(range(1, epochs + 1))
        table = pd.read_csv(run / "trials" / str(entry.number) / "epochs.csv")
        assert table["epoch"].tolist() == list(range(1, epochs + 1))
        assert table["score"].tolist() == [row["score"] for row in entry.rows]
    board = pd.read_csv(run / "leaderboard.csv")
    assert sorted(board["trial"]) == list(range(trials))
    return entries
