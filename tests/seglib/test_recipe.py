from __future__ import annotations

import pytest
from pydantic import ValidationError

from seglib.errors import InfeasibleError
from seglib.recipe import Recipe

AVAILABLE = ("flair", "t1ce", "t1", "t2")


def test_all_channels_are_seen_unless_some_are_named() -> None:
    assert Recipe().seen_channels(AVAILABLE) == AVAILABLE


@pytest.mark.parametrize("text", ["t1+flair", " t1 + flair "])
def test_channels_are_seen_in_the_order_named(text: str) -> None:
    recipe = Recipe(channels=text)
    assert recipe.channels == "t1+flair"
    assert recipe.seen_channels(AVAILABLE) == ("t1", "flair")


@pytest.mark.parametrize("text", ["", "+", "flair+", "flair++t1", "flair+flair", "t1+ t1"])
def test_channels_that_are_no_names_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"names of channels joined by \+, each once"):
        Recipe(channels=text)


def test_channel_that_the_data_lack_is_infeasible_and_named() -> None:
    with pytest.raises(InfeasibleError, match="no channel pet, ct in these data, only flair, t1ce"):
        Recipe(channels="pet+flair+ct").seen_channels(("flair", "t1ce"))


def test_recipe_survives_text_and_one_of_before_the_field_still_loads() -> None:
    recipe = Recipe(channels="t2")
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    old = Recipe(**recipe.model_dump(exclude={"channels", "architecture", "encoder"}))
    assert (old.channels, old.architecture) == ("all", "unet")
