"""The study file changes between two starts: the finished stays, what was asked for is done."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.chaos.driver import STUDY, Driver, finish, new_folder
from tune.entries import Entry, read_entries
from tune.storage import view_storage

pytestmark = [pytest.mark.slow, pytest.mark.fault("edited")]

SHORT = STUDY.replace("run_cap: 4", "run_cap: 2").replace("{value: 12}", "{value: 3}")
DATABASE = ("--storage", "sqlite:///search.db")
LONGER = (*DATABASE, "--set", "epochs=8", "--extend", "2")


def of_database(folder: Path) -> list[Entry]:
    return read_entries("deaths", view_storage(f"sqlite:///{folder / 'search.db'}"))


def epochs_on_disk(folder: Path, number: int) -> list[float]:
    table = pd.read_csv(folder / "runs" / "deaths" / "trials" / str(number) / "epochs.csv")
    assert table["epoch"].tolist() == list(range(1, len(table) + 1))
    return table["score"].tolist()


def test_finished_trials_go_on_when_epochs_are_raised_whoever_dies(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, SHORT)
    finish(folder, *DATABASE)
    before = of_database(folder)
    assert [entry.state for entry in before] == ["COMPLETE"] * 2

    told = "".join(finish(folder, *DATABASE, "--set", "epochs=8").lines)
    assert "epochs.value changed since the last run: 3 -> 8" in told
    assert "nothing is left to train" in told  # of itself, nothing finished goes on

    driver = Driver(folder, *LONGER)
    driver.wait_for("not the same as 8 epochs from the start")
    driver.wait_for("goes on after epoch 3 of trial")
    driver.wait_for("epoch 6:")
    driver.kill()
    finish(folder, *LONGER)
    entries = of_database(folder)
    assert entries[:2] == before
    assert [entry.state for entry in entries] == ["COMPLETE"] * 4
    assert sorted(entry.extends or 0 for entry in entries[2:]) == [0, 1]
    for entry in entries[2:]:
        assert entry.extends is not None
        assert list(entry.rows[:3]) == list(before[entry.extends].rows)
        assert epochs_on_disk(folder, entry.number) == [row["score"] for row in entry.rows]
        assert len(entry.rows) == 8
    board = pd.read_csv(folder / "runs" / "deaths" / "leaderboard.csv")
    assert {"extends 0", "extends 1"} < set(board["origin"])

    told = "".join(finish(folder, *LONGER).lines)
    assert "nothing is left to train" in told
    assert of_database(folder) == entries
