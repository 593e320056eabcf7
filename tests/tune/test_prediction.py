"""`segtune predict`: from files to masks that lie where the files lie."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from rich.console import Console

import tune.prediction
from seglib.data.readers import read_array, read_mask
from seglib.data.source import read_item
from seglib.data.unlabelled import Wish, find_unlabelled
from seglib.errors import DataError
from seglib.fit import fit
from seglib.model import InputSpec, Member, Model, PostProcess
from seglib.predict import Predictor
from seglib.recipe import Recipe
from tests.seglib.data.dicom_files import write_series
from tests.seglib.data.sources import save_picture, write_patient, write_volume
from tests.seglib.networks_of_chance import BINARY, LUNGS, REGIONS, input_spec, model_of
from tune.prediction import predict_files

TINY = Recipe(base_filters=2, depth=1, precision="fp32")
MRI = input_spec(
    channels=("flair", "t1ce"), target=REGIONS, normalise="zscore", layout="brats", unit="mm"
)
CT = input_spec(target=LUNGS, normalise="window", layout="nifti", unit="mm")


def predict(model: Model, source: Path, out: Path, *, flips: bool = False) -> str:
    with Console(record=True, width=200, file=open(os.devnull, "w")) as console:  # noqa: PTH123
        try:
            predict_files(model, source, out, flips=flips, console=console)
        finally:
            console.file.close()
    return console.export_text()


def refused(model: Model, source: Path, out: Path) -> list[str]:
    with pytest.raises(DataError, match="problem") as caught:
        predict(model, source, out)
    return [str(problem) for problem in caught.value.problems]


def masks_in(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*.*") if path.is_file())


def grey_picture(path: Path, *, size=(20, 30), seed=0, channels=0, dtype=np.uint8) -> Path:
    shape = (*size, channels) if channels else size
    array = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    save_picture(path, array)
    return path


def scan(path: Path, shape=(3, 40, 36), spacing_mm=(5, 1, 2)) -> Path:
    array = np.random.default_rng(2).integers(-1000, 400, shape).astype(np.int16)
    write_volume(path, array, spacing_mm)
    return path


def test_a_brats_folder_becomes_masks_with_brats_labels(tmp_path):
    for number in (1, 2):
        write_patient(tmp_path / "in", number)
    said = predict(model_of(MRI, TINY), tmp_path / "in", tmp_path / "out")
    assert "2 masks written to" in said
    names = [f"BraTS2021_{number:05d}_seg.nii.gz" for number in (1, 2)]
    assert masks_in(tmp_path / "out") == [*names, "predictions.jsonl"]
    found = set()
    for name in names:
        source = tmp_path / "in" / name.removesuffix("_seg.nii.gz")
        image = nibabel.load(source / f"{source.name}_flair.nii.gz")
        mask = nibabel.load(tmp_path / "out" / name)
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)
        found |= set(read_mask(tmp_path / "out" / name).array.ravel().tolist())
    assert found <= {0, 1, 2, 4}
    assert len(found) > 1


def test_what_is_written_is_what_the_predictor_says(tmp_path):
    """At the source's grid, of a volume that is neither square nor isotropic."""
    model = model_of(CT, TINY)
    path = scan(tmp_path / "in" / "a_ct.nii.gz")
    predict(model, tmp_path / "in", tmp_path / "out")
    (one,) = find_unlabelled(path, Wish(("grey",), ("grey",)))
    predictor = Predictor(model, torch.device("cpu"))
    loaded = read_item(one.item, predictor.plan(tmp_path), [])
    planes = predictor.segment(loaded)
    assert planes.shape == (3, 2, 40, 36)
    grey = 156 * planes[:, 0] + 251 * planes[:, 1]
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a_mask.nii.gz").array, grey)
    (line,) = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    volumes = planes.sum(axis=(0, 2, 3)) * 10 / 1000
    assert json.loads(line)["volumes"] == dict(zip(LUNGS.classes, volumes.tolist(), strict=True))
    assert json.loads(line)["unit"] == "ml"


