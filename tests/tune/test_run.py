"""A real search through the command line, looked at from many sides. Starts Ray."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
import pytest

from seglib.checkpoint import load_checkpoint
from seglib.data.splits import Splits
from tests.conftest import TINY_STUDY
from tests.tune.wandb_files import read_runs
from tune import executor
from tune.cli import main
from tune.entries import Entry, read_entries
from tune.report import build_leaderboard
from tune.run_directory import RunDirectory
from tune.storage import view_storage
from tune.study_file import load_study

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Search:
    """The tiny study, run once; the study file and the run directory."""

    space: Path
    folder: RunDirectory

    @property
    def entries(self) -> list[Entry]:
        return read_entries("tiny", view_storage(self.folder.journal))

    def again(self, *words: str) -> int:
        return main(
            ["run", "--space", str(self.space), "--out", str(self.folder.path.parent), *words]
        )


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Search]:
    folder = tmp_path_factory.mktemp("search")
    space = folder / "tiny.yaml"
    tracking = "tracking: {wandb: offline, tensorboard: true}"
    space.write_text(TINY_STUDY.replace("tracking: {wandb: off}", tracking))
    search = Search(space, RunDirectory(folder / "runs" / "tiny"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE", raising=False)
        assert search.again() == 0
        yield search


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*args: object) -> None:
        raise AssertionError("nothing is left to train, and yet Ray was started")

    monkeypatch.setattr(executor, "execute", start)


def test_report_is_written_at_the_end(search: Search) -> None:
    page = (search.folder.path / "report.html").read_text()
    assert "<h1>tiny" in page
    assert (search.folder.path / "figures").is_dir()


def test_every_trial_ended_in_one_of_optunas_words(search: Search) -> None:
    assert [entry.number for entry in search.entries] == [0, 1, 2, 3]
    assert {entry.state for entry in search.entries} <= {"COMPLETE", "PRUNED"}
    assert search.entries[0].origin == "default"
    assert search.entries[0].state == "COMPLETE"


def test_journal_is_a_study_that_optuna_reads_by_itself(search: Search) -> None:
    backend = optuna.storages.journal.JournalFileBackend(str(search.folder.journal))
    study = optuna.load_study(study_name="tiny", storage=optuna.storages.JournalStorage(backend))
    complete = [entry for entry in search.entries if entry.state == "COMPLETE"]
    best = max(row["score"] for entry in complete for row in entry.rows)
    assert study.best_value == best


def test_rows_hold_figures_and_nothing_of_rays(search: Search) -> None:
    for entry in search.entries:
        for row in entry.rows:
            assert {"epoch", "score", "seconds", "peak_memory_mb"} <= set(row)
            assert all(isinstance(value, int | float) for value in row.values())
            assert not any("/" in name or name == "training_iteration" for name in row)


def test_leaderboard_file_has_every_trial_and_column(search: Search) -> None:
    table = pd.read_csv(search.folder.leaderboard)
    assert sorted(table["trial"]) == [0, 1, 2, 3]
    assert Counter(table["state"]) == Counter(entry.state for entry in search.entries)
    assert list(table["score"]) == sorted(table["score"], reverse=True)
    wanted = {"best_epoch", "epochs", "seconds", "learning_rate", "base_filters", "depth"}
    assert wanted <= set(table.columns)
    for row in table.itertuples():
        scores = [one["score"] for one in search.entries[row.trial].rows]
        assert row.score == pytest.approx(max(scores))
        assert row.best_epoch == scores.index(max(scores)) + 1
        assert row.epochs == len(scores)


def test_each_trial_has_its_epochs_cases_and_checkpoints(search: Search) -> None:
    val = Splits.load(search.folder.splits).val
    for entry in search.entries:
        folder = search.folder.path / "trials" / str(entry.number)
        epochs = pd.read_csv(folder / "epochs.csv")
        assert list(epochs["epoch"]) == list(range(1, len(entry.rows) + 1))
        assert list(epochs["score"]) == pytest.approx([row["score"] for row in entry.rows])
        best = int(epochs["epoch"][epochs["score"].idxmax()])
        cases = pd.read_csv(folder / "cases.csv")
        assert set(cases["epoch"]) == {best}
        assert set(cases["case"]) == set(val)
        assert len(load_checkpoint(folder / "checkpoint" / "best.pt")[0]["rows"]) == best
        assert len(load_checkpoint(folder / "checkpoint" / "last.pt")[0]["rows"]) == len(epochs)


def test_study_file_of_the_run_is_the_study(search: Search) -> None:
    assert load_study(search.folder.study, demo=False) == load_study(search.space, demo=False)


def test_environment_and_split_are_written_down(search: Search) -> None:
    starts = json.loads(search.folder.environment.read_text())["starts"]
    assert starts[0]["data"]["phantom"]
    assert starts[0]["storage"] == "journal.log"
    splits = Splits.load(search.folder.splits)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (4, 2, 2)


def test_views_have_one_run_per_trial(search: Search) -> None:
    runs = read_runs(search.folder.path)
    assert len({run.id for run in runs}) == len(runs)
    by_name = {run.name: run for run in runs}
    for entry in search.entries:
        run = by_name[f"tiny-{entry.number}"]
        assert (run.group, run.exit_code) == ("tiny", 0)
        assert [row["score"] for row in run.history] == [row["score"] for row in entry.rows]
        assert run.summary["state"] == entry.state
        assert run.config["learning_rate"] == entry.recipe["learning_rate"]
    best = build_leaderboard(load_study(search.folder.study, demo=False), search.entries)
    assert by_name["tiny-summary"].summary["best_trial"] == best["trial"].iloc[0]
    folders = sorted(path.name for path in (search.folder.path / "tensorboard").iterdir())
    assert folders == [str(entry.number) for entry in search.entries]


@pytest.mark.usefixtures("no_ray")
def test_same_command_again_is_quick_and_changes_nothing(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    journal, best = search.folder.journal.read_bytes(), search.folder.best.read_bytes()
    leaderboard = search.folder.leaderboard.read_bytes()
    started = time.monotonic()
    assert search.again() == 0
    assert time.monotonic() - started < 10
    assert "nothing is left to train" in capsys.readouterr().out
    assert search.folder.journal.read_bytes() == journal
    assert search.folder.best.read_bytes() == best
    assert search.folder.leaderboard.read_bytes() == leaderboard


def test_best_recipe_runs_alone_and_gives_the_same_score(search: Search) -> None:
    out = search.folder.path.parent / "alone"
    words = ["--set", f"seed={load_study(search.space, demo=False).seed}"]
    assert main(["run", "--space", str(search.folder.best), "--out", str(out), *words]) == 0
    table = pd.read_csv(out / "tiny-best" / "leaderboard.csv")
    assert list(table["state"]) == ["COMPLETE"]
    best = load_study(search.folder.best, demo=False)
    assert table["learning_rate"][0] == pytest.approx(best.default_point()["learning_rate"])
    assert 0 <= table["score"][0] <= 1


def test_more_trials_are_added_once(search: Search, capsys: pytest.CaptureFixture[str]) -> None:
    before = search.entries
    damaged = search.folder.path / "trials" / "5" / "checkpoint" / "last.pt"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no checkpoint")
    assert search.again("--trials", "+2") == 0
    assert [entry.number for entry in search.entries] == [0, 1, 2, 3, 4, 5]
    assert search.entries[:4] == before
    assert {entry.state for entry in search.entries[4:]} <= {"COMPLETE", "PRUNED"}
    notes = (search.folder.path / "trials" / "5" / "notes.txt").read_text()
    assert "damaged" in notes
    assert "trained again from epoch 1" in notes
    assert "run_cap changed since the last run: 4 -> 6" in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor, "execute", None)
        assert search.again("--trials", "+2") == 0
    assert len(search.entries) == 6
    assert len(pd.read_csv(search.folder.leaderboard)) == 6
