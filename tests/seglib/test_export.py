"""Exported networks in the runtimes of others: the same, for any batch and size; or refused."""

from __future__ import annotations

import io
import json
import math
import sys

import numpy as np
import pytest
import torch

from seglib.averaged import describe_interface, draw_samples
from seglib.data.store import Store
from seglib.errors import RunError
from seglib.export import (
    LARGEST_DIFFERENCE,
    largest_difference,
    require_onnx,
    require_parity,
    run_onnx,
    run_torch,
    write_onnx,
    write_torch,
)
from seglib.model import Model
from seglib.predict import Predictor
from seglib.recipe import Recipe
from tests.seglib.networks_of_chance import LUNGS, input_spec, model_of

TINY = Recipe(base_filters=2, depth=1, precision="fp32")
DEEPER = TINY.model_copy(update={"depth": 2, "norm": "instance", "residual": True})


@pytest.fixture(scope="module")
def model(store: Store) -> Model:
    return model_of(store, TINY.model_copy(update={"channels": "flair+t1ce"}), DEEPER)


@pytest.fixture(scope="module")
def onnx_file(model: Model) -> bytes:
    return write_onnx(model, {"card": '{"kind": "trial"}'})


@pytest.mark.slow
def test_onnx_says_what_prediction_says_of_patients(
    onnx_file: bytes, model: Model, store: Store
) -> None:
    """All steps that the card names, without a line of the project."""
    images = store.images[10:15]
    picks = [store.channels.index(name) for name in describe_interface(model)["input"]["channels"]]
    real = images[..., picks].transpose(0, 3, 1, 2).astype(np.float32) / 32 - 3
    found = run_onnx(onnx_file)(np.ascontiguousarray(real))
    wanted = Predictor(model, torch.device("cpu")).probabilities(images)
    assert np.abs(found - wanted).max() <= LARGEST_DIFFERENCE
    assert largest_difference(run_onnx(onnx_file), model, images) <= LARGEST_DIFFERENCE


@pytest.mark.slow
def test_onnx_tells_its_interface_and_its_card(onnx_file: bytes, model: Model) -> None:
    import onnx

    proto = onnx.load_from_string(onnx_file)
    onnx.checker.check_model(proto, full_check=True)
    notes = {one.key: one.value for one in proto.metadata_props}
    assert json.loads(notes["segtune"]) == describe_interface(model)
    assert json.loads(notes["card"]) == {"kind": "trial"}
    axes = [
        one.dim_param or one.dim_value for one in proto.graph.input[0].type.tensor_type.shape.dim
    ]
    assert axes == ["batch", 4, "height", "width"]
    assert b".py" not in onnx_file  # paths of the machine that wrote it


@pytest.mark.slow
def test_torch_file_is_the_same_network(model: Model, store: Store) -> None:
    content = write_torch(model, {"card": "{}"})
    assert largest_difference(run_torch(content), model, store.images[10:14]) == 0
    assert b".py" not in content
    extra = {"segtune": "", "card": ""}
    torch.export.load(io.BytesIO(content), extra_files=extra)
    assert json.loads(extra["segtune"]) == describe_interface(model)


@pytest.mark.slow
def test_a_size_that_needs_padding_is_the_only_one() -> None:
    model = model_of(input_spec(target=LUNGS, image_size=30), DEEPER)
    run = run_torch(write_torch(model, {}))
    assert largest_difference(run, model, draw_samples(model)) == 0
    with pytest.raises(AssertionError, match="image"):
        run(np.zeros((1, 1, 60, 60), np.float32))


def test_another_network_is_noticed_and_refused(model: Model) -> None:
    other = model_of(model.inputs, TINY)
    images = draw_samples(model)

    def run(image):
        from seglib.averaged import Averaged

        return Averaged(other)(torch.from_numpy(image)).numpy()

    difference = largest_difference(run, model, images)
    assert difference > LARGEST_DIFFERENCE
    with pytest.raises(RunError, match=r"differ by .* ; wanted at most 0\.0001"):
        require_parity("model.onnx", difference)
    with pytest.raises(RunError, match="differ by nan"):
        require_parity("model.onnx", math.nan)
    require_parity("model.onnx", LARGEST_DIFFERENCE)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        RunError, match=r"no library onnxscript ; wanted pip install -e '\.\[export\]'"
    ):
        require_onnx()