def test_probabilities_are_brought_to_the_source_before_they_are_cut_off(tmp_path):
    """A store's square of 32 px is coarse; an edge in a mask of 128 px is not."""
    model = model_of(input_spec(), TINY)
    array = np.zeros((128, 128), np.uint8) + np.arange(128, dtype=np.uint8)
    save_picture(tmp_path / "x.png", array)
    (one,) = find_unlabelled(tmp_path / "x.png", Wish(("grey",), ("grey",), flat=True))
    predictor = Predictor(model, torch.device("cpu"))
    loaded = read_item(one.item, predictor.plan(tmp_path), [])
    ((_, images),) = predictor.network_images(loaded)
    probs = predictor.probabilities(images)[0, 0]
    middle = float(np.median(probs))
    post = PostProcess(thresholds=(middle,), smallest=(0.0,), note="")
    planes = Predictor(replace(model, post=post), torch.device("cpu")).segment(loaded)[0, 0]
    blocks = planes.reshape(32, 4, 32, 4).transpose(0, 2, 1, 3).reshape(-1, 16)
    assert planes.any()
    assert (blocks.any(axis=1) & ~blocks.all(axis=1)).any()


@pytest.mark.parametrize(
    ("name", "options", "mask"),
    [
        ("x.png", {}, "x.png"),
        ("x.jpg", {}, "x.png"),
        ("x.tif", {"dtype": np.uint16}, "x.tif"),
        ("x.png", {"dtype": np.uint16}, "x.png"),
        ("x.png", {"channels": 3}, "x.png"),
    ],
    ids=["png", "jpeg", "16-bit tiff", "16-bit png", "rgb"],
)
def test_pictures_of_all_kinds_become_masks_of_their_size(tmp_path, name, options, mask):
    grey_picture(tmp_path / "in" / name, **options)
    channels = ("red", "green", "blue") if "channels" in options else ("grey",)
    predict(model_of(input_spec(channels=channels), TINY), tmp_path / "in", tmp_path / "out")
    array = read_mask(tmp_path / "out" / mask).array
    assert array.shape == (20, 30)
    assert set(np.unique(array).tolist()) <= {0, 255}


def test_all_channels_of_one_file_are_read(tmp_path):
    array = np.random.default_rng(0).integers(1, 99, (24, 24, 3, 2)).astype(np.int16)
    image = nibabel.Nifti1Image(array, np.diag([1, 1, 4, 1]))
    (tmp_path / "imagesTs").mkdir()
    nibabel.save(image, tmp_path / "imagesTs" / "x.nii.gz")
    spec = MRI.model_copy(update={"layout": "decathlon", "channels": ("flair", "t1w")})
    predict(model_of(spec, TINY), tmp_path / "imagesTs", tmp_path / "out")
    mask = nibabel.load(tmp_path / "out" / "x.nii.gz")
    assert mask.shape == (24, 24, 3)
    np.testing.assert_array_equal(mask.affine, image.affine)


def test_a_dicom_series_is_seen_in_hounsfield_units_and_its_mask_lies_on_it(tmp_path):
    source = write_series(tmp_path / "in" / "series", 3)
    model = model_of(input_spec(normalise="window", layout="dicom", unit="mm"), TINY)
    predict(model, tmp_path / "in", tmp_path / "out")
    mask = nibabel.load(tmp_path / "out" / "P1.nii.gz")
    picture = read_array(source)
    assert mask.shape == picture.array.shape[::-1]
    np.testing.assert_allclose(mask.affine, picture.affine, atol=1e-5)
    (one,) = find_unlabelled(tmp_path / "in", Wish(("grey",), ("grey",)))
    predictor = Predictor(model, torch.device("cpu"))
    loaded = read_item(one.item, predictor.plan(tmp_path), [])
    assert loaded.image.min() == 24 - 1024


def test_masks_in_the_folder_are_not_looked_at(tmp_path):
    grey_picture(tmp_path / "in" / "Image" / "x.png")
    (tmp_path / "in" / "Mask").mkdir()
    (tmp_path / "in" / "Mask" / "x.png").write_text("no picture at all")
    said = predict(model_of(input_spec(), TINY), tmp_path / "in", tmp_path / "out")
    assert masks_in(tmp_path / "out") == ["predictions.jsonl", "x.png"]
    assert "note: folders of masks are passed by: Mask" in said


