"""`segtune evaluate` from folder to table, against the slow way and at full resolution."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console

from seglib.data.phantom import write_phantoms
from seglib.errors import DataError, RunError, UnwritableError
from seglib.evaluate import SURFACE_TOLERANCE
from seglib.image_digests import digest_image
from seglib.model import Model
from seglib.predict import Predictor
from seglib.recipe import Recipe
from tests.references import case_figures
from tests.seglib.networks_of_chance import LUNGS, input_spec, model_of
from tune.card import hash_group
from tune.cli import main
from tune.evaluation import evaluate_folder

TINY = Recipe(base_filters=2, depth=1, precision="fp32")


@pytest.fixture(scope="module")
def model() -> Model:
    """It sees slices smaller than they are."""
    spec = input_spec(target=LUNGS, normalise="none", layout="lab-ct", image_size=16)
    return model_of(spec, TINY)


@pytest.fixture(scope="module")
def lungs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CT phantoms of 20 px, slices as pictures."""
    folder = tmp_path_factory.mktemp("lungs") / "ct"
    write_phantoms("phantom-ct", folder, cases=2, seed=0, size=20)
    return folder


def evaluated(model: Model, folder: Path, out: Path, *settings: str) -> str:
    console = Console(file=io.StringIO(), width=80)
    evaluate_folder(model, folder, out, overrides=settings, flips=False, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def slow_planes(model: Model, image: np.ndarray) -> np.ndarray:
    """Shrink, ask, enlarge, decide: ``(K, H, W)``."""
    small = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
    probs = Predictor(model, torch.device("cpu")).probabilities(small[None, ..., None])[0]
    large = np.stack([cv2.resize(one, image.shape[::-1]) for one in probs])
    ground = 1 - large.sum(axis=0)
    return np.stack([(one > ground) & (one >= large.max(axis=0)) for one in large])


@pytest.mark.slow
def test_figures_are_those_of_the_slow_way_at_full_resolution(
    model: Model, lungs: Path, tmp_path: Path
) -> None:
    text = evaluated(model, lungs, tmp_path / "cases.csv")
    table = pd.read_csv(tmp_path / "cases.csv").set_index(["case", "class"])
    assert len(table) == 4
    for case in table.index.unique("case"):
        slices = sorted((lungs / "CT" / "Image").glob(f"Im{case}_*.png"), key=_number)
        masks = [lungs / "CT" / "Mask" / f"{one.stem}_Mask.png" for one in slices]
        pred = np.stack([slow_planes(model, np.asarray(Image.open(one))) for one in slices], axis=1)
        grey = np.stack([np.asarray(Image.open(one)) for one in masks])
        assert (table.loc[case, "voxels"] == len(slices) * 20 * 20).all()
        for number, (name, value) in enumerate({"left_lung": 156, "right_lung": 251}.items()):
            wanted = case_figures(pred[number], grey == value, (1.0,) * 3, SURFACE_TOLERANCE)
            for figure, number_wanted in wanted.items():
                found = table.loc[(case, name), figure]
                assert found == pytest.approx(number_wanted, nan_ok=True), figure
    assert table["dice"].max() > 0
    assert "2 patients, 2 cases, " in text
    assert "does not tell whom it was trained on" in text


def _number(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


@pytest.mark.slow
def test_a_known_patient_is_shouted_about_and_marked(
    model: Model, lungs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cases.csv"
    evaluated(model, lungs, out)
    first = str(pd.read_csv(out, dtype=str)["patient"].min())
    patients = {"salt": "s", "trained": [hash_group(first, "s")]}
    text = evaluated(replace(model, card={"patients": patients}), lungs, out)
    assert "1 of 2 patients have names of patients that it knows" in text
    known = pd.read_csv(out, dtype=str).set_index("patient")["known_to_model"]
    assert known[first].eq("trained (name)").all()
    assert known.drop(first).isna().all()
    other = next(one for one in known.index if one != first)
    slice_ = np.asarray(Image.open(next((lungs / "CT" / "Image").glob(f"Im{other}_*.png"))))
    prepared = cv2.resize(slice_, (16, 16), interpolation=cv2.INTER_AREA)[..., None]
    images = {"validated": [digest_image(prepared)]}
    text = evaluated(replace(model, card={"images": images}), lungs, out)
    assert "WARNING: 1 of 2 patients: the model was chosen by them" in text
    known = pd.read_csv(out, dtype=str).set_index("patient")["known_to_model"]
    assert known[other].eq("validated").all()
    assert known.drop(other).isna().all()


def test_nothing_is_written_where_a_file_has_faults(
    model: Model, lungs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ct"
    for path in lungs.rglob("*.png"):
        copy = folder / path.relative_to(lungs)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    for path in sorted((folder / "CT" / "Mask").iterdir())[:2]:
        Image.fromarray(np.full((20, 20), 7, np.uint8)).save(path)
    with pytest.raises(DataError, match="2 problems"):
        evaluated(model, folder, tmp_path / "cases.csv")
    assert not (tmp_path / "cases.csv").exists()
    with pytest.raises(RunError, match="a folder ; wanted a file"):
        evaluated(model, lungs, folder)


def test_only_a_table_of_this_command_is_written_over(
    model: Model, lungs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cases.csv"
    out.write_text("patient,age\n1,70\n")
    with pytest.raises(RunError, match="a file that is no such table"):
        evaluated(model, lungs, out)
    assert out.read_text() == "patient,age\n1,70\n"
    out.unlink()
    evaluated(model, lungs, out)
    first = out.read_text()
    out.write_text(first.replace("0", "9"))
    evaluated(model, lungs, out)
    assert out.read_text() == first


def test_scores_are_shown_though_the_table_cannot_be_written(
    model: Model, lungs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnwritableError("cases.csv", "the disk is full")

    monkeypatch.setattr("tune.evaluation.write_whole", refuse)
    console = Console(file=io.StringIO(), width=80)
    with pytest.raises(UnwritableError):
        evaluate_folder(
            model, lungs, tmp_path / "c.csv", overrides=(), flips=False, console=console
        )
    assert isinstance(console.file, io.StringIO)
    assert "left_lung" in console.file.getvalue()


@pytest.mark.slow
def test_command_reads_a_models_file(
    model: Model, lungs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / "model.pt")
    words = ["evaluate", "model.pt", str(lungs), "--set", "layout=lab-ct"]
    assert main(words) == 0
    assert (tmp_path / "cases.csv").read_text().startswith("case,patient,class,dice,iou,")
    assert main([*words[:-1], "image_size=3"]) == 2
