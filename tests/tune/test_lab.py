"""The lab's tasks as study files: their settings, sizes and points are those of the lab."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from seglib.cost import count_parameters
from seglib.data.splits import make_splits
from seglib.recipe import Recipe
from tune.request import Request
from tune.study import StudyFile
from tune.study_file import load_study
from tune.suite import load_suite

FOLDER = Path(__file__).parents[2] / "searchspaces"
TASKS = [f"task{number}" for number in range(1, 7)]
SETTINGS = {
    "base_filters": 16, "depth": 4, "norm": "batch", "dropout": 0.5, "lab_exact": True,
    "optimizer": "adam", "learning_rate": 1e-4, "weight_decay": 0.0, "schedule": "constant",
    "warmup_epochs": 0, "epochs": 150, "batch_size": 8, "residual": False,
    "deep_supervision": False, "foreground_fraction": 0.0, "channels": "all",
}  # fmt: skip
AUGMENTED = {"rotation_deg": 10.0, "shift": 0.1, "zoom": 0.2, "flip_horizontal": 0.5}
BARE, DICE, BCE = {"norm": "none"}, {"loss": "dice"}, {"loss": "bce"}
POINTS = {
    "task1": {"1a": BCE, "1b": DICE},
    "task2": {"2a": BCE | BARE, "2b": DICE | BARE},
    "task3": {
        "3": DICE | BARE | {"base_filters": 32}, "3-narrow": DICE | BARE,
        "3-norm": DICE | {"base_filters": 32}, "3-norm-narrow": DICE,
    },
    "task4": {
        "4": DICE | BARE | AUGMENTED, "4-plain": DICE | BARE,
        "4-norm": DICE | AUGMENTED, "4-norm-plain": DICE,
    },
    "task5": {
        "5a-bce": BCE, "5a-dice": DICE, "5b-bce": BCE | AUGMENTED, "5b-dice": DICE | AUGMENTED,
    },
    "task6": {"6": DICE},
}  # fmt: skip
"""What each point is, beside the settings that all tasks share."""
WEIGHTS = {
    (16, "none"): 1_940_817,
    (16, "batch"): 1_943_761,
    (32, "none"): 7_759_521,
    (32, "batch"): 7_765_409,
}


def task(name: str, *, demo: bool = False) -> StudyFile:
    return load_study(FOLDER / f"{name}.yaml", demo=demo)


def index_of(*, groups: int, slices: int) -> pd.DataFrame:
    """An index of as many slices, dealt out to patients."""
    numbers = range(slices)
    patients = [f"p{number * groups // slices:04}" for number in numbers]
    return pd.DataFrame({"group": patients, "case": patients, "slice": numbers, "px_lung": 1})


@pytest.mark.parametrize("name", TASKS)
def test_every_point_has_the_labs_settings_but_for_what_it_is_about(name: str) -> None:
    rows = {row.name: Recipe(**row.values) for row in task(name).rows}
    assert list(rows) == list(POINTS[name])
    for point, own in POINTS[name].items():
        assert rows[point] == Recipe(**SETTINGS | own)


@pytest.mark.parametrize("name", [one for one in TASKS if one != "task6"])
def test_every_network_has_as_many_weights_as_the_labs(name: str) -> None:
    for row in task(name).rows:
        recipe = Recipe(**row.values)
        count = count_parameters(recipe, num_channels=1, num_logits=1)
        assert count == WEIGHTS[recipe.base_filters, recipe.norm]


@pytest.mark.parametrize("name", TASKS)
def test_data_and_seeds_are_those_of_every_task(name: str) -> None:
    study = task(name)
    assert (study.data.image_size, study.metric.name, study.early_terminate.type) == (
        256, "dice", "none",
    )  # fmt: skip
    assert study.seeds == (0, 1, 2)
    assert (study.seed, study.split) == (task("task1").seed, task("task1").split)


def test_xrays_are_divided_into_187_and_47() -> None:
    splits = make_splits(index_of(groups=234, slices=234), task("task1").split)
    assert (len(splits.train), len(splits.val), splits.test) == (187, 47, ())


def test_slices_of_the_ct_are_divided_into_6735_and_1684_on_request_with_a_warning() -> None:
    study = load_study(FOLDER / "task5.yaml", ("split.by=slice",), demo=False)
    splits = make_splits(index_of(groups=60, slices=8419), study.split)
    assert (len(splits.train), len(splits.val), splits.test) == (6735, 1684, ())
    assert "split by slice" in splits.warning


@pytest.mark.parametrize("name", TASKS)
def test_demo_has_the_points_and_the_published_scores_of_the_task(name: str) -> None:
    real, demo = task(name), task(name, demo=True)
    assert [row.name for row in demo.rows] == [row.name for row in real.rows]
    assert demo.published == real.published
    assert len(demo.seeds) > 1  # it shows what pairs are for


def test_published_scores_are_those_that_are_known() -> None:
    known = {name for one in TASKS for name in task(one).published.scores}
    assert known == {"1a", "1b", "3", "4", "5a-bce", "5a-dice", "5b-bce", "5b-dice", "6"}


def test_left_and_right_lung_are_organs_of_one_network() -> None:
    data = task("task6").data
    assert (data.layout, data.target) == ("lab-ct", "organs")


def test_suite_of_the_lab_has_all_tasks_in_the_labs_folders(tmp_path: Path) -> None:
    for folder in ("X_ray", "CT"):
        (tmp_path / folder).mkdir()
    suite = load_suite(Request(FOLDER / "lab.yaml", data=tmp_path))
    assert [study.name for study in suite.studies] == TASKS
    folders = [request.data for request in suite.requests]
    assert folders == [tmp_path / "X_ray"] * 4 + [tmp_path / "CT"] * 2
    assert sum(study.num_planned or 0 for study in suite.studies) == 51
