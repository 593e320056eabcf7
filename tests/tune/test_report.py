from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from seglib.recipe import Recipe
from tests.tune.test_ledger import open_ledger, play
from tune.ledger import Ledger
from tune.report import (
    best_entry,
    best_row,
    build_leaderboard,
    class_columns,
    parameter_columns,
)
from tune.report_writer import ReportWriter
from tune.run_directory import RunDirectory
from tune.study_file import load_study

SCORES = [[0.2, 0.6, 0.5], [0.1], [0.5, 0.9, 0.7], [0.15]]


def score_row(epoch: int, score: float) -> dict[str, float]:
    return {
        "epoch": epoch, "score": score, "train_loss": 1.0, "val_loss": 1 - score, "dice": score,
        "iou": score / 2, "precision": 0.5, "recall": 0.4, "dice_WT": score + 0.1,
        "dice_TC": score, "dice_ET": score - 0.1, "learning_rate": 1e-3, "skipped_steps": 0,
        "seconds": 2.0, "peak_memory_mb": 100.0 + epoch,
    }  # fmt: skip


def fill(ledger: Ledger, runs: list[list[float]]) -> Ledger:
    """Play searches by hand; a trial with fewer than three epochs is left running."""
    for scores in runs:
        order = ledger.ask()
        assert order is not None
        for epoch, score in enumerate(scores, start=1):
            if ledger.report(order.number, score_row(epoch, score)):
                break
        else:
            if len(scores) < 3:
                continue
        ledger.finish(order.number)
    return ledger


@pytest.fixture
def ledger(study_path: Path) -> Ledger:
    """Complete 0.6, pruned 0.1, complete 0.9, pruned 0.15."""
    return fill(open_ledger(study_path), SCORES)


def test_leaderboard_is_sorted_by_the_best_epoch(ledger: Ledger) -> None:
    table = build_leaderboard(ledger.file, ledger.entries())
    assert list(table["trial"]) == [2, 0, 3, 1]
    assert list(table["state"]) == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED"]
    assert list(table["score"]) == [0.9, 0.6, 0.15, 0.1]
    assert list(table["last_score"]) == [0.7, 0.5, 0.15, 0.1]
    assert list(table["best_epoch"]) == [2, 2, 1, 1]
    assert list(table["epochs"]) == [3, 3, 1, 1]
    assert list(table["seconds"]) == [6.0, 6.0, 2.0, 2.0]
    assert list(table["peak_memory_mb"]) == [103.0, 103.0, 101.0, 101.0]


def test_figures_belong_to_the_best_epoch(ledger: Ledger) -> None:
    first = build_leaderboard(ledger.file, ledger.entries()).iloc[0]
    assert first["dice_WT"] == pytest.approx(1.0)
    assert first["iou"] == pytest.approx(0.45)


def test_columns_before_the_first_epoch_are_those_that_stay(ledger: Ledger) -> None:
    full = list(build_leaderboard(ledger.file, ledger.entries()))
    empty = list(build_leaderboard(ledger.file, []))
    assert [name for name in full if name in empty] == empty
    assert {"trial", "state", "score", "best_epoch", "epochs", "seconds"} <= set(empty)
    assert {"learning_rate", "base_filters", "depth"} <= set(empty)
    assert full[-1] == empty[-1] == "reason"


def test_knob_named_like_a_count_does_not_replace_it(ledger: Ledger) -> None:
    table = build_leaderboard(ledger.file, ledger.entries())
    assert table.columns.is_unique
    assert set(table["planned_epochs"]) == {3}
    assert parameter_columns(ledger.file)[-1] == "planned_epochs"


def test_no_knob_has_the_name_of_a_figure(study_path: Path) -> None:
    all_fixed = (
        "{"
        + ", ".join(
            f"{name}: {{value: {json.dumps(value)}}}"
            for name, value in Recipe().model_dump().items()
            if name != "encoder"  # no knob of the network that is trained here
        )
        + "}"
    )
    ledger = open_ledger(study_path, "method=grid", f"parameters={all_fixed}", "run_cap=null")
    fill(ledger, [[0.1, 0.2, 0.3]])
    table = build_leaderboard(ledger.file, ledger.entries())
    assert table.columns.is_unique
    assert table["number_format"][0] == "auto"
    assert table["precision"][0] == 0.5


def test_dice_weight_is_a_knob_and_no_class() -> None:
    assert class_columns(pd.DataFrame(columns=["dice_WT", "dice_weight", "dice"])) == ["dice_WT"]


def test_minimized_metric_puts_the_lowest_first(study_path: Path) -> None:
    ledger = fill(open_ledger(study_path, "metric={name: val_loss, goal: minimize}"), SCORES)
    table = build_leaderboard(ledger.file, ledger.entries())
    assert list(table["score"]) == sorted(table["score"])
    best = best_entry(ledger.file, ledger.entries())
    assert best is not None
    assert best.number == table["trial"][0]
    assert (best_row(ledger.file, best) or {})["score"] == table["score"][0]


def test_trials_without_a_score_come_last(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    first = ledger.ask()
    assert first is not None
    ledger.finish(first.number, "diverged: epoch 1")
    fill(ledger, SCORES[:2])
    table = build_leaderboard(ledger.file, ledger.entries())
    assert list(table["trial"]) == [1, 2, 0]
    assert table["reason"].iloc[-1] == "diverged: epoch 1"
    assert pd.isna(table["score"].iloc[-1])


def test_first_of_equals_is_the_best(study_path: Path) -> None:
    ledger = fill(open_ledger(study_path), [[0.4, 0.6, 0.6], [0.6, 0.5, 0.6]])
    best = best_entry(ledger.file, ledger.entries())
    assert best is not None
    assert best.number == 0
    assert (best_row(ledger.file, best) or {})["epoch"] == 2


def test_nothing_trained_has_no_best(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    assert best_entry(ledger.file, ledger.entries()) is None
    order = ledger.ask()
    assert order is not None
    assert best_row(ledger.file, ledger.entry(order.number)) is None


def test_files_follow_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    folder = RunDirectory(tmp_path / "run")
    ReportWriter(ledger, folder).finished(0)
    read = pd.read_csv(folder.leaderboard)
    wanted = build_leaderboard(ledger.file, ledger.entries())
    pd.testing.assert_frame_equal(
        read.drop(columns="reason"), wanted.drop(columns="reason"), check_dtype=False
    )
    assert folder.best.read_text().startswith("# Found on generated phantoms")


def test_best_recipe_is_a_study_of_one_trial_of_the_same_kind(
    ledger: Ledger, tmp_path: Path
) -> None:
    folder = RunDirectory(tmp_path / "run")
    ReportWriter(ledger, folder).write()
    study = load_study(folder.best, demo=False)
    assert (study.name, study.num_planned, study.method) == ("tiny-best", 1, "grid")
    assert Recipe(**study.default_point()) == ledger.recipe(2)
    for part in ("data", "split", "metric", "seed"):
        assert getattr(study, part) == getattr(ledger.file, part)


def test_search_without_an_epoch_has_a_leaderboard_and_no_best_recipe(
    study_path: Path, tmp_path: Path
) -> None:
    folder = RunDirectory(tmp_path / "run")
    ReportWriter(open_ledger(study_path), folder).write()
    assert list(pd.read_csv(folder.leaderboard)["trial"]) == []
    assert not folder.best.exists()


def test_row_may_lack_the_figures(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.1, 0.2, 0.3])
    assert "iou" not in build_leaderboard(ledger.file, ledger.entries())
