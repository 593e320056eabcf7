from __future__ import annotations

from typing import Any

import pytest

from seglib.recipe import Recipe
from tune.cost_classes import cost_class, draw_proposals

SEARCH = """\
method: bayes
data: {layout: phantom-brats, cases: 8, image_size: 32}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  base_filters: {values: [4, 8]}
  optimizer: {values: [adamw, sgd]}
  momentum: {min: 0.8, max: 0.99, when: {optimizer: sgd}}
  batch_size: {min: 2, max: 8}
  loss: {values: [bce, dice], probabilities: [0.9, 0.1]}
  epochs: {value: 3}
points: [{learning_rate: 0.002}]
"""

GRID = """\
method: grid
data: {layout: phantom-brats, cases: 8, image_size: 32}
parameters: {base_filters: {values: [4, 8]}, loss: {values: [bce, dice]}, epochs: {value: 3}}
seeds: [0, 1]
"""


@pytest.mark.parametrize("knobs", [
    {"learning_rate": 0.1}, {"loss": "bce"}, {"rotation_deg": 9.0}, {"epochs": 7},
    {"encoder": "resnet34"},
])  # fmt: skip
def test_what_changes_no_step_is_of_the_same_class(knobs: dict[str, Any]) -> None:
    assert cost_class(Recipe(**knobs)) == cost_class(Recipe())


@pytest.mark.parametrize("knobs", [
    {"base_filters": 8}, {"batch_size": 2}, {"dropout": 0.1}, {"norm": "none"}, {"depth": 2},
    {"precision": "fp32"}, {"deep_supervision": True},
])  # fmt: skip
def test_what_changes_a_step_is_of_another_class(knobs: dict[str, Any]) -> None:
    assert cost_class(Recipe(**knobs)) != cost_class(Recipe())


def test_strength_of_dropout_costs_nothing() -> None:
    assert cost_class(Recipe(dropout=0.1)) == cost_class(Recipe(dropout=0.4))


def test_proposals_lie_in_the_space_and_reach_all_of_it(load) -> None:
    study = load(SEARCH)
    found = draw_proposals(study, lambda recipe: "")
    assert [recipe.learning_rate for recipe in found.planned] == [0.001, 0.002]
    assert {(one.base_filters, one.batch_size, one.optimizer) for one in found.drawn} == {
        (width, size, name) for width in (4, 8) for size in range(2, 9) for name in ("adamw", "sgd")
    }
    named = study.space.names
    for recipe in found.drawn:
        values = {name: getattr(recipe, name) for name in named}
        assert study.space.contains({n: values[n] for n in study.space.active(values)})
    common = sum(one.loss == "bce" for one in found.drawn) / len(found.drawn)
    assert common == pytest.approx(0.9, abs=0.06)


def test_what_cannot_fit_is_never_proposed(load) -> None:
    def why(recipe: Recipe) -> str:
        return "too wide" if recipe.base_filters > 4 else ""

    found = draw_proposals(load(SEARCH), why)
    assert found.num_refused == 2  # the default and the point take the larger of the two widths
    assert {recipe.base_filters for recipe in found.drawn} == {4}


def test_a_grid_is_planned_whole_with_its_seeds(load) -> None:
    study = load(GRID)
    found = draw_proposals(study, lambda recipe: "")
    assert len(found.planned) == len(found.folds) == study.num_planned == 8
    assert not found.drawn
