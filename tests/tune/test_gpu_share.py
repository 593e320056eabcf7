from __future__ import annotations

import types

import pytest
import torch

from seglib.cost import estimate_memory_gb
from seglib.recipe import Recipe
from tune.gpu_share import CONTEXT_GB, MOST_ON_A_GPU, gpus_per_trial, largest_memory_gb, share_of

STUDY = """\
name: packed
method: random
data: {layout: phantom-brats, cases: 8, image_size: 64, target: regions}
run_cap: 4
"""
FIXED = STUDY + "parameters: {epochs: {value: 3}}\n"
SIZES = {"channels": ("flair", "t1ce", "t1", "t2"), "num_logits": 3, "image_size": 64}


def needs(**knobs: object) -> float:
    recipe = Recipe.model_validate(knobs)
    num_channels = len(recipe.seen_channels(SIZES["channels"]))
    return estimate_memory_gb(
        recipe, num_channels=num_channels, num_logits=3, image_size=64, on_gpu=True
    )


@pytest.mark.parametrize(
    ("needed_gb", "total_gb", "most", "trials"),
    [
        (100.0, 80.0, 16, 1),  # does not fit: it gets the whole GPU all the same
        (72.0, 80.0, 16, 1),
        (36.0, 80.0, 16, 2),
        (10.0, 80.0, 16, 7),
        (0.7, 141.0, 64, MOST_ON_A_GPU),
        (0.7, 141.0, 3, 3),
        (0.7, 141.0, 0, 1),
    ],
)
def test_as_many_as_fit_share_a_gpu(
    needed_gb: float, total_gb: float, most: int, trials: int
) -> None:
    share = share_of(needed_gb, total_gb, most=most)
    assert int(1 / share) == trials
    assert trials * share <= 1
    assert round(share, 4) == share


def test_largest_recipe_of_the_space_is_what_counts(load) -> None:
    space = """\
parameters:
  base_filters: {values: [16, 64, 8]}
  batch_size: {distribution: int_uniform, min: 2, max: 12}
  norm: {values: [none, batch]}
  dropout: {min: 0.0, max: 0.5}
  optimizer: {values: [sgd, adamw]}
  precision: {values: [fp32, auto]}
"""
    wanted = needs(base_filters=64, batch_size=12, dropout=0.5, precision="fp32")
    assert largest_memory_gb(load(STUDY + space), **SIZES) == pytest.approx(wanted)
    assert wanted > 4 * needs()


def test_a_fixed_space_needs_what_its_default_needs(load) -> None:
    assert largest_memory_gb(load(FIXED), **SIZES) == pytest.approx(needs())


def test_rows_beside_a_grid_count_too(load) -> None:
    text = STUDY.replace("random", "grid").replace("run_cap: 4\n", "")
    text += "parameters: {base_filters: {values: [8, 16]}}\npoints: [{base_filters: 96}]\n"
    assert largest_memory_gb(load(text), **SIZES) == pytest.approx(needs(base_filters=96))


def test_what_can_never_start_does_not_count(load) -> None:
    text = STUDY + "parameters: {depth: {values: [2, 5, 7]}}\n"
    assert largest_memory_gb(load(text), **SIZES) == pytest.approx(needs(depth=5))


def test_constraint_is_the_most_that_any_trial_takes(load) -> None:
    text = STUDY + "parameters: {base_filters: {values: [8, 256]}}\nconstraints: {memory_gb: 1.5}\n"
    assert largest_memory_gb(load(text), **SIZES) == 1.5


def test_share_follows_from_memory_cores_and_wish(load, store, monkeypatch) -> None:
    """A machine with two GPUs, as torch would describe it."""
    assert gpus_per_trial(load(FIXED), store) == 0 or torch.cuda.is_available()
    assert gpus_per_trial(load(FIXED, "resources.gpus_per_trial=0.5"), store) == 0.5
    needed = CONTEXT_GB + largest_memory_gb(
        load(FIXED), channels=store.channels, num_logits=3, image_size=store.image_size
    )
    small = types.SimpleNamespace(total_memory=int(2.5 * needed * 1e9))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: small)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))
    assert gpus_per_trial(load(FIXED), store) == 0.5
    assert gpus_per_trial(load(FIXED, "resources.cpus_per_trial=8"), store) == 1
    small.total_memory *= 100
    assert gpus_per_trial(load(FIXED), store) == 1 / MOST_ON_A_GPU
