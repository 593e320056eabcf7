"""A grid with folds: every row once under each seed with each fold, and the test part stays out."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from seglib.data.splits import Split, Splits
from seglib.data.store import Store
from seglib.errors import DataError
from tests.tune.test_ledger import play
from tune.cli import main
from tune.division import divide, list_folds
from tune.entries import read_entries
from tune.executor import Job
from tune.leaderboard import show_leaderboard
from tune.ledger import Ledger
from tune.plan import describe_plan
from tune.report import best_point, build_leaderboard, older_entries
from tune.reporting.evidence import gather
from tune.request import Request
from tune.retention import KEPT, CheckpointKeeper
from tune.run_directory import RunDirectory
from tune.storage import open_storage, view_storage
from tune.study_file import load_study
from tune.trial_files import LAST

GRID = """\
name: folded
method: grid
data: {layout: phantom-brats, cases: 8, image_size: 32, target: regions}
split: {val: 0.25, test: 0.25, folds: 3}
parameters:
  loss: {values: [bce, dice]}
  base_filters: {value: 2}
  depth: {value: 2}
  epochs: {value: 2}
points:
  - {name: a, loss: bce}
  - {name: b, loss: dice}
seeds: [5, 6]
folds: [0, 2]
tracking: {wandb: off}
"""
SPLITS = Splits(("a", "b", "c"), ("d", "e"), ("f",), (("a", "d"), ("b",), ("c", "e")), "patient", 7)


def opened(folder: Path, text: str = GRID) -> Ledger:
    (folder / "folded.yaml").write_text(text)
    study = load_study(folder / "folded.yaml", demo=False)
    return Ledger(study, open_storage(folder / "journal.log"))


def run_all(ledger: Ledger) -> list[tuple[str, int | None, object]]:
    trained = []
    while (order := ledger.ask()) is not None:
        entry = ledger.entry(order.number)
        assert order.fold == entry.fold
        # the first fold is the easier one, and b is a little better on both
        play(ledger, order, [0.5, 0.8 - 0.1 * (entry.fold == 2) + 0.01 * (entry.point == "b")])
        trained.append((entry.point, entry.seed, entry.fold))
    return trained


def test_all_rows_come_under_one_seed_and_fold_before_the_next(tmp_path: Path) -> None:
    assert run_all(opened(tmp_path)) == [
        (point, seed, fold) for seed in (5, 6) for fold in (0, 2) for point in ("a", "b")
    ]
    assert run_all(opened(tmp_path)) == []


def test_fold_added_later_adds_its_trials_only_and_one_taken_out_keeps_them(tmp_path: Path) -> None:
    run_all(opened(tmp_path))
    assert {one[2] for one in run_all(opened(tmp_path, GRID.replace("[0, 2]", "[2, 1]")))} == {1}
    ledger = opened(tmp_path, GRID.replace("[0, 2]", "[2, 1]"))
    assert {entry.fold for entry in older_entries(ledger.file, ledger.entries())} == {0}


def test_each_trial_trains_on_its_fold(tmp_path: Path) -> None:
    ledger = opened(tmp_path, GRID.replace("[5, 6]", "[5]"))
    job = Job(tmp_path, tmp_path, SPLITS.search_part(), folds=list_folds(SPLITS, ledger.file))
    splits = {}
    while (order := ledger.ask()) is not None:
        splits[order.fold] = job.config(order, ledger)["split"]
        play(ledger, order, [0.1, 0.2])
    assert (splits[0]["train"], splits[0]["val"]) == (("b", "c", "e"), ("a", "d"))
    assert (splits[2]["train"], splits[2]["val"]) == (("a", "b", "d"), ("c", "e"))


def test_fold_all_trains_on_both_parts_and_on_no_locked_patient(tmp_path: Path) -> None:
    study = opened(tmp_path, GRID.replace("[0, 2]", "all")).file
    assert list_folds(SPLITS, study) == {"all": Split(("a", "b", "c", "d", "e"), ("d", "e"))}
    assert study.num_planned == 4


def test_score_of_a_row_is_its_mean_over_folds_and_whole_rows_alone_win(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    run_all(ledger)
    best = best_point(ledger.file, ledger.entries())
    assert best is not None
    assert (best.name, best.scores) == ("b", {5: pytest.approx(0.76), 6: pytest.approx(0.76)})
    half = [entry for entry in ledger.entries() if entry.fold == 0]
    assert best_point(ledger.file, half) is None


def test_leaderboard_and_terminal_name_the_fold(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    run_all(ledger)
    table = build_leaderboard(ledger.file, ledger.entries())
    assert list(table.columns[:4]) == ["trial", "point", "seed", "fold"]
    assert sorted(set(table["fold"])) == ["0", "2"]
    console = Console(file=io.StringIO(), width=140)
    show_leaderboard(ledger.file, ledger.entries(), console)
    assert "validation cases of its fold" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[0, 2]", "[0, 0]", "each fold once, not 0 twice"),
        ("[0, 2]", "[]", "one or more folds"),
        ("[0, 2]", "some", "a list or one of 'all'"),
        ("method: grid", "method: random", "folds with the method random"),
        ("points:", "early_terminate: {type: asha, min_iter: 1}\npoints:", "asha, which ranks"),
    ],
)
def test_faults_of_folds_are_told(problems, old: str, new: str, said: str) -> None:
    assert any(said in one for one in problems(GRID.replace(old, new)))


def test_resolved_study_keeps_the_folds(load) -> None:
    for text in (GRID, GRID.replace("[0, 2]", "all")):
        study = load(text)
        assert load_study(study.path, demo=False).resolved()["folds"] == study.resolved()["folds"]


def test_folds_that_the_data_lack_are_refused(store: Store, load) -> None:
    with pytest.raises(DataError, match="folds: found 2, 7 ; wanted 0 to 1"):
        divide(store, load(GRID.replace("[0, 2]", "[0, 2, 7]"), "split.folds=2"))


def test_all_networks_of_a_study_with_folds_are_kept(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    keeper = CheckpointKeeper(ledger, tmp_path)
    while (order := ledger.ask()) is not None:
        last = tmp_path / "trials" / str(order.number) / LAST
        last.parent.mkdir(parents=True)
        last.touch()
        play(ledger, order, [0.1, order.number / 10])
        keeper.finished(order.number)
    assert len([*tmp_path.glob(f"trials/*/{LAST}")]) == 8 > KEPT


def test_points_may_stand_without_the_product(load, problems) -> None:
    alone = GRID.replace("points:", "product: false\npoints:")
    values = "points:\n  - {name: c, loss: dice, base_filters: 4}\n"
    study = load(alone.replace("points:\n", values))
    assert [row.name for row in study.rows] == ["c", "a", "b"]
    study = load(alone.replace("  - {name: b, loss: dice}\n", ""))
    assert ([row.name for row in study.rows], study.num_planned) == (["a"], 4)
    assert load_study(study.path, demo=False).resolved()["product"] is False
    searched = alone.replace("method: grid", "method: random")
    assert any("product with the method random" in one for one in problems(searched))


def test_plan_counts_folds(tmp_path: Path) -> None:
    path = tmp_path / "folded.yaml"
    path.write_text(GRID)
    console = Console(file=io.StringIO(), width=120)
    describe_plan(Request(path), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 points x 2 seeds x 2 folds: 8 trials" in text
    assert "folds:          0, 2; each validates once, the others train" in text


@pytest.mark.slow
def test_search_scores_each_trial_on_the_patients_of_its_fold(tmp_path: Path) -> None:
    path, out = tmp_path / "folded.yaml", tmp_path / "runs"
    path.write_text(GRID.replace("[5, 6]", "[5]"))
    assert main(["run", "--space", str(path), "--out", str(out)]) == 0
    run = RunDirectory(out / "folded")
    splits = Splits.load(run.splits)
    for entry in read_entries("folded", view_storage(run.journal)):
        assert isinstance(entry.fold, int)
        final = pd.read_csv(run.path / "trials" / str(entry.number) / "final.csv", dtype=str)
        assert set(final["case"]) == set(splits.folds[entry.fold])
    (data,) = gather(run.path)
    for point in data.points:  # the report compares points on the cases of all folds together
        cases = {*splits.folds[0], *splits.folds[2]}
        assert set(point.scores().index) <= cases
        assert set(point.scores().index) & set(splits.folds[0])
        assert set(point.scores().index) & set(splits.folds[2])
