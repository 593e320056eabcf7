"""What a grid found: points and seeds in every table, and a winner by its mean."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from tests.tune.test_report import score_row
from tune.leaderboard import show_leaderboard
from tune.ledger import Ledger
from tune.report import best_point, build_leaderboard, score_points
from tune.report_writer import ReportWriter
from tune.run_directory import RunDirectory
from tune.storage import open_storage
from tune.study_file import load_study

GRID = """\
name: grid
method: grid
data: {layout: phantom-xray, cases: 8, image_size: 32}
parameters:
  loss: {values: [bce, dice]}
  epochs: {value: 1}
points:
  - {name: 1a, loss: bce}
  - {name: 1b, loss: dice}
seeds: [3, 5]
published: {note: others, scores: {1a: 0.94-0.96}}
"""
LUCKY = {("bce", 3): 0.60, ("dice", 3): 0.80, ("bce", 5): 0.95, ("dice", 5): 0.85}
"""The best trial of all is one of bce; the better loss is dice."""


def ended(folder: Path, text: str = GRID, *, num_trials: int = 4) -> Ledger:
    (folder / "grid.yaml").write_text(text)
    study = load_study(folder / "grid.yaml", demo=False)
    ledger = Ledger(study, open_storage(folder / "journal.log"))
    for _ in range(num_trials):
        order = ledger.ask()
        assert order is not None
        entry = ledger.entry(order.number)
        score = LUCKY[order.recipe.loss, entry.seed or 3]
        ledger.report(order.number, score_row(1, score))
        ledger.finish(order.number)
    return ledger


def shown(ledger: Ledger, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    show_leaderboard(ledger.file, ledger.entries(), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_leaderboard_has_point_and_seed(tmp_path: Path) -> None:
    ledger = ended(tmp_path)
    table = build_leaderboard(ledger.file, ledger.entries())
    assert list(table.columns[:3]) == ["trial", "point", "seed"]
    assert list(zip(table["point"], table["seed"], strict=True)) == [
        ("1a", 5), ("1b", 5), ("1b", 3), ("1a", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "gone"),
    [
        ("name: 1a, ", "", set()),
        ("name: 1a, loss: bce}\n  - {name: 1b, ", "loss: bce}\n  - {", {"point"}),
        ("seeds: [3, 5]\n", "", {"seed"}),
    ],
)
def test_column_is_there_where_the_study_has_one(
    tmp_path: Path, old: str, new: str, gone: set[str]
) -> None:
    text = GRID.replace("published: {note: others, scores: {1a: 0.94-0.96}}\n", "")
    ledger = ended(tmp_path, text.replace(old, new), num_trials=2)
    table = build_leaderboard(ledger.file, ledger.entries())
    assert {"point", "seed"} - set(table.columns) == gone


def test_seed_stays_whole_beside_trials_without_one(tmp_path: Path) -> None:
    ended(tmp_path, GRID.replace("seeds: [3, 5]\n", ""), num_trials=2)
    ledger = ended(tmp_path)
    text = build_leaderboard(ledger.file, ledger.entries()).to_csv(index=False)
    assert "1a,5," in text
    assert "1a,," in text


def test_point_wins_by_its_mean_and_not_by_its_luckiest_seed(tmp_path: Path) -> None:
    ledger = ended(tmp_path)
    best = best_point(ledger.file, ledger.entries())
    assert best is not None
    assert (best.name, best.mean, dict(best.scores)) == (
        "1b", pytest.approx(0.825), {3: 0.80, 5: 0.85},
    )  # fmt: skip
    said = "best: point 1b, dice 0.8250 as the mean of 2 seeds (0.8000, 0.8500); the mean decides"
    assert said in shown(ledger)


def test_point_with_fewer_seeds_does_not_compete(tmp_path: Path) -> None:
    ledger = ended(tmp_path, num_trials=3)  # bce has 0.60 and 0.95, dice only 0.80
    assert [len(point.scores) for point in score_points(ledger.file, ledger.entries())] == [2, 1]
    best = best_point(ledger.file, ledger.entries())
    assert best is not None
    assert best.name == "1a"


def test_best_point_is_a_study_of_one_trial_that_was_trained(tmp_path: Path) -> None:
    ledger, folder = ended(tmp_path), RunDirectory(tmp_path / "run")
    ReportWriter(ledger, folder).write()
    study = load_study(folder.best, demo=False)
    assert (study.num_planned, study.seeds, study.rows[0].values["loss"]) == (1, (3,), "dice")
    trained = {(e.recipe["loss"], e.seed): e.number for e in ledger.entries()}
    assert study.trial_seed(0, 3) == ledger.file.trial_seed(trained["dice", 3], 3)


def test_failed_trial_is_no_seed_of_its_point(tmp_path: Path) -> None:
    ledger = ended(tmp_path, num_trials=3)
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, score_row(1, 0.99))
    ledger.finish(order.number, "diverged: epoch 2")
    assert [dict(p.scores) for p in score_points(ledger.file, ledger.entries())] == [
        {3: 0.60, 5: 0.95}, {3: 0.80},
    ]  # fmt: skip


def test_nothing_is_best_before_a_trial_has_ended(tmp_path: Path) -> None:
    ledger, folder = ended(tmp_path, num_trials=0), RunDirectory(tmp_path / "run")
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, score_row(1, 0.5))
    assert best_point(ledger.file, ledger.entries()) is None
    ReportWriter(ledger, folder).write()
    assert not folder.best.exists()
    assert list(pd.read_csv(folder.leaderboard)["state"]) == ["RUNNING"]


@pytest.mark.parametrize("width", [80, 100])
def test_every_trial_is_one_whole_line_on_any_terminal(tmp_path: Path, width: int) -> None:
    ledger = ended(tmp_path, GRID.replace("1a", "a-point-with-a-long-name"))
    lines = shown(ledger, width).splitlines()
    assert max(len(line) for line in lines) <= width
    first = next(line for line in lines if line.strip().startswith("2 "))
    assert all(part in first for part in ("a-point-with-a", "5", "COMPLETE", "0.9500"))
