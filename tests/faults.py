"""Every fault that a search must survive, the tests that prove it, and the table of both.

A test says `@pytest.mark.fault("driver-killed")`. `python -m tests.faults` runs all that
say so and writes what came of it to `docs/reliability.md`; of a test that is not run,
its last run stays there. What the table does not show, no test has shown.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["FAULTS", "ROW", "TABLE", "Fault", "FaultTable"]

ROW = re.compile(r"^\| `(.+)` \| ([\d.]+) \| (\w+) \|$", re.MULTILINE)
TABLE = Path(__file__).parents[1] / "docs" / "reliability.md"


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Args:
        what: What goes wrong.
        then: What must happen.
    """

    what: str
    then: str


FAULTS: Mapping[str, Fault] = {
    "driver-killed": Fault(
        "The search's process is killed (kill -9) at any moment, also while it writes",
        "The same command finishes the study with the trials of an undisturbed run; a torn last "
        "line is repaired, and that is said",
    ),
    "signal": Fault(
        "SIGINT or SIGTERM, to the process or to its group; SIGINT twice",
        "Checkpoint, tell, exit 130 or 143 within 30 s; at once the second time",
    ),
    "worker-killed": Fault(
        "A trial's process is killed, by hand, by Ray's memory monitor, or with Ray's node",
        "It goes on from its last epoch; killed too often, that trial fails with its reason and "
        "the search goes on",
    ),
    "node-lost": Fault(
        "A machine of the cluster dies, hangs, is slow or is cut off from the network; another "
        "joins, or has other storage than the rest",
        "Its trials go on elsewhere after their last epoch, within 60 s; the other trials notice "
        "nothing, who comes back spoils nothing, a new machine gets work, an unfit one is named",
    ),
    "head-lost": Fault(
        "The head of the cluster dies, and the cluster with it",
        "One message and exit 1 within 90 s; the same command finishes the study on another "
        "cluster, with the trials of an undisturbed run",
    ),
    "out-of-memory": Fault(
        "Memory runs out in a training step",
        "The micro-batch halves, the batch stays; what cannot run even so is infeasible, and "
        "`constraints.memory_gb` is predicted before the start",
    ),
    "diverged": Fault(
        "A loss or score that is no number, or explodes",
        "Skipped and counted, then `diverged`; the sampler is told FAIL",
    ),
    "disk": Fault(
        "The disk is full, the folder read-only, the quota reached",
        "One clear message, exit 1, the state intact; the same command goes on when there is "
        "space; checkpoints stay within `disk_gb`",
    ),
    "corruption": Fault(
        "A checkpoint, store, journal or other file of the run is cut or altered",
        "Noticed by checksum or parser; the one before is used, or a clear refusal; never a "
        "silent restart",
    ),
    "edited": Fault(
        "The data or the study file change between two starts",
        "It is said; history that still fits is kept; `--trials +N` adds; more epochs can be "
        "trained on finished trials",
    ),
    "tracking": Fault(
        "The W&B server refuses, swallows everything, dies in the middle, or the key is wrong",
        "No trial waits; the end waits 30 s at most; the offline run is whole and can be synced",
    ),
    "two-drivers": Fault(
        "Two searches on one run directory",
        "The second is refused with pid and host of the first; a lock left behind is none",
    ),
    "hung": Fault(
        "A trial that hangs: no epoch in ten times its median",
        "It is ended and tried again",
    ),
    "surroundings": Fault(
        "Clock jumps, comma decimals, spaces and unicode in paths, umask 077, no HOME, a "
        "terminal that is not UTF-8",
        "Nothing breaks",
    ),
    "parsers": Fault(
        "Study files, folders and images that are broken or hostile",
        "Refused with our own errors, in bounded memory, and nothing is written elsewhere",
    ),
}


class FaultTable:
    """A pytest plugin: collects what the tests of faults say and writes the table.

    Args:
        path: The file to write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._faults: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self._outcomes: dict[str, str] = {}
        self._before = path.read_text(encoding="utf-8") if path.exists() else ""

    @pytest.hookimpl(tryfirst=True)  # before any test is left out
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note which test is for which fault."""
        before = {name: (float(s), outcome) for name, s, outcome in ROW.findall(self._before)}
        for item in items:
            for mark in item.iter_markers("fault"):
                self._faults.setdefault(item.nodeid, mark.args[0])
                if self._short(item.nodeid) in before:
                    self._seconds[item.nodeid], self._outcomes[item.nodeid] = before[
                        self._short(item.nodeid)
                    ]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """What came of it before is of no more interest."""
        self._seconds.pop(nodeid, None)
        self._outcomes.pop(nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up a test's parts; the worst outcome counts."""
        name = report.nodeid
        if name not in self._faults:
            return
        self._seconds[name] = self._seconds.get(name, 0.0) + report.duration
        if report.outcome != "passed" or name not in self._outcomes:
            self._outcomes[name] = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Write the table."""
        self._path.write_text(self.render(), encoding="utf-8")

    def render(self) -> str:
        """The page, as Markdown."""
        lines = [
            "# What a search survives",
            "",
            "Written by `python -m tests.faults`, which runs the tests below: real processes, real",
            "signals, real files. The seconds are of each test's last run, on two cores.",
            "",
            f"{len(self._outcomes)} tests, {sum(self._seconds.values()):.0f} s, "
            f"{sum(outcome != 'passed' for outcome in self._outcomes.values())} not passed.",
        ]
        for key, fault in FAULTS.items():
            lines += ["", f"## {fault.what}", "", f"{fault.then}.", ""]
            lines += ["| test | seconds | outcome |", "|---|---|---|"]
            lines += [
                f"| `{self._short(name)}` | {self._seconds[name]:.1f} | {outcome} |"
                for name, outcome in sorted(self._outcomes.items())
                if self._faults[name] == key
            ]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _short(name: str) -> str:
        return name.removeprefix("tests/").replace("|", "\\|").replace("`", "'")


def main(words: list[str]) -> int:
    return int(pytest.main(["-q", "-m", "fault", "--fault-table", *words]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
