from __future__ import annotations

import pytest

from seglib.cost import count_parameters, estimate_memory_gb
from seglib.recipe import Recipe
from tune.feasibility import why_infeasible
from tune.study_parts import Constraints

CHANNELS = ("flair", "t1ce", "t1", "t2")
SIZES = {"num_channels": 4, "num_logits": 3}


def why(recipe: Recipe, image_size: int = 64, **limits: float) -> str:
    return why_infeasible(
        recipe, Constraints(**limits), channels=CHANNELS, num_logits=3, image_size=image_size
    )


def test_no_limit_refuses_nothing() -> None:
    assert why(Recipe(base_filters=256)) == ""


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_smallest_image_leaves_two_pixels(depth: int) -> None:
    recipe = Recipe(depth=depth, base_filters=2)
    assert why(recipe, image_size=2 ** (depth + 1)) == ""
    assert "less than 2 pixels" in why(recipe, image_size=2 ** (depth + 1) - 1)


def test_limit_on_parameters_is_met_exactly() -> None:
    recipe = Recipe(base_filters=8)
    exact = count_parameters(recipe, **SIZES)
    assert why(recipe, parameters=exact) == ""
    assert (
        why(recipe, parameters=exact - 1) == f"{exact:,} parameters, at most {exact - 1:,} allowed"
    )


def test_limit_on_memory_is_met_exactly() -> None:
    recipe = Recipe(base_filters=8)
    exact = estimate_memory_gb(recipe, **SIZES, image_size=64)
    assert why(recipe, memory_gb=exact) == ""
    assert "GB predicted, at most" in why(recipe, memory_gb=exact * 0.99)


def test_channel_that_the_data_lack_is_the_reason() -> None:
    assert why(Recipe(channels="t1+flair")) == ""
    assert why(Recipe(channels="pet+t1")) == (
        "no channel pet in these data, only flair, t1ce, t1, t2"
    )


def test_limit_counts_the_channels_that_are_seen() -> None:
    recipe = Recipe(base_filters=8, channels="flair+t2")
    exact = count_parameters(recipe, num_channels=2, num_logits=3)
    assert why(recipe, parameters=exact) == ""
    assert why(recipe.model_copy(update={"channels": "all"}), parameters=exact) != ""
