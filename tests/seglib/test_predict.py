"""Prediction sees what preparation made, and averages what it is told to average."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from seglib.data.layouts import find_dataset
from seglib.data.source import read_item
from seglib.data.spec import DataSpec
from seglib.errors import InfeasibleError
from seglib.metrics import predict_planes
from seglib.model import PostProcess
from seglib.predict import Predictor
from seglib.recipe import Recipe
from seglib.unet import UNet
from tests.seglib.networks_of_chance import LUNGS, REGIONS, input_spec, model_of

TINY = Recipe(base_filters=2, depth=1, precision="fp32")
CPU = torch.device("cpu")


def logits_of(model, images, number=0):
    """What a network says, the slow and obvious way."""
    member, inputs = model.members[number], model.inputs
    seen = member.recipe.seen_channels(inputs.channels)
    net = UNet(member.recipe, num_channels=len(seen), num_logits=inputs.target.num_logits)
    net.load_state_dict(member.weights)
    scale, offset = (1 / 32, -3.0) if inputs.normalise == "zscore" else (2 / 255, -1.0)
    real = torch.from_numpy(images.astype(np.float32)) * scale + offset
    places = [inputs.channels.index(name) for name in seen]
    with torch.no_grad():
        return net.eval()(real.permute(0, 3, 1, 2)[:, places])[0]


def random_images(inputs, num=3):
    rng = np.random.default_rng(1)
    shape = (num, inputs.image_size, inputs.image_size, len(inputs.channels))
    return rng.integers(0, 256, shape, dtype=np.uint8)


def test_source_files_come_out_as_the_store_holds_them(store):
    """Phantoms of the fixture: the same specification finds their files again."""
    folder = next((store.path.parent.parent / "phantoms").iterdir())
    dataset = find_dataset(DataSpec(layout="phantom-brats", target="regions"), folder)
    predictor = Predictor(model_of(store, TINY), CPU)
    index = store.index.reset_index(drop=True)
    for item in dataset.items[:2]:
        problems = []
        loaded = read_item(replace(item, masks=()), predictor.plan(dataset.root), problems)
        assert not problems
        seen = {
            z: image
            for rows, images in predictor.network_images(loaded)
            for z, image in zip(rows, images, strict=True)
        }
        rows = index.index[index["case"] == item.case]
        assert len(rows) > 0
        for row in rows:
            np.testing.assert_array_equal(seen[index["slice"][row]], store.images[row])


def test_a_network_is_asked_as_it_was_trained(store):
    model = model_of(store, TINY)
    images = store.images[:5]
    found = Predictor(model, CPU).probabilities(images)
    logits = logits_of(model, images)
    np.testing.assert_allclose(found, logits.sigmoid().numpy(), rtol=1e-5, atol=1e-6)
    planes = Predictor(model, CPU).planes(found, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(planes, predict_planes(logits, store.target).numpy())


def test_organs_share_one_with_the_ground():
    model = model_of(input_spec(target=LUNGS), TINY)
    images = random_images(model.inputs)
    predictor = Predictor(model, CPU)
    probs = predictor.probabilities(images)
    logits = logits_of(model, images)
    np.testing.assert_allclose(probs, logits.softmax(1)[:, 1:].numpy(), atol=1e-6)
    planes = predictor.planes(probs, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(planes, predict_planes(logits, LUNGS).numpy())


def test_networks_are_averaged_each_on_the_channels_that_it_sees():
    inputs = input_spec(channels=("flair", "t1", "t2"), target=REGIONS, normalise="zscore")
    model = model_of(inputs, TINY, TINY.model_copy(update={"channels": "t2+flair"}))
    images = random_images(inputs)
    mean = sum(logits_of(model, images, number).sigmoid() for number in (0, 1)) / 2
    found = Predictor(model, CPU).probabilities(images)
    np.testing.assert_allclose(found, mean.numpy(), atol=1e-6)


def test_channels_are_those_that_some_network_sees():
    inputs = input_spec(channels=("flair", "t1", "t2"), target=REGIONS)
    recipes = [TINY.model_copy(update={"channels": name}) for name in ("t2", "flair")]
    assert Predictor(model_of(inputs, *recipes), CPU).channels == ("flair", "t2")


def test_mirror_images_trade_left_and_right():
    model = model_of(input_spec(target=LUNGS), TINY)
    images = random_images(model.inputs)
    predictor = Predictor(model, CPU, flips=True)
    found = predictor.probabilities(images)
    mirrored = predictor.probabilities(np.ascontiguousarray(images[:, :, ::-1]))
    np.testing.assert_allclose(mirrored[:, ::-1, :, ::-1], found, atol=1e-6)
    assert np.abs(mirrored[..., ::-1] - found).max() > 1e-3  # the classes do differ


def test_an_image_is_turned_upside_down_only_for_a_network_that_saw_such():
    images = random_images(input_spec())
    upright = Predictor(model_of(input_spec(), TINY), CPU, flips=True).probabilities(images)
    recipe = TINY.model_copy(update={"flip_vertical": 0.5})
    predictor = Predictor(model_of(input_spec(), recipe), CPU, flips=True)
    both = predictor.probabilities(images)
    np.testing.assert_allclose(
        predictor.probabilities(np.ascontiguousarray(images[:, ::-1]))[:, :, ::-1], both, atol=1e-6
    )
    assert np.abs(both - upright).max() > 1e-3


def test_running_out_of_memory_costs_pieces_not_the_answer(monkeypatch):
    images = random_images(input_spec(), 9)
    whole = Predictor(model_of(input_spec(), TINY), CPU).probabilities(images)
    predictor = Predictor(model_of(input_spec(), TINY), CPU)
    mean, sizes = predictor._mean, []

    def tight(bytes_):
        sizes.append(len(bytes_))
        if len(bytes_) > 2:
            raise MemoryError
        return mean(bytes_)

    monkeypatch.setattr(predictor, "_mean", tight)
    np.testing.assert_allclose(predictor.probabilities(images), whole, atol=1e-6)
    assert sizes == [8, 4, 2, 2, 2, 2, 1]
    sizes.clear()
    predictor.probabilities(images)
    assert max(sizes) == 2  # it is remembered


def test_a_model_that_lacks_the_channel_of_a_network_is_refused():
    with pytest.raises(InfeasibleError, match="no channel t9"):
        Predictor(
            replace(
                model_of(input_spec(), TINY),
                members=tuple(
                    replace(one, recipe=TINY.model_copy(update={"channels": "t9"}))
                    for one in model_of(input_spec(), TINY).members
                ),
            ),
            CPU,
        )


def test_parts_are_measured_in_the_unit_of_the_model():
    spec = input_spec(layout="nifti", unit="mm")
    post = PostProcess(thresholds=(0.5,), smallest=(10.0,), note="")
    predictor = Predictor(model_of(spec, TINY, post=post), CPU)
    probs = np.zeros((2, 1, 32, 32), np.float32)
    probs[0, 0, 3:5, 3:5] = 0.9  # four voxels
    assert not predictor.planes(probs, (2.0, 1.0, 1.0)).any()  # 8 mm3
    assert predictor.planes(probs, (3.0, 1.0, 1.0)).any()  # 12 mm3
