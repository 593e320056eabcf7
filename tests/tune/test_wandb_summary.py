from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seglib.data.store import Store
from tests.chaos.wandb_server import serving
from tests.tune.reporting.runs import final_table, make_run, write_study
from tests.tune.wandb_files import read_runs
from tune.ledger import Ledger
from tune.run_directory import RunDirectory
from tune.study_file import load_study
from tune.wandb_summary import MOST_SECONDS, _labels, _plain_rows, add_summary

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DIR", "WANDB_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def run(store: Store, tmp_path: Path) -> RunDirectory:
    """A grid of which three trials are complete; the best has something like a checkpoint."""
    path = write_study(tmp_path / "grid.yaml")
    path.write_text(path.read_text().replace("wandb: off", "wandb: auto"))
    run = make_run(tmp_path / "runs" / "grid", store, path, finish=3)
    trial = run.path / "trials" / "1"
    (trial / "checkpoint").mkdir()
    (trial / "checkpoint" / "best.pt").write_bytes(b"weights")
    final_table(("a", "b"), 0.8).assign(epoch=2).to_csv(trial / "cases.csv", index=False)
    run.best.write_text("name: best\n")
    return run


def open_ledger(run: RunDirectory) -> Ledger:
    return Ledger(load_study(run.study, demo=False), run.settle_storage(None))


def online(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", url)


def said_by_us(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "segtune"]


def test_offline_run_holds_tables_and_is_replaced_when_the_search_has_gone_on(
    run: RunDirectory,
) -> None:
    for _ in range(2):
        ledger = open_ledger(run)
        add_summary(ledger, run.path)
    (found,) = read_runs(run.path)
    assert (found.id, found.name, found.group) == (f"{ledger.uid}-summary", "grid-summary", "grid")
    assert found.exit_code == 0
    assert found.summary["best_trial"] == 1
    assert found.summary["best_score"] == pytest.approx(0.811, abs=0.01)
    assert found.config["best"]["loss"] == "dice"
    (row,) = found.history
    files = next(run.path.glob("wandb/offline-run-*/files"))
    board = json.loads((files / row["leaderboard/path"]).read_text())
    assert board["columns"][:3] == ["trial", "point", "seed"]
    assert len(board["data"]) == 4
    cases = json.loads((files / row["cases/path"]).read_text())
    assert [case[0] for case in cases["data"]][::3] == ["a", "b"]
    drawn = (files / row["parallel_coordinates/path"]).read_text()
    assert "<svg" in drawn
    assert "trial 1: dice 0.8" in drawn
    (kept,) = (run.path / "wandb" / "best").iterdir()
    assert kept.read_bytes() == b"weights"


@pytest.mark.fault("tracking")
def test_server_gets_the_best_network_as_an_artifact(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving("well") as server:
        online(monkeypatch, server.url)
        ledger = open_ledger(run)
        add_summary(ledger, run.path)
        assert said_by_us(caplog) == []
        assert [row.keys() >= {"leaderboard", "cases", "parallel_coordinates"}
                for row in server.history[f"{ledger.uid}-summary"]] == [True]  # fmt: skip
        place = [one["artifactTypeName"] for one in server.artifacts].index("model") + 1
        artifact = server.artifacts[place - 1]
        assert artifact["artifactCollectionName"] == "grid-best"
        assert {one["alias"] for one in artifact["aliases"]} == {"best", "latest", "trial-1"}
        assert json.loads(artifact["metadata"])["recipe"]["loss"] == "dice"
        assert f"a{place}" in server.committed
        assert server.files[f"artifact/a{place}/best.pt"] == b"weights"
        assert server.files[f"artifact/a{place}/best.yaml"] == b"name: best\n"
    assert read_runs(run.path) == []


@pytest.mark.fault("tracking")
def test_server_that_fails_leaves_the_summary_in_files_and_costs_little_time(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving("key") as server, caplog.at_level(logging.WARNING):
        online(monkeypatch, server.url)
        add_summary(open_ledger(run), run.path)
    (said,) = said_by_us(caplog)
    assert "401" in said
    assert f"wandb sync {run.path / 'wandb'}/offline-run-*-summary" in said
    (found,) = read_runs(run.path)
    assert found.summary["best_trial"] == 1
    assert MOST_SECONDS <= 60


def test_study_without_wandb_has_no_summary(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    add_summary(open_ledger(run), run.path)
    assert not (run.path / "wandb").exists()


def test_where_classes_overlap_the_smaller_one_is_shown() -> None:
    planes = np.zeros((2, 4, 4), dtype=bool)
    planes[0, 1, 1] = True
    planes[1, :2] = True
    labels = _labels(planes)
    assert labels[1, 1] == 1
    assert labels[0].tolist() == [2] * 4
    assert not labels[2:].any()


def test_tables_hold_plain_values_and_gaps() -> None:
    table = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["x", None]})
    table["d"] = pd.array([3, None], dtype="Int64")
    assert _plain_rows(table) == [[1, 0.5, "x", 3], [2, None, None, None]]
