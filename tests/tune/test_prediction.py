"""`segtune predict`: from files to masks that lie where the files lie."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from rich.console import Console

from seglib.checkpoint import load_checkpoint
from seglib.data.readers import read_array, read_mask
from seglib.data.source import read_item
from seglib.data.unlabelled import Wish, find_unlabelled
from seglib.errors import DataError, RunError
from seglib.fit import fit
from seglib.model import InputSpec, Member, Model, PostProcess
from seglib.predict import Predictor
from seglib.recipe import Recipe
from tests.seglib.data.dicom_files import write_series
from tests.seglib.data.sources import save_picture, write_patient, write_volume
from tests.seglib.networks_of_chance import BINARY, LUNGS, REGIONS, input_spec, model_of
from tests.tune.predicted import grey_picture, masks_in, predict, refused
from tune.prediction import predict_files

TINY = Recipe(base_filters=2, depth=1, precision="fp32")
MRI = input_spec(
    channels=("flair", "t1ce"), target=REGIONS, normalise="zscore", layout="brats", unit="mm"
)
CT = input_spec(target=LUNGS, normalise="window", layout="nifti", unit="mm")


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum())


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


def test_a_case_with_two_torn_files_is_one_mask_less(tmp_path):
    write_patient(tmp_path / "in", 1)
    folder = write_patient(tmp_path / "in", 2)
    for name in ("flair", "t1ce"):
        (path,) = folder.glob(f"*_{name}.nii.gz")
        path.write_bytes(path.read_bytes()[:60])
    console = Console(width=200, file=io.StringIO())
    with pytest.raises(DataError, match="1 problem"):
        predict_files(
            model_of(MRI, TINY), tmp_path / "in", tmp_path / "out", flips=False, console=console
        )
    assert "1 mask written to" in console.file.getvalue()


def test_a_place_that_can_hold_no_masks_is_refused_at_once(tmp_path):
    path = grey_picture(tmp_path / "x.png")
    with pytest.raises(RunError, match=r"OUT: found a file ; wanted a folder"):
        predict(model_of(input_spec(), TINY), tmp_path, path)
    with pytest.raises(RunError, match=r"OUT: found .*Not a directory"):
        predict(model_of(input_spec(), TINY), path, path / "masks")


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


def test_images_that_do_not_fit_are_told_all_at_once_and_the_others_are_predicted(tmp_path):
    grey_picture(tmp_path / "in" / "good.png")
    for name in ("colour1", "colour2"):
        grey_picture(tmp_path / "in" / f"{name}.png", channels=3)
    (tmp_path / "in" / "torn.png").write_bytes(b"\x89PNG nothing else")
    told = "\n".join(refused(model_of(input_spec(), TINY), tmp_path / "in", tmp_path / "out"))
    assert "colour1.png and 1 more: found 3 channels ; wanted 1 (grey)" in told
    assert "torn.png: found an unreadable file" in told
    assert masks_in(tmp_path / "out") == ["good.png", "predictions.jsonl"]


def test_a_grey_picture_in_three_channels_is_one_channel(tmp_path):
    array = read_array(grey_picture(tmp_path / "one" / "x.png")).array
    save_picture(tmp_path / "three" / "x.png", np.stack([array] * 3, axis=-1))
    for name in ("one", "three"):
        predict(model_of(input_spec(), TINY), tmp_path / name, tmp_path / f"{name}-out")
    masks = [read_mask(tmp_path / f"{name}-out" / "x.png").array for name in ("one", "three")]
    np.testing.assert_array_equal(*masks)


def test_a_dicom_series_for_a_model_of_pictures_is_one_volume_and_doubted(tmp_path):
    source = write_series(tmp_path / "in" / "series", 3)
    said = predict(model_of(input_spec(), TINY), tmp_path / "in", tmp_path / "out")
    assert "trained on single pictures, each scaled by its own greys, and these are volumes" in said
    assert "these are CT in Hounsfield units" in said
    mask = nibabel.load(tmp_path / "out" / "P1.nii.gz")
    np.testing.assert_allclose(mask.affine, read_array(source).affine, atol=1e-5)


@pytest.mark.parametrize(("threshold", "end"), [(1.0, "; 2 of 2 masks are empty"), (0.0, "s each")])
def test_empty_masks_are_counted(tmp_path, threshold, end):
    for number in (1, 2):
        grey_picture(tmp_path / "in" / f"{number}.png", seed=number)
    post = PostProcess(thresholds=(threshold,), smallest=(0.0,), note="")
    said = predict(model_of(input_spec(), TINY, post=post), tmp_path / "in", tmp_path / "out")
    assert said.rstrip().endswith(end)


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


@pytest.mark.slow
def test_masks_of_files_score_as_the_prepared_slices_did(store, split, tmp_path):
    """A flip, a shift or another normalisation on the way would cost most of the overlap."""
    recipe = Recipe(base_filters=8, depth=3, epochs=12, learning_rate=5e-3, precision="fp32")
    *_, last = fit(recipe, store, split, seed=0, device=torch.device("cpu"))
    last.save(tmp_path / "last.pt")
    weights = load_checkpoint(tmp_path / "last.pt")[0]["model"]
    inputs = InputSpec.of(store.info)
    plain = PostProcess.plain(inputs.target)
    predict(
        Model((Member(recipe, weights, "last"),), inputs, plain, {}),
        folder := next((store.path.parent.parent / "phantoms").iterdir()),
        tmp_path / "out",
    )
    wanted = last.scores.per_case.set_index(["case", "class"])["dice"]
    mirrored = []
    for case in sorted(last.scores.per_case["case"].unique()):
        truth = read_mask(next(folder.rglob(f"{case}_seg.nii.gz"))).array > 0
        found = read_mask(tmp_path / "out" / f"{case}_seg.nii.gz").array > 0
        # the files have slices, nearly without a body, that the prepared data leave out
        assert dice(found, truth) == pytest.approx(wanted[case, "WT"], abs=0.03)
        mirrored.append(abs(dice(found[..., ::-1], truth) - wanted[case, "WT"]))
    assert max(mirrored) > 0.06  # so that this test could fail


def test_binary_masks_of_a_volume_are_ones(tmp_path):
    scan(tmp_path / "in" / "a.nii")
    target = BINARY.model_copy(update={"values": {0: 0, 1: 1, 255: 1}})
    spec = CT.model_copy(update={"target": target})
    eager = PostProcess(thresholds=(0.0,), smallest=(0.0,), note="")
    predict(model_of(spec, TINY, post=eager), tmp_path / "in", tmp_path / "out")
    assert set(np.unique(read_mask(tmp_path / "out" / "a_mask.nii").array).tolist()) == {1}
