from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from seglib.data.store import Store
from seglib.errors import RunError
from tests.tune.test_ledger import open_ledger
from tests.tune.test_report import SCORES, fill
from tune.leaderboard import count_states, show_leaderboard
from tune.ledger import Ledger
from tune.run_directory import RunDirectory
from tune.status import show_status
from tune.storage import open_storage
from tune.study_file import load_study


def paper(width: int = 160) -> Console:
    return Console(file=io.StringIO(), width=width)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def run(study_path: Path, store: Store) -> Path:
    """A run directory: two complete, two pruned of four, then one more in training."""
    folder = RunDirectory(study_path.parent / "runs" / "tiny")
    study = load_study(study_path, ("run_cap=5",), demo=False)
    folder.settle_study(study)
    fill(Ledger(study, folder.settle_storage(None)), [*SCORES, [0.95]])
    folder.write_environment(store)
    return folder.path


def test_leaderboard_names_winner_gain_and_settings(study_path: Path) -> None:
    ledger, console = fill(open_ledger(study_path), SCORES), paper()
    assert show_leaderboard(ledger.file, ledger.entries(), console)
    text = text_of(console)
    assert "best: trial 2, dice 0.9000 at epoch 2, +0.3000 against the default recipe" in text
    assert "PHANTOMS" in text
    first = next(line for line in text.splitlines() if line.strip().startswith("2 "))
    assert "0.9000  1.0000  0.9000  0.8000    2/3" in first
    assert "learning_rate" in first
    assert "depth" not in first  # it is the same in all


@pytest.mark.parametrize("width", [80, 100, 160])
def test_every_trial_is_one_whole_line_on_any_terminal(study_path: Path, width: int) -> None:
    ledger, console = fill(open_ledger(study_path), SCORES), paper(width)
    show_leaderboard(ledger.file, ledger.entries(), console)
    lines = text_of(console).splitlines()
    assert max(len(line) for line in lines) <= width
    assert ("settings that differ" in text_of(console)) == (width >= 100)
    for number, state, score in ((0, "COMPLETE", "0.6000"), (1, "PRUNED", "0.1000")):
        found = [line for line in lines if line.strip().startswith(f"{number} ")]
        assert len(found) == 1
        assert state in found[0]
        assert score in found[0]


def test_failure_is_told_with_its_reason(study_path: Path) -> None:
    ledger, console = open_ledger(study_path), paper()
    order = ledger.ask()
    assert order is not None
    ledger.finish(order.number, "RuntimeError: CUDA error")
    assert not show_leaderboard(ledger.file, ledger.entries(), console)
    assert "no epoch is in the ledger yet" in text_of(console)
    assert "trial 0 failed: RuntimeError: CUDA error" in text_of(console)


def test_reason_cannot_command_the_terminal(study_path: Path) -> None:
    ledger, console = open_ledger(study_path), paper()
    order = ledger.ask()
    assert order is not None
    ledger.finish(order.number, "OSError: no file \x1b[2Jx\n  in two lines")
    show_leaderboard(ledger.file, ledger.entries(), console)
    assert r"trial 0 failed: OSError: no file \x1b[2Jx in two lines" in text_of(console)


def test_proposal_that_cannot_fit_is_counted_apart(study_path: Path) -> None:
    study = load_study(study_path, demo=False)
    storage = open_storage(study_path.parent / "journal.log")
    ledger = Ledger(study, storage, lambda recipe: "big" if recipe.base_filters > 2 else "")
    fill(ledger, SCORES)
    refused = sum(not entry.started for entry in ledger.entries())
    assert count_states(ledger.entries()) == f"2 complete, 2 pruned, {refused} cannot fit"


def test_status_tells_counts_training_and_leaderboard(run: Path) -> None:
    console = paper()
    with RunDirectory(run).locked():
        show_status(run, console)
    text = text_of(console)
    assert "tiny: 4 of 5 trials ended (2 complete, 2 pruned, 1 running); about 0:0" in text
    assert "trial 4 in training: 1 of 3 epochs, best dice 0.9500" in text
    assert "best: trial 4" in text


