"""A grid that is edited: what was trained stays, what is new is added, what went is ended."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from seglib.recipe import Recipe
from tests.tune.test_ledger import play, row
from tune.agenda import LEFT_OUT, list_planned
from tune.entries import Entry, read_entries, recipe_key
from tune.ledger import Ledger
from tune.storage import open_storage, view_storage
from tune.study_file import load_study

GRID = """\
name: grid
method: grid
parameters:
  loss: {values: [bce, dice]}
  learning_rate: {value: 1e-3}
  epochs: {value: 3}
points:
  - {name: 1a, loss: bce}
  - {name: 1b, loss: dice}
seeds: [0, 1]
"""
BESIDE = "  - {name: fast, loss: dice, learning_rate: 1e-2}\n"


class Grid:
    """A study file that is edited and opened again and again."""

    def __init__(self, folder: Path) -> None:
        self.path, self.journal = folder / "grid.yaml", folder / "journal.log"
        self.text = GRID

    def open(self) -> Ledger:
        self.path.write_text(self.text)
        return Ledger(load_study(self.path, demo=False), open_storage(self.journal))

    def edit(self, old: str, new: str) -> None:
        assert old in self.text
        self.text = self.text.replace(old, new)

    def run(self) -> list[tuple[str, int | None]]:
        """Train all that is left; which points under which seeds that was."""
        ledger, trained = self.open(), []
        while (order := ledger.ask()) is not None:
            play(ledger, order, [0.1, 0.2, 0.3])
            entry = ledger.entry(order.number)
            trained.append((entry.point, entry.seed))
        return trained

    def entries(self) -> list[Entry]:
        return read_entries("grid", view_storage(self.journal))


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return Grid(tmp_path)


def test_all_points_come_under_one_seed_before_any_comes_under_the_next(grid: Grid) -> None:
    assert grid.run() == [("1a", 0), ("1b", 0), ("1a", 1), ("1b", 1)]
    assert grid.run() == []


def test_trials_of_a_seed_are_paired_and_those_of_two_are_not(grid: Grid) -> None:
    ledger, orders = grid.open(), []
    while (order := ledger.ask()) is not None:
        orders.append(order)
        play(ledger, order, [0.1, 0.2, 0.3])
    seeds = [order.seed for order in orders]
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]


def test_new_seed_adds_its_trials_only(grid: Grid) -> None:
    grid.run()
    grid.edit("seeds: [0, 1]", "seeds: [7, 0, 1]")
    assert grid.run() == [("1a", 7), ("1b", 7)]


def test_new_point_adds_its_trials_only_wherever_it_stands(grid: Grid) -> None:
    grid.run()
    before = grid.entries()
    grid.edit("points:\n", "points:\n" + BESIDE)
    assert grid.run() == [("fast", 0), ("fast", 1)]
    assert grid.entries()[:4] == before


def test_parameter_declared_with_its_default_changes_no_point(grid: Grid) -> None:
    grid.run()
    grid.edit("  epochs:", f"  zoom: {{value: {Recipe().zoom}}}\n  epochs:")
    grid.edit("points:\n", "points:\n  - {name: z, loss: dice, zoom: 0.1}\n")
    assert grid.run() == [("z", 0), ("z", 1)]


def test_edited_value_makes_other_points(grid: Grid) -> None:
    grid.run()
    grid.edit("epochs: {value: 3}", "epochs: {value: 2}")
    assert len(grid.run()) == 4


def test_removed_point_keeps_its_trials_and_its_name(grid: Grid) -> None:
    grid.edit("points:\n", "points:\n" + BESIDE)
    grid.run()
    before = grid.entries()
    grid.edit(BESIDE, "")
    assert grid.run() == []
    assert grid.entries() == before
    assert [entry.point for entry in before] == ["fast", "1a", "1b"] * 2


def test_removed_point_that_waits_is_not_trained_and_not_told_of(grid: Grid) -> None:
    grid.edit("points:\n", "points:\n" + BESIDE)
    grid.open()
    grid.edit(BESIDE, "")
    assert grid.run() == [("1a", 0), ("1b", 0), ("1a", 1), ("1b", 1)]
    assert len(grid.entries()) == 4
    grid.edit("points:\n", "points:\n" + BESIDE)
    assert grid.run() == [("fast", 0), ("fast", 1)]


def test_removed_point_in_training_ends_with_a_reason_and_comes_back_anew(grid: Grid) -> None:
    ledger = grid.open()
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, row(1, 0.4))
    grid.edit("seeds: [0, 1]", "seeds: [1]")
    assert grid.run() == [("1a", 1), ("1b", 1)]
    entry = grid.entries()[0]
    assert (entry.state, entry.reason, len(entry.rows)) == ("FAIL", LEFT_OUT, 1)
    grid.edit("seeds: [1]", "seeds: [1, 0]")
    assert grid.run() == [("1a", 0), ("1b", 0)]


def test_renamed_point_is_the_same_point(grid: Grid) -> None:
    grid.run()
    grid.edit("name: 1a, loss: bce", "name: 1b, loss: bce")
    grid.edit("name: 1b, loss: dice", "name: 1a, loss: dice")
    assert grid.run() == []
    assert [(entry.point, entry.values["loss"]) for entry in grid.entries()[:2]] == [
        ("1b", "bce"),
        ("1a", "dice"),
    ]


def test_name_that_a_new_point_takes_over_is_no_longer_the_old_ones(grid: Grid) -> None:
    grid.edit("points:\n", "points:\n" + BESIDE)
    grid.run()
    grid.edit("1e-2", "1e-4")
    grid.run()
    assert [entry.values["learning_rate"] for entry in grid.entries() if entry.point == "fast"] == [
        1e-4, 1e-4,
    ]  # fmt: skip


def test_optuna_knows_every_value_of_a_row_beside_the_product(grid: Grid) -> None:
    grid.run()
    grid.edit("points:\n", "points:\n" + BESIDE)
    grid.run()
    study = optuna.load_study(study_name="grid", storage=view_storage(grid.journal))
    assert study.trials[-1].params == {"loss": "dice", "learning_rate": 0.01, "epochs": 3}
    assert all(set(trial.params) == {"loss", "learning_rate", "epochs"} for trial in study.trials)


def test_free_text_is_trained_though_optuna_has_no_list_of_it(grid: Grid) -> None:
    grid.edit("  epochs:", "  channels: {values: [t1, t1+t2]}\n  epochs:")
    grid.edit("name: 1a, loss: bce", "name: 1a, loss: bce, channels: t1")
    grid.edit("name: 1b, loss: dice", "name: 1b, loss: bce, channels: t1+t2")
    assert len(grid.run()) == 8
    assert [entry.recipe["channels"] for entry in grid.entries()[:2]] == ["t1", "t1+t2"]


def test_default_is_planned_once_however_the_space_is_edited(study_path: Path) -> None:
    journal = study_path.parent / "journal.log"
    for override in ("base_filters=[2, 4]", "base_filters=[8, 16]"):
        Ledger(load_study(study_path, (override,), demo=False), open_storage(journal))
    assert [entry.origin for entry in read_entries("tiny", view_storage(journal))] == ["default"]


def test_point_of_a_search_is_added_wherever_it_stands(study_path: Path) -> None:
    journal = study_path.parent / "journal.log"
    for points in ("[{learning_rate: 2e-3}]", "[{learning_rate: 3e-3}, {learning_rate: 2e-3}]"):
        study = load_study(study_path, (f"points={points}",), demo=False)
        Ledger(study, open_storage(journal))
    entries = read_entries("tiny", view_storage(journal))
    assert [entry.values["learning_rate"] for entry in entries] == [1e-3, 2e-3, 3e-3]
    assert [one.origin for one in list_planned(study)] == ["default", "point", "point"]


def test_key_of_a_recipe_does_not_depend_on_what_is_left_out() -> None:
    assert recipe_key({"epochs": 5}) == recipe_key(Recipe(epochs=5).model_dump())
    assert recipe_key({"epochs": 5}) != recipe_key({"epochs": 6})
