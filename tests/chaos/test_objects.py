"""A whole search whose run directory lies with a server that speaks S3, over HTTP."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.chaos.driver import EPOCHS, TRIALS, Driver, assert_sound, new_folder, scores_of
from tests.objects import SECRET, serving_objects
from tune.entries import Entry
from tune.remote import Remote

pytestmark = pytest.mark.slow

PLACE = "s3://bucket/runs"


def test_search_is_killed_here_and_goes_on_on_a_machine_with_nothing(
    tmp_path: Path, undisturbed: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_objects(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        here, there = tmp_path / "here", tmp_path / "there"
        for machine in (here, there):
            machine.mkdir()
            new_folder(machine)
        first = Driver(here, "--storage-path", PLACE)
        first.wait_for("trial 1 epoch 3:")
        first.kill()
        shutil.move(here / "runs", tmp_path / "lost")

        second = Driver(there, "--storage-path", PLACE)
        assert second.end() == 0, "".join(second.lines)
        assert scores_of(assert_sound(there)) == scores_of(undisturbed)

        remote = Remote(PLACE)
        names = {*remote.sizes("deaths")}
        assert {
            "study.yaml",
            "splits.json",
            "journal.log",
            "leaderboard.csv",
            "report.html",
        } < names
        for number in range(TRIALS):
            local = there / "runs" / "deaths" / "trials" / str(number)
            remote.get(f"deaths/trials/{number}/epochs.csv", tmp_path / "epochs.csv")
            assert len(pd.read_csv(tmp_path / "epochs.csv")) == EPOCHS
            assert (local / "cases.csv").exists()
            assert (local / "final.csv").exists()
        said = "".join(first.lines + second.lines)
        assert SECRET not in said
        for name in names:
            assert SECRET.encode() not in (remote.read(f"deaths/{name}") or b"")
    for path in there.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
