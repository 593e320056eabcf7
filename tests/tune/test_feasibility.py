from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from seglib.cost import count_parameters, estimate_memory_gb
from seglib.recipe import Recipe
from tests.tune.test_ledger import play
from tune.feasibility import why_infeasible
from tune.ledger import Ledger
from tune.storage import open_storage
from tune.study_file import load_study
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


def test_on_a_gpu_the_process_does_not_count() -> None:
    recipe = Recipe(base_filters=2, depth=2)
    asked = partial(
        why_infeasible, recipe, Constraints(memory_gb=0.3), channels=CHANNELS, num_logits=3
    )
    assert asked(image_size=64, on_gpu=True) == ""
    assert "GB predicted" in asked(image_size=64)


@pytest.mark.fault("out-of-memory")
def test_search_starts_what_fits_in_memory_and_tells_the_rest(study_path: Path) -> None:
    small, large = (
        estimate_memory_gb(Recipe(base_filters=width, depth=2), **SIZES, image_size=32)
        for width in (2, 4)
    )
    limit = f"constraints.memory_gb={(small + large) / 2}"
    study = load_study(study_path, (limit, "base_filters=[2, 4]"), demo=False)
    infeasible = partial(
        why_infeasible, constraints=study.constraints, channels=CHANNELS, num_logits=3,
        image_size=32,
    )  # fmt: skip
    ledger = Ledger(study, open_storage(study_path.parent / "journal.log"), infeasible)
    started = []
    while (order := ledger.ask()) is not None:
        started.append(order.recipe.base_filters)
        play(ledger, order, [0.1, 0.2, 0.3])
    refused = [entry for entry in ledger.entries() if not entry.started]
    assert started == [2, 2, 2, 2]
    assert refused
    assert all(entry.state == "FAIL" and "GB predicted" in entry.reason for entry in refused)


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
