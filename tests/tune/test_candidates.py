from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from seglib.data.splits import Splits
from seglib.errors import RunError
from seglib.recipe import Recipe
from tests.tune.test_ledger import open_ledger, play
from tune.candidates import choose_candidates, list_chosen, write_study
from tune.ledger import Ledger
from tune.study import StudyFile
from tune.study_file import load_study
from tune.yaml_lines import write_yaml

FREE = ("run_cap=6", "early_terminate.type=none")


def searched(path: Path, *scores: float, more: tuple[str, ...] = ()) -> Ledger:
    """A search whose trials had these best scores, the default's first."""
    ledger = open_ledger(path, *FREE, *more)
    for score in scores:
        order = ledger.ask()
        assert order is not None
        play(ledger, order, [0.1, score, 0.2])
    return ledger


def names(ledger: Ledger, top: int) -> list[tuple[str, int | None]]:
    found = choose_candidates(ledger.file, ledger.entries(), top)
    return [(one.name, one.trial) for one in found]


def study_of(ledger: Ledger, folder: Path, top: int = 2) -> StudyFile:
    candidates = choose_candidates(ledger.file, ledger.entries(), top)
    plain = write_study(ledger.file, candidates, name="x-confirm", num_seeds=2, folds=range(3))
    (folder / "confirm.yaml").write_text(write_yaml(plain))
    return load_study(folder / "confirm.yaml", demo=False)


def test_default_comes_first_then_the_best_in_their_order(study_path: Path) -> None:
    ledger = searched(study_path, 0.5, 0.7, 0.9, 0.8)
    assert names(ledger, 1) == [("default", 0), ("winner", 2)]
    assert names(ledger, 3) == [
        ("default", 0), ("winner", 2), ("runner-up 2", 3), ("runner-up 3", 1),
    ]  # fmt: skip


def test_default_that_won_has_a_runner_up_beside_it(study_path: Path) -> None:
    ledger = searched(study_path, 0.9, 0.7, 0.8)
    assert names(ledger, 1) == [("default", 0), ("runner-up 2", 2)]
    assert names(ledger, 3) == [("default", 0), ("runner-up 2", 2), ("runner-up 3", 1)]


def test_goal_may_be_the_least(study_path: Path) -> None:
    metric = ("metric={name: val_loss, goal: minimize}",)
    ledger = searched(study_path, 0.15, 0.12, 0.05, 0.14, more=metric)
    assert names(ledger, 1)[1] == ("winner", 2)


def test_search_without_a_score_is_refused(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    with pytest.raises(RunError, match="no trial with a score"):
        choose_candidates(ledger.file, ledger.entries(), 3)


def test_study_trains_each_candidate_at_full_length_under_seeds_and_folds(study_path: Path) -> None:
    ledger = searched(study_path, 0.5, 0.7, 0.9)
    study = study_of(ledger, study_path.parent)
    assert [row.name for row in study.rows] == ["default", "winner", "runner-up 2"]
    assert (study.num_planned, study.early_terminate.type, study.run_cap) == (18, "none", None)
    recipes = [Recipe(**row.values) for row in study.rows]
    assert recipes[1].model_dump() == ledger.entries()[2].recipe
    assert all(recipe.epochs == 3 for recipe in recipes)
    assert (study.split, study.data, study.metric) == (
        ledger.file.split, ledger.file.data, ledger.file.metric,
    )  # fmt: skip


def test_length_that_the_search_did_not_vary_is_that_of_the_study_now(study_path: Path) -> None:
    searched(study_path, 0.5, 0.9)
    longer = open_ledger(study_path, *FREE, "epochs=7")
    study = study_of(longer, study_path.parent)
    assert {row.values["epochs"] for row in study.rows} == {7}


def test_seeds_are_none_of_those_that_the_search_chose_by(tmp_path: Path, study_path: Path) -> None:
    grid = ("method=grid", "learning_rate=[1e-3, 1e-2]", "run_cap=null", "seeds=[3, 4]",
            "early_terminate.type=none")  # fmt: skip
    ledger = open_ledger(study_path, *grid)
    while (order := ledger.ask()) is not None:
        play(ledger, order, [0.1, 0.2, 0.3 + order.recipe.learning_rate])
    study = study_of(ledger, tmp_path)
    assert study.seeds == (5, 6)
    assert study.rows[1].values["learning_rate"] == 1e-2


def test_candidates_of_different_networks_are_points_of_one_study(study_path: Path) -> None:
    networks = "architecture=[unet, monai_segresnet]"
    ledger = searched(study_path, 0.5, 0.6, 0.7, 0.8, 0.9, more=(networks,))
    study = study_of(ledger, study_path.parent, top=4)
    trained = [Recipe(**row.values).model_dump() for row in study.rows]
    wanted = [entry.recipe for entry in ledger.entries()]
    assert sorted(map(str, trained)) == sorted(map(str, wanted))
    assert len({recipe["architecture"] for recipe in trained}) == 2


def test_search_over_folds_chose_by_the_patients_of_each(study_path: Path) -> None:
    folds = (("a", "d"), ("b",), ("c", "e"))
    splits = Splits(("a", "b", "c"), ("d", "e"), ("f",), folds, "patient", 7)
    study = load_study(study_path, demo=False)
    for of_study, chosen in (((0, 2), "adce"), ((1,), "b"), ((), "de"), ("all", "de")):
        assert list_chosen(replace(study, folds=of_study), splits) == set(chosen)
