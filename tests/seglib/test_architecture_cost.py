"""Costs of other libraries' networks on paper, held against the networks."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.memory_model import Point, measure
from seglib.architecture_cost import cost_of
from seglib.architectures import ARCHITECTURES, normalises_images
from seglib.cost import MEMORY_ERROR, count_parameters, estimate_memory_gb
from seglib.networks import build_network
from seglib.recipe import EncoderName, Recipe

MONAI = [kind for kind, row in ARCHITECTURES.items() if row.library == "monai"]
SMP = [kind for kind, row in ARCHITECTURES.items() if row.library == "smp"]
SIZES: dict[str, int] = {"num_channels": 3, "num_logits": 2}


def recipes() -> Iterator[Recipe]:
    """Each combination of fields that changes the weights."""
    for kind in MONAI:
        row = ARCHITECTURES[kind]
        choices = {
            "base_filters": (6,),
            "depth": (2, 4) if row.halvings is None else (4,),
            "norm": ("batch", "none") if "norm" in row.fields else ("batch",),
            "residual": (False, True) if "residual" in row.fields else (False,),
            "deep_supervision": (False, True) if "deep_supervision" in row.fields else (False,),
        }
        for values in itertools.product(*choices.values()):
            recipe = Recipe(architecture=kind, **dict(zip(choices, values, strict=True)))
            if recipe.norm not in row.refuses.get("norm", ()):
                yield recipe
    for kind, encoder in itertools.product(SMP, get_args(EncoderName)):
        yield Recipe(architecture=kind, encoder=encoder)


@pytest.mark.slow
def test_paper_count_equals_the_network() -> None:
    for recipe in recipes():
        with torch.device("meta"):
            network = build_network(recipe, **SIZES)
        expected = sum(one.numel() for one in network.parameters())
        assert count_parameters(recipe, **SIZES) == expected, recipe


def kept_numbers(recipe: Recipe, network: nn.Module, side: int) -> float:
    """What autograd keeps of an image for the backward pass, weights excepted, as numbers."""
    order = torch.contiguous_format if normalises_images(recipe) else torch.channels_last
    image = torch.rand(2, SIZES["num_channels"], side, side).contiguous(memory_format=order)
    own = (*network.parameters(), *network.buffers())
    weights = {one.untyped_storage().data_ptr() for one in own}
    storages: dict[int, torch.UntypedStorage] = {}  # held, so that no address comes twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(image)
    sizes = (kept.nbytes() for place, kept in storages.items() if place not in weights)
    return sum(sizes) / 4 / len(image)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "knobs"),
    [
        ("monai_basicunet", {"norm": "instance", "dropout": 0.2}),
        ("monai_basicunet", {"norm": "none"}),
        ("monai_attention_unet", {"dropout": 0.2}),
        ("monai_dynunet", {"norm": "instance", "residual": True, "deep_supervision": True}),
        ("monai_dynunet", {"norm": "none"}),
        ("monai_segresnet", {"norm": "group"}),
        ("smp_unet", {"encoder": "resnet34"}),
        ("smp_unetplusplus", {"encoder": "mobilenet_v2"}),
        ("smp_fpn", {"encoder": "efficientnet-b0"}),
        ("smp_deeplabv3plus", {"dropout": 0.2}),
    ],
)
def test_tensors_and_multiplications_of_an_image_are_those_of_the_network(
    kind: str, knobs: dict[str, Any]
) -> None:
    recipe = Recipe(architecture=kind, base_filters=8, depth=3, **knobs)
    network = build_network(recipe, **SIZES)
    order = torch.contiguous_format if normalises_images(recipe) else torch.channels_last
    network.to(memory_format=order)  # type: ignore[call-overload]
    cost = cost_of(recipe, **SIZES)
    large, small = (kept_numbers(recipe, network, side) for side in (128, 64))
    found = (large - small) / (128**2 - 64**2)
    image = 0 if kind in SMP else SIZES["num_channels"]  # smp's first layer is in its table
    assert cost.kept + image == pytest.approx(found, rel=0.005)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.rand(1, SIZES["num_channels"], 64, 64))
    assert cost.multiplied == pytest.approx(counter.get_total_flops() / 2 / 64**2, rel=0.01)


def test_prediction_grows_with_what_costs_memory() -> None:
    def of(kind: str, image_size: int = 256, **knobs: Any) -> float:
        recipe = Recipe(**{"architecture": kind, "precision": "fp32", "norm": "batch", **knobs})
        return estimate_memory_gb(recipe, **SIZES, image_size=image_size)

    for kind in (*MONAI, *SMP):
        assert of(kind, 512) > 1.5 * of(kind)
        assert of(kind, batch_size=16) > 1.3 * of(kind)
        assert of(kind, optimizer="sgd") < of(kind)
        grown = of(kind, base_filters=48) > of(kind)
        assert grown is ("base_filters" in ARCHITECTURES[kind].fields)
    assert of("monai_dynunet", norm="none") < of("monai_dynunet")
    assert of("smp_unetplusplus") > of("smp_unet") > of("smp_fpn")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measured on Linux, where the peak is told")
def test_process_of_a_trial_takes_what_was_predicted() -> None:
    found = measure(Point({"architecture": "smp_fpn", "encoder": "mobilenet_v2"}, 96, 4, "organs"))
    assert found["predicted_gb"] == pytest.approx(found["peak_gb"], rel=MEMORY_ERROR)
