"""The networks of a model as one: the same probabilities as in prediction."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from seglib.averaged import (
    Averaged,
    describe_interface,
    draw_samples,
    side_multiple,
    to_input,
)
from seglib.predict import Predictor
from seglib.recipe import Recipe
from tests.seglib.networks_of_chance import BINARY, LUNGS, REGIONS, input_spec, model_of

TINY = Recipe(base_filters=2, depth=1, precision="fp32")
SEES_ONE = TINY.model_copy(update={"channels": "t1ce", "depth": 2, "norm": "instance"})
SEES_TWO = TINY.model_copy(update={"channels": "t1ce+flair", "dropout": 0.5})
MRI = {"channels": ("flair", "t1", "t1ce"), "normalise": "zscore"}


@pytest.mark.parametrize("target", [BINARY, LUNGS, REGIONS], ids=lambda one: one.kind)
def test_probabilities_are_those_of_prediction(target) -> None:
    model = model_of(input_spec(target=target, **MRI), SEES_ONE, SEES_TWO)
    images = draw_samples(model)
    with torch.no_grad():
        found = Averaged(model)(torch.from_numpy(to_input(model, images))).numpy()
    wanted = Predictor(model, torch.device("cpu")).probabilities(images)
    if target.kind == "organs":
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        found = found[:, 1:]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert wanted.std() > 1e-3  # they are not all alike


def test_only_channels_that_are_seen_are_asked_for() -> None:
    model = model_of(input_spec(**MRI), SEES_ONE, SEES_TWO)
    assert model.seen_channels == ("flair", "t1ce")
    images = draw_samples(model)
    assert to_input(model, images).shape == (4, 2, 32, 32)
    np.testing.assert_allclose(to_input(model, images)[2, 1], images[2, ..., 2] / 32 - 3)


def test_sides_may_vary_where_no_padding_is_needed() -> None:
    for size, multiple in ((32, 4), (34, None), (8, 4), (4, None)):
        model = model_of(input_spec(image_size=size, **MRI), TINY, SEES_ONE)
        assert side_multiple(model) == multiple


def test_interface_tells_all_that_another_program_needs() -> None:
    model = model_of(input_spec(target=LUNGS, normalise="window"), TINY)
    told = describe_interface(model)
    assert json.loads(json.dumps(told)) == told
    assert told["output"]["channels"] == ["background", "left_lung", "right_lung"]
    assert told["output"]["activation"] == "softmax"
    assert told["masks"]["grey_values"] == {"left_lung": [156], "right_lung": [251]}
    assert told["masks"]["thresholds"] is None
    assert told["input"]["window_hu"] == [-1000.0, 400.0]
    regions = describe_interface(model_of(input_spec(target=REGIONS), TINY))
    assert regions["masks"]["thresholds"] == {"WT": 0.5, "TC": 0.5, "ET": 0.5}
