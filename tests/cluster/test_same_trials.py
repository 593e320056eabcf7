"""The demo of searchspaces/brats.yaml finds the same on three nodes as on one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.driver import Driver, new_folder
from tests.cluster.nodes import Cluster
from tests.cluster.studies import Start
from tune.entries import Entry, read_entries
from tune.storage import view_storage

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "searchspaces" / "brats.yaml"
TRIALS = 6
SMALLER = (
    "data.cases=12", "data.image_size=32", "epochs=8", "depth=2",
    "early_terminate.min_iter=2", "early_terminate.eta=2", f"run_cap={TRIALS}",
    "resources.concurrent=1",  # TPE learns from what is known: another order, other proposals
)  # fmt: skip
WORDS = [word for value in SMALLER for word in ("--set", value)]


def best_of(entry: Entry) -> float:
    return max((row["score"] for row in entry.rows), default=0.0)


def entries_of(folder: Path, driver: Driver) -> list[Entry]:
    """What a driver that must end well has found."""
    assert driver.end() == 0, "".join(driver.lines)
    return read_entries("brats", view_storage(folder / "runs" / "brats-demo" / "journal.log"))


def test_demo_on_three_nodes_has_the_same_trials_and_the_same_best_dice(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        new_folder(folder, DEMO.read_text())
    both = Driver(here, *WORDS), start(cluster, there, *WORDS)
    alone, together = (
        entries_of(folder, driver) for folder, driver in zip((here, there), both, strict=True)
    )
    assert len(alone) == TRIALS
    assert {entry.state for entry in alone} == {"COMPLETE", "PRUNED"}
    for mine, theirs in zip(alone, together, strict=True):
        assert mine.number == theirs.number
        assert (mine.state, mine.origin, mine.values, mine.recipe, mine.seed) == (
            theirs.state, theirs.origin, theirs.values, theirs.recipe, theirs.seed
        )  # fmt: skip
        assert len(mine.rows) == len(theirs.rows)
        assert best_of(mine) == pytest.approx(best_of(theirs), abs=1e-6)
    assert max(map(best_of, alone)) > 0.0
    named = [(folder / "runs" / "brats-demo" / "best.yaml").read_text() for folder in (here, there)]
    assert named[0] == named[1]