def test_the_same_command_again_makes_only_what_is_not_there(tmp_path):
    for name in ("a", "b"):
        grey_picture(tmp_path / "in" / f"{name}.png", seed=ord(name))
    model, out = model_of(input_spec(), TINY), tmp_path / "in" / "out"
    predict(model, tmp_path / "in", out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    (out / "b.png").unlink()
    grey_picture(tmp_path / "in" / "c.png", seed=3)
    assert "2 masks written" in (said := predict(model, tmp_path / "in", out))
    assert "(1 were there already)" in said
    assert masks_in(out) == ["a.png", "b.png", "c.png", "predictions.jsonl"]
    assert (out / "a.png").stat().st_mtime_ns == times[out / "a.png"]


def test_another_model_or_another_image_makes_the_mask_anew(tmp_path):
    source, out = grey_picture(tmp_path / "a.png"), tmp_path / "out"
    model = model_of(input_spec(), TINY)
    predict(model, source, out)
    higher = PostProcess(thresholds=(0.9,), smallest=(0.0,), note="")
    assert "1 mask written" in predict(replace(model, post=higher), source, out)
    grey_picture(source, seed=9)
    assert "1 mask written" in predict(replace(model, post=higher), source, out)
    assert "0 masks written" in predict(replace(model, post=higher), source, out)
    assert "1 mask written" in predict(replace(model, post=higher), source, out, flips=True)


def test_files_of_others_and_masks_mended_by_hand_are_never_written_over(tmp_path):
    model, out = model_of(input_spec(), TINY), tmp_path / "out"
    for name in ("a", "b", "c"):
        grey_picture(tmp_path / "in" / f"{name}.png", seed=ord(name))
    predict(model, tmp_path / "in" / "a.png", out)
    predict(model, tmp_path / "in" / "c.png", out)
    grey_picture(out / "a.png", seed=5)
    grey_picture(out / "b.png", seed=6)
    before = {path: path.read_bytes() for path in out.iterdir()}
    other = PostProcess(thresholds=(0.9,), smallest=(0.0,), note="")
    wanted = "wanted another folder for the masks, or that file moved away"
    assert refused(replace(model, post=other), tmp_path / "in", out) == [
        f"a.png: found a mask that was changed since it was written ; {wanted}",
        f"b.png: found a file that is not of this command ; {wanted}",
    ]
    grey_picture(tmp_path / "more" / "c.png")
    assert refused(model, tmp_path / "more", out) == [
        f"c.png: found the mask of another image, {tmp_path / 'in' / 'c.png'} ; {wanted}"
    ]
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_masks_never_go_where_images_are(tmp_path):
    source = grey_picture(tmp_path / "a.png")
    model = model_of(input_spec(), TINY)
    assert refused(model, tmp_path, tmp_path)[0].startswith(
        "OUT: found the folder of the images itself"
    )
    assert refused(model, source, source)[0].startswith("OUT: found the folder of the images")
    assert refused(model, tmp_path, source) == ["OUT: found a file ; wanted a folder for the masks"]
    assert refused(model, source, tmp_path)[0].startswith("a.png: found a file that is not of this")


def test_images_that_do_not_fit_are_told_all_at_once_and_the_others_are_predicted(tmp_path):
    grey_picture(tmp_path / "in" / "good.png")
    for name in ("colour1", "colour2"):
        grey_picture(tmp_path / "in" / f"{name}.png", channels=3)
    (tmp_path / "in" / "torn.png").write_bytes(b"\x89PNG nothing else")
    told = "\n".join(refused(model_of(input_spec(), TINY), tmp_path / "in", tmp_path / "out"))
    assert "colour1.png and 1 more: found 3 channels ; wanted 1 (grey)" in told
    assert "torn.png: found an unreadable file" in told
    assert masks_in(tmp_path / "out") == ["good.png", "predictions.jsonl"]


def test_bytes_are_wanted_where_the_model_takes_them_as_they_are(tmp_path):
    grey_picture(tmp_path / "in" / "a.png", dtype=np.uint16)
    (line,) = refused(model_of(input_spec(normalise="none"), TINY), tmp_path / "in", tmp_path / "o")
    assert line.startswith("a.png: found uint16 values")


def test_a_slice_that_shows_nothing_is_no_fault(tmp_path):
    save_picture(tmp_path / "in" / "a.png", np.zeros((20, 30), np.uint8))
    predict(model_of(input_spec(layout="lab-mri"), TINY), tmp_path / "in", tmp_path / "out")
    assert read_mask(tmp_path / "out" / "a.png").array.shape == (20, 30)


def test_slices_without_content_stay_empty(tmp_path):
    write_patient(tmp_path / "in", 1)
    eager = PostProcess(thresholds=(0.0,) * 3, smallest=(0.0,) * 3, note="")
    predict(model_of(MRI, TINY, post=eager), tmp_path / "in", tmp_path / "out")
    array = read_mask(tmp_path / "out" / "BraTS2021_00001_seg.nii.gz").array
    assert [bool(plane.any()) for plane in array] == [False, True, True, True, True, False]


def test_pictures_for_a_model_of_volumes_are_doubted(tmp_path):
    grey_picture(tmp_path / "a.png")
    spec = input_spec(layout="nifti", normalise="zscore", unit="mm")
    said = predict(model_of(spec, TINY), tmp_path / "a.png", tmp_path / "out")
    assert "the model was trained on volumes, each scaled by its own greys" in said


def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path):
    source, out = grey_picture(tmp_path / "a.png"), tmp_path / "out"
    out.mkdir()
    for name in ("a.png.123-0a1b2c3d.tmp", "mine.tmp", "other.png.123-0a1b2c3d.tmp"):
        (out / name).touch()
    (out / "predictions.jsonl").write_text('{"mask": "a.p')
    predict(model_of(input_spec(), TINY), source, out)
    assert masks_in(out) == ["a.png", "mine.tmp", "other.png.123-0a1b2c3d.tmp", "predictions.jsonl"]
    assert "0 masks written" in predict(model_of(input_spec(), TINY), source, out)


