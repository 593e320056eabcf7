"""`segtune export`: files that others can use, a card beside them, or nothing."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from seglib.errors import DataError, RunError
from seglib.model import Model
from seglib.recipe import Recipe
from tests.seglib.data.sources import write_pair
from tests.seglib.networks_of_chance import input_spec, model_of
from tune.export import export_model

TINY = Recipe(base_filters=2, depth=1, precision="fp32")


@pytest.fixture
def model() -> Model:
    return replace(model_of(input_spec(), TINY), card={"study": {"name": "mine"}})


def exported(model: Model, out: Path, **options) -> str:
    console = Console(file=io.StringIO(), width=160)
    export_model(model, out, console=console, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.slow
def test_files_and_card_lie_beside_each_other_and_say_how_they_compare(
    model: Model, tmp_path: Path
) -> None:
    import onnx
    import onnxruntime

    for number in range(3):
        write_pair(tmp_path / "images", f"x{number}")
    said = exported(model, tmp_path / "out", format_="both", images=tmp_path / "images" / "Image")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model.onnx", "model.pt2", "MODEL_CARD.md"}
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert card.startswith("# Model card: mine\n")
    for text in (said.replace("`", ""), card.replace("`", "")):
        assert "model.onnx: 0.0 MB; on 3 images of Image its probabilities differ" in text
    path = tmp_path / "out" / "model.onnx"
    notes = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert json.loads(notes["card"]) == dict(model.card)
    assert notes["model_card"].startswith("# Model card: mine\n")
    session = onnxruntime.InferenceSession(path)
    (probs,) = session.run(None, {"image": np.zeros((3, 1, 32, 40), np.float32)})
    assert probs.shape == (3, 1, 32, 40)
    assert 0 <= probs.min() <= probs.max() <= 1


def test_without_the_extra_nothing_is_written(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RunError, match=r"pip install -e '\.\[export\]'"):
        exported(model, tmp_path / "out", format_="onnx")
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_left_alone(model: Model, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunError, match="OUT: found a file ; wanted a folder"):
        exported(model, tmp_path / "out", format_="torch")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.slow
def test_another_export_replaces_its_own_files_and_says_so(model: Model, tmp_path: Path) -> None:
    assert "replaced" not in exported(model, tmp_path, format_="both")
    said = exported(model, tmp_path, format_="torch")
    assert "replaced what was exported there before: model.pt2, MODEL_CARD.md" in said
    assert "removed what was exported there before: model.onnx" in said
    assert not (tmp_path / "model.onnx").exists()


def test_files_of_somebody_else_are_refused(model: Model, tmp_path: Path) -> None:
    for name in ("model.onnx", "MODEL_CARD.md"):
        (tmp_path / name).write_text("# Model card: mine")
    with pytest.raises(
        RunError, match=r"(?s)2 problems.*model.onnx: .*MODEL_CARD.md: found a file"
    ):
        exported(model, tmp_path, format_="torch")
    assert not (tmp_path / "model.pt2").exists()


def test_images_that_do_not_fit_are_refused_before_anything_is_made(
    model: Model, tmp_path: Path
) -> None:
    write_pair(tmp_path, "x")
    wide = replace(model, inputs=input_spec(channels=("red", "green", "blue")))
    two = model_of(wide.inputs, TINY)
    with pytest.raises(DataError, match="1 channels ; wanted 3"):
        exported(two, tmp_path / "out", format_="torch", images=tmp_path / "Image")
    assert not (tmp_path / "out").exists()
