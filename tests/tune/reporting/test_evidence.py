from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from seglib.data.store import Store
from seglib.errors import RunError
from tests.tune.reporting.runs import make_run, write_study
from tune.reporting.evidence import gather


def test_trials_of_a_recipe_are_one_point(partial: Path) -> None:
    (data,) = gather(partial)
    complete = {point.name: len(point.complete) for point in data.points}
    assert complete == {"1a": 1, "1b": 1, "2a": 1, "2b": 0}
    assert data.points[3].settings == {"norm": "none", "loss": "dice"}
    assert len(data.points[3].trained) == 1
    assert data.points[3].scores().empty


def test_scores_have_a_row_per_case_and_a_column_per_seed(task: Path) -> None:
    (data,) = gather(task)
    assert data.splits is not None
    scores = data.points[0].scores()
    assert list(scores.index) == sorted(data.splits.val)
    assert list(scores.columns) == [0, 1, 2]
    assert scores.to_numpy().mean() == pytest.approx(0.7, abs=0.02)


def test_point_without_a_name_is_called_by_its_settings(tmp_path: Path, store: Store) -> None:
    study = write_study(tmp_path / "plain.yaml")
    text = study.read_text()
    study.write_text(text[: text.index("points:")])
    (data,) = gather(make_run(tmp_path / "plain", store, study, finish=1).path)
    assert [point.name for point in data.points] == ["norm batch", "norm none"]


def test_suite_is_its_runs_in_natural_order(suite: Path) -> None:
    (suite / "task1").rename(suite / "task10")
    (suite / ".cache").mkdir()
    assert [run.name for run in gather(suite)] == ["task2", "task10"]


def test_case_that_looks_like_a_number_or_a_gap_stays_a_name(task: Path) -> None:
    path = task / "trials" / "0" / "final.csv"
    table = pd.read_csv(path)
    table["case"] = ["0012"] * 6 + ["NA"] * (len(table) - 6)
    table.to_csv(path, index=False)
    (data,) = gather(task)
    final = data.points[0].trials[0].final
    assert final is not None
    assert set(final["case"]) == {"0012", "NA"}


def test_damaged_table_is_named(task: Path) -> None:
    (task / "trials" / "0" / "final.csv").write_text("")
    with pytest.raises(RunError, match=r"trials/0/final\.csv: 1 problem\n  table: found"):
        gather(task)


@pytest.mark.parametrize(
    ("name", "said"), [("", "no study.yaml, here or one folder down"), ("none", "no such folder")]
)
def test_folder_that_is_no_run_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(RunError, match=f"found {said} ; wanted a run directory"):
        gather(tmp_path / name)