def test_a_process_that_dies_between_line_and_mask_can_go_on(tmp_path, monkeypatch):
    source, out = grey_picture(tmp_path / "a.png"), tmp_path / "out"
    model = model_of(input_spec(), TINY)
    predict(model, source, out)
    other = replace(model, post=PostProcess(thresholds=(0.9,), smallest=(0.0,), note=""))
    real = tune.prediction._Job._note

    def die(self, line, temporary):
        real(self, line, temporary)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tune.prediction._Job, "_note", die)
        predict(other, source, out)
    assert "1 mask written" in predict(other, source, out)
    assert "0 masks written" in predict(other, source, out)


@pytest.mark.slow
def test_a_trained_network_finds_the_tumour_where_it_is(store, split, tmp_path):
    """Source files in, masks out: a flip or a shift on the way would cost all of the overlap."""
    recipe = Recipe(base_filters=8, depth=3, epochs=25, learning_rate=5e-3, precision="fp32")
    *_, last = fit(recipe, store, split, seed=0, device=torch.device("cpu"))
    last.save(tmp_path / "last.pt")
    weights = torch.load(tmp_path / "last.pt", weights_only=True)["model"]
    inputs = InputSpec.of(store.info)
    model = Model((Member(recipe, weights, "last"),), inputs, PostProcess.plain(inputs.target), {})
    folder = next((store.path.parent.parent / "phantoms").iterdir())
    predict(model, folder, tmp_path / "out")
    figures = []
    for path in (tmp_path / "out").glob("*_seg.nii.gz"):
        truth = read_mask(next(folder.rglob(path.name))).array
        found = read_mask(path).array
        assert set(np.unique(found).tolist()) <= set(np.unique(truth).tolist()) | {0, 1, 2, 4}
        overlap = np.count_nonzero((found > 0) & (truth > 0))
        figures.append(2 * overlap / (np.count_nonzero(found) + np.count_nonzero(truth)))
    assert len(figures) == 8
    assert np.mean(figures) > 0.7


@pytest.mark.slow
def test_a_signal_ends_the_command_in_order_and_it_goes_on(tmp_path):
    for number in range(300):
        grey_picture(tmp_path / "in" / f"{number}.png", size=(256, 256), seed=number)
    model_of(input_spec(image_size=128), TINY).save(tmp_path / "model.pt")
    words = ["-m", "tune.cli", "predict", "model.pt", "in", "out"]
    process = subprocess.Popen(
        [sys.executable, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    record = tmp_path / "out" / "predictions.jsonl"
    while process.poll() is None and not record.exists():
        pass
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"the same command goes on from here" in said
    assert b"Traceback" not in errors
    there = len(list((tmp_path / "out").glob("*.png")))
    assert 0 < there < 300
    assert not list((tmp_path / "out").glob("*.tmp"))
    again = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    assert f"({there} were there already)" in again.stdout
    assert len(list((tmp_path / "out").glob("*.png"))) == 300


def test_binary_masks_of_a_volume_are_ones(tmp_path):
    scan(tmp_path / "in" / "a.nii")
    target = BINARY.model_copy(update={"values": {0: 0, 1: 1, 255: 1}})
    spec = CT.model_copy(update={"target": target})
    eager = PostProcess(thresholds=(0.0,), smallest=(0.0,), note="")
    predict(model_of(spec, TINY, post=eager), tmp_path / "in", tmp_path / "out")
    assert set(np.unique(read_mask(tmp_path / "out" / "a_mask.nii").array).tolist()) == {1}
