"""A training that explodes fails by itself: the search goes on, and its sampler is told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.chaos.driver import STUDY, entries_of, finish, new_folder
from tune.entries import Entry

pytestmark = [pytest.mark.slow, pytest.mark.fault("diverged")]

WILD = """\
  learning_rate: {values: [0.003, 10.0]}
  optimizer: {value: adamw}
  norm: {value: none}
  dropout: {value: 0.0}
"""
STARTS = ("  learning_rate:", "  base_filters:", "  dropout:", "run_cap:", "method:")


def wild_study() -> str:
    lines = [line for line in STUDY.splitlines() if not line.startswith(STARTS)]
    where = lines.index("parameters:") + 1
    return "\n".join(["method: grid", *lines[:where], WILD.rstrip(), "  base_filters: {value: 4}",
                      *lines[where:]]) + "\n"  # fmt: skip


def by_rate(entries: list[Entry]) -> dict[float, Entry]:
    return {entry.recipe["learning_rate"]: entry for entry in entries}


def test_diverged_trial_fails_with_its_reason_and_others_finish(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, wild_study())
    told = "".join(finish(folder).lines)
    found = by_rate(entries_of(folder))
    calm, wild = found[0.003], found[10.0]
    assert (calm.state, len(calm.rows)) == ("COMPLETE", 12)
    assert wild.state == "FAIL"
    assert wild.reason.startswith("diverged: epoch ")
    assert f"trial {wild.number} FAIL (diverged: epoch " in told
    assert all(abs(row["score"]) <= 1 for row in wild.rows)
    assert "Traceback" not in told
    board = pd.read_csv(folder / "runs" / "deaths" / "leaderboard.csv")
    assert board.loc[board["trial"] == wild.number, "reason"].item() == wild.reason
    # nothing is left to train: what diverged would diverge again
    assert f"trial {wild.number} starts" not in "".join(finish(folder).lines)
