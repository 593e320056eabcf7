from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import seglib.work
from seglib.recipe import Recipe
from seglib.unet import UNet
from seglib.work import EpochCost, estimate_work

SIZES: dict[str, Any] = {"num_channels": 3, "num_logits": 2}


@pytest.mark.parametrize(
    "knobs",
    [{}, {"depth": 2}, {"norm": "none"}, {"residual": True}, {"dropout": 0.2}],
    ids=lambda knobs: "-".join(knobs) or "plain",
)
def test_multiplications_are_those_of_the_network(
    knobs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seglib.work, "_MOVES", 0.0)  # what is left is multiplied
    recipe = Recipe(base_filters=4, **knobs)
    with torch.device("meta"):
        model, image = UNet(recipe, **SIZES).eval(), torch.empty(1, 3, 48, 48)
        with FlopCounterMode(display=False) as counter:
            model(image)
    found = estimate_work(recipe, **SIZES, image_size=48)
    assert found == pytest.approx(counter.get_total_flops() / 2, rel=1e-9)


def test_an_epoch_is_made_of_its_slices_and_the_rest() -> None:
    cost = EpochCost(0.1, 0.02, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0)
    assert cost.epoch_s(100, 50) == pytest.approx(10 + 1 + 0.5)
