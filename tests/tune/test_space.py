from __future__ import annotations

import itertools
import subprocess
import sys

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.recipe import Recipe
from tune.space import Choice, Constant, FloatRange, IntRange, Parameter, Space

DEFAULTS = Recipe().model_dump()
SPACE = Space(
    (
        Parameter("momentum", FloatRange(0.8, 0.99), {"optimizer": ("sgd",)}),
        Parameter("optimizer", Choice(("adamw", "sgd"))),
        Parameter("learning_rate", FloatRange(1e-4, 1e-2, log=True)),
        Parameter("base_filters", IntRange(8, 24, step=8)),
        Parameter("epochs", Constant(9)),
    )
)
GRID = Space(
    (
        Parameter("schedule", Choice(("cosine", "poly"))),
        Parameter("momentum", Choice((0.8, 0.9)), {"optimizer": ("sgd",)}),
        Parameter("optimizer", Choice(("adamw", "sgd"))),
        Parameter("warmup_epochs", Choice((1, 2)), {"momentum": (0.9,)}),
        Parameter("depth", IntRange(2, 4)),
    )
)


def test_conditional_parameter_comes_only_with_its_parent_value():
    trial = optuna.trial.FixedTrial(
        {"optimizer": "adamw", "learning_rate": 1e-3, "base_filters": 8}
    )
    assert "momentum" not in SPACE.suggest(trial)
    params = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 1e-3, "base_filters": 8}
    assert SPACE.suggest(optuna.trial.FixedTrial(params)) == {**params, "epochs": 9}


def test_child_of_an_inactive_parameter_is_inactive():
    values = {"optimizer": "adamw", "momentum": 0.9, "warmup_epochs": 1, "depth": 2}
    assert GRID.active(values) == ("optimizer", "depth")


def test_default_point_is_the_default_recipe_moved_into_the_space():
    point = SPACE.point({}, DEFAULTS)
    assert point.values == {
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "base_filters": 24,
        "epochs": 9,
    }
    assert point.moved == {"base_filters": (32, 24), "epochs": (50, 9)}


def test_partial_point_keeps_its_own_values():
    point = SPACE.point({"optimizer": "sgd", "base_filters": 8}, DEFAULTS)
    assert (point.values["base_filters"], point.values["momentum"]) == (8, 0.9)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_any_suggestion_is_inside_and_can_be_asked_for_again(seed):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    point = SPACE.suggest(study.ask())
    assert SPACE.contains(point)
    assert SPACE.active(point) == tuple(point)
    study.enqueue_trial(SPACE.to_fixed(point))
    assert SPACE.suggest(study.ask()) == point
    assert Recipe(**point)


def test_point_with_an_inactive_parameter_is_outside():
    point = SPACE.point({}, DEFAULTS).values
    assert SPACE.contains(point)
    assert not SPACE.contains({**point, "momentum": 0.9})


def test_grid_equals_the_naive_product():
    naive = []
    for schedule, optimizer, depth in itertools.product(
        ("cosine", "poly"), ("adamw", "sgd"), (2, 3, 4)
    ):
        row = {"schedule": schedule, "optimizer": optimizer, "depth": depth}
        if optimizer == "adamw":
            naive.append(row)
            continue
        naive.append(row | {"momentum": 0.8})
        naive.extend(row | {"momentum": 0.9, "warmup_epochs": warm} for warm in (1, 2))
    points = GRID.expand()
    as_sets = [frozenset(point.items()) for point in points]
    assert sorted(as_sets, key=str) == sorted(
        map(frozenset, (row.items() for row in naive)), key=str
    )
    assert len(set(as_sets)) == len(points) == GRID.num_points
    assert all(map(GRID.contains, points))


choices = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)


@given(st.lists(choices, min_size=1, max_size=4))
def test_unconditional_grid_equals_itertools_product(lists):
    space = Space(tuple(Parameter(f"p{i}", Choice(tuple(one))) for i, one in enumerate(lists)))
    naive = [{f"p{i}": v for i, v in enumerate(row)} for row in itertools.product(*lists)]
    assert space.expand() == naive
    assert space.num_points == len(naive)


def test_continuous_space_has_no_grid():
    assert SPACE.num_points is None
    with pytest.raises(ValueError, match="no grid over a continuum: momentum, learning_rate"):
        SPACE.expand()


def test_huge_grid_is_counted_but_not_built():
    names = ("epochs", "batch_size", "depth")
    space = Space(tuple(Parameter(name, IntRange(1, 1000)) for name in names))
    assert space.num_points == 10**9
    with pytest.raises(ValueError, match="more than 100000 points"):
        space.expand()


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ([Parameter("a", Constant(1)), Parameter("a", Constant(2))], "share a name"),
        ([Parameter("a", Constant(1), {"b": (1,)})], "names an unknown parameter"),
        (
            [
                Parameter("a", Constant(1), {"b": (1,)}),
                Parameter("b", Constant(1), {"a": (1,)}),
            ],
            "wait for each other",
        ),
    ],
)
def test_impossible_space_is_refused(parameters, fault):
    with pytest.raises(ValueError, match=fault):
        Space(tuple(parameters))


def test_description_says_domain_and_condition():
    assert SPACE.describe()[0] == ("momentum", "0.8 to 0.99", "optimizer is sgd")
    assert SPACE.describe()[2] == ("learning_rate", "0.0001 to 0.01, log scale", "")


def test_importing_space_and_study_file_loads_no_heavy_library():
    code = "import sys, tune.space, tune.study_file; print(*sys.modules)"
    heavy = {"torch", "ray", "wandb", "optuna", "pandas", "scipy", "numpy"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


def test_importing_study_file_takes_less_than_400_ms_of_processor_time():
    code = (
        "import time, tune.study_file; print(time.process_time())"  # not the wall: tests share it
    )
    command = [sys.executable, "-c", code]
    runs = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3))
    assert min(float(run.stdout) for run in runs) < 0.4
