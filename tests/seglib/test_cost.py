from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from benchmarks.memory_model import TARGETS, Point, measure
from seglib.cost import MEMORY_ERROR, estimate_memory_gb
from seglib.losses import build_loss
from seglib.recipe import Recipe
from seglib.unet import UNet

SIZES: dict[str, Any] = {"num_channels": 4, "num_logits": 3}
SIDE_PX = 64


def saved_bytes(recipe: Recipe) -> int:
    """What autograd keeps of a step for its backward pass, weights excepted."""
    model = UNet(recipe, **SIZES).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shape = (recipe.batch_size, SIZES["num_channels"], SIDE_PX, SIDE_PX)
    image = torch.rand(shape).contiguous(memory_format=torch.channels_last)
    mask = torch.zeros(shape[0], SIDE_PX, SIDE_PX, dtype=torch.int64)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}  # held, so that no address comes twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        build_loss(recipe, TARGETS["regions"])(model(image)[0], mask)
    return sum(kept.nbytes() for place, kept in storages.items() if place not in weights)


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"depth": 1, "dropout": 0.2},
        {"norm": "none", "residual": True},
        {"norm": "group"},
        {"norm": "instance", "dropout": 0.2},
    ],
)
def test_tensors_of_an_image_are_those_that_autograd_keeps(knobs: dict[str, Any]) -> None:
    recipe = Recipe(base_filters=8, precision="fp32", **knobs)
    one, two = (recipe.model_copy(update={"batch_size": size}) for size in (1, 2))
    predicted = [
        estimate_memory_gb(r, **SIZES, image_size=SIDE_PX, on_gpu=True) for r in (one, two)
    ]
    mask, gradients = 8 * SIDE_PX**2, (4 if recipe.residual else 2) * 8 * 4 * SIDE_PX**2
    found = saved_bytes(two) - saved_bytes(one) + mask + gradients
    assert (predicted[1] - predicted[0]) * 1e9 == pytest.approx(found, rel=0.005)


def test_prediction_grows_with_what_costs_memory() -> None:
    def of(image_size: int = 256, **knobs: Any) -> float:
        recipe = Recipe(precision="fp32", **knobs)
        return estimate_memory_gb(recipe, **SIZES, image_size=image_size)

    for more in ({"base_filters": 48}, {"batch_size": 16}, {"dropout": 0.1}, {"residual": True}):
        assert of(**more) > 1.05 * of()
    assert of(512) > 2.5 * of()
    assert of(norm="none") < 0.8 * of()
    assert of(optimizer="sgd") < of()


def test_half_precision_takes_about_half_of_a_gpu() -> None:
    full, half = (
        estimate_memory_gb(Recipe(precision=name), **SIZES, image_size=256, on_gpu=True)
        for name in ("fp32", "auto")
    )
    assert 0.5 < half / full < 0.6


@pytest.mark.slow
@pytest.mark.fault("out-of-memory")
@pytest.mark.skipif(sys.platform != "linux", reason="measured on Linux, where the peak is told")
@pytest.mark.parametrize(
    "point",
    [
        Point({"base_filters": 8, "depth": 2, "norm": "instance", "residual": True}, 160, 1),
        Point({"base_filters": 32, "batch_size": 2, "optimizer": "sgd"}, 64, 4, "organs"),
        Point({"base_filters": 8, "depth": 2, "norm": "none", "batch_size": 16}, 256, 1, "binary"),
    ],
    ids=["residual", "mostly weights", "large tensors"],
)
def test_process_of_a_trial_takes_what_was_predicted(point: Point) -> None:
    found = measure(point)
    assert found["predicted_gb"] == pytest.approx(found["peak_gb"], rel=MEMORY_ERROR)