def test_status_of_a_search_that_nobody_runs_says_so(run: Path) -> None:
    console = paper()
    show_status(run, console)
    assert "trial 4 unfinished: 1 of 3 epochs" in text_of(console)
    assert "no process is at it; the same command goes on from here" in text_of(console)


def test_refused_proposals_are_told_with_a_reason(study_path: Path) -> None:
    study = load_study(study_path, demo=False)
    storage = open_storage(study_path.parent / "journal.log")
    ledger = Ledger(study, storage, lambda recipe: "120.3 GB predicted")
    assert ledger.ask() is None
    console = paper()
    assert not show_leaderboard(study, ledger.entries(), console)
    assert "never started, the last as infeasible: 120.3 GB" in text_of(console)


def test_status_writes_nothing_and_takes_no_lock(run: Path) -> None:
    def snapshot() -> list[tuple[str, int, bytes]]:
        return [
            (str(path), path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted([run, *run.rglob("*")])
        ]

    with RunDirectory(run).locked():
        before = snapshot()
        show_status(run, paper())
        assert snapshot() == before


def test_status_of_a_search_in_a_database(study_path: Path, store: Store) -> None:
    folder = RunDirectory(study_path.parent / "run")
    url = f"sqlite:///{study_path.parent}/search.db"
    study = load_study(study_path, demo=False)
    folder.settle_study(study)
    fill(Ledger(study, folder.settle_storage(url)), SCORES)
    folder.write_environment(store, url)
    console = paper()
    show_status(folder.path, console)
    assert "4 of 4 trials ended" in text_of(console)
    assert not folder.journal.exists()


def test_status_looks_where_the_search_said_its_database_is(run: Path, store: Store) -> None:
    RunDirectory(run).write_environment(store, "postgresql://me:secret@127.0.0.1:1/db")
    with pytest.raises(RunError, match=r"--storage: found postgresql://me@127\.0\.0\.1:1/db \("):
        show_status(run, paper())


def test_journal_is_read_whatever_database_is_named_for_others(run: Path, store: Store) -> None:
    RunDirectory(run).write_environment(store)
    console = paper()
    show_status(run, console, "sqlite:////no/such/folder/x.db")
    assert "4 of 5 trials ended" in text_of(console)


@pytest.mark.parametrize(("name", "said"), [("", "no study.yaml"), ("none", "no such folder")])
def test_status_of_something_else_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(RunError, match=f"{said}.* ; wanted a run directory, such as runs/brats"):
        show_status(tmp_path / name, paper())


def test_trials_of_an_earlier_grid_are_told_apart(study_path: Path, store: Store) -> None:
    grid = ("method=grid", "learning_rate=1e-3", "run_cap=null", "early_terminate=null")
    folder = RunDirectory(study_path.parent / "run")
    for epochs in (3, 4):
        study = load_study(study_path, (*grid, f"epochs={epochs}"), demo=False)
        folder.settle_study(study)
        ledger = Ledger(study, folder.settle_storage(None))
        if epochs == 3:
            fill(ledger, [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4]])
        folder.write_environment(store)
    console = paper()
    show_status(folder.path, console)
    assert "tiny: 0 of 2 trials ended (none yet), 2 older trials of settings" in text_of(console)


def test_nothing_runs_where_no_process_is_at_it(run: Path) -> None:
    console = paper()
    show_status(run, console)
    assert "4 of 5 trials ended (2 complete, 2 pruned, 1 unfinished)" in text_of(console)
    assert "UNFINISHED" in text_of(console)
    assert "RUNNING" not in text_of(console)
    with RunDirectory(run).locked():
        show_status(run, console)
    assert "(2 complete, 2 pruned, 1 running)" in text_of(console)
    assert "RUNNING" in text_of(console)
