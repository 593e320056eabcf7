from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from tests.seglib.data.challenges import TUMOUR, write_decathlon
from tests.seglib.data.folders import faults, find, touch
from tests.seglib.data.sources import SIZE


def change(root: Path, **fields: Any) -> None:
    path = root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_task_is_recognised_and_its_cases_are_listed(tmp_path: Path) -> None:
    dataset = find(write_decathlon(tmp_path / "Task01", "BRATS_010", "BRATS_002"))
    assert dataset.layout == "decathlon"
    assert [(i.case, i.group, i.slice) for i in dataset.items] == [
        (case, case, None) for case in ("BRATS_002", "BRATS_010")
    ]
    assert [len(item.images) for item in dataset.items] == [1, 1]
    assert dataset.channels == ("flair", "t1w")
    assert (dataset.normalise, dataset.notes) == ("zscore", ())


def test_channels_of_one_file_and_all_labels_reach_the_store(tmp_path: Path) -> None:
    write_decathlon(tmp_path / "data", "BRATS_001", "BRATS_002")
    spec = DataSpec(target="organs", image_size=SIZE, normalise="percentile")
    store = prepare(spec, tmp_path / "data", tmp_path / "work", workers=1)
    assert store.images.shape == (8, SIZE, SIZE, 2)
    assert (store.images[..., 0] != store.images[..., 1]).any()
    assert set(np.unique(store.masks)) == {0, 1, 2, 3}
    assert store.index["spacing_z_mm"].tolist() == [2.0] * 8


def test_the_brain_tumour_task_has_the_regions_of_brats(tmp_path: Path) -> None:
    write_decathlon(tmp_path, "BRATS_001")
    regions = find(tmp_path, target="regions").target
    greys = {
        name: {value for value, label in regions.values.items() if label in labels}
        for name, labels in zip(regions.classes, regions.members, strict=True)
    }
    assert greys == {"WT": {1, 2, 3}, "TC": {2, 3}, "ET": {3}}
    assert find(tmp_path).target.classes == ("WT",)
    assert find(tmp_path, target="organs").target.classes == (
        "edema",
        "non_enhancing_tumor",
        "enhancing_tumour",
    )


def test_ct_is_windowed_and_left_and_right_trade_places(tmp_path: Path) -> None:
    labels = {"0": "background", "1": "Left Lung", "2": "Right Lung"}
    write_decathlon(tmp_path, "lung_001", channels=["CT"], labels=labels)
    dataset = find(tmp_path, target="organs")
    assert (dataset.channels, dataset.normalise) == (("ct",), "window")
    assert dataset.target.classes == ("left_lung", "right_lung")
    assert dataset.target.mirror_pairs() == ((1, 2),)
    assert find(tmp_path).target.classes == ("foreground",)


def test_what_is_not_used_is_told(tmp_path: Path) -> None:
    write_decathlon(tmp_path, "BRATS_001", "BRATS_002")
    touch(tmp_path, "imagesTs/BRATS_003.nii.gz", "imagesTs/._BRATS_003.nii.gz")
    entry = json.loads((tmp_path / "dataset.json").read_text())["training"][0]
    change(tmp_path, training=[entry])
    assert find(tmp_path).notes == (
        "1 files of imagesTr are not in dataset.json and are left out",
        "1 files of labelsTr are not in dataset.json and are left out",
        "imagesTs is not looked at: 1 images without truth",
        "dataset.json says 2 cases for training, 1 are there",
    )


def test_missing_files_are_counted(tmp_path: Path) -> None:
    write_decathlon(tmp_path, "BRATS_001", "BRATS_002", "BRATS_003")
    (tmp_path / "labelsTr/BRATS_001.nii.gz").unlink()
    (tmp_path / "labelsTr/BRATS_003.nii.gz").unlink()
    (tmp_path / "imagesTr/BRATS_002.nii.gz").unlink()
    assert faults(tmp_path) == [
        "imagesTr/BRATS_002.nii.gz: found no such file ; "
        "wanted the image that dataset.json: training names",
        "labelsTr/BRATS_001.nii.gz and 1 more: found no such file ; "
        "wanted the label that dataset.json: training names",
    ]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"training": None}, "dataset.json: training: found no list of images and labels"),
        (
            {"training": [{"image": "../x.nii", "label": "imagesTr/BRATS_001.nii.gz"}]},
            "../x.nii: found no such file ; wanted the image that dataset.json: training names",
        ),
        ({"training": ["a", {"image": "x"}]}, "found 2 odd entries, such as 'a' ; wanted {\"image"),
        ({"labels": {"0": "background"}}, "dataset.json: labels: found background only"),
        ({"labels": {"0": "background", "one": "a"}}, 'found a: "one" ; wanted {"0": "background"'),
        ({"labels": {"1": "a", "2": "A"}}, "dataset.json: labels: found two labels named a"),
        ({"labels": None}, "dataset.json: labels: found none"),
        ({"modality": {"1": "CT"}}, "dataset.json: modality: found numbers 1 ; wanted"),
        ({"modality": None}, "dataset.json: modality: found no channel_names and no modality"),
        ({"modality": "CT"}, 'dataset.json: modality: found "CT" ; wanted'),
        ({"file_ending": ".nrrd"}, "dataset.json: file_ending: found .nrrd ; wanted one of .png"),
    ],
)
def test_a_wrong_description_is_told_in_one_line(
    fields: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    write_decathlon(tmp_path, "BRATS_001")
    change(tmp_path, **fields)
    (told,) = faults(tmp_path)
    assert fault in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "dataset.json: found an unreadable file"),
        ("null", "dataset.json: found nothing in it ; wanted JSON"),
        ("[]", "dataset.json: found no object"),
        (None, "dataset.json: found no such file"),
    ],
)
def test_a_description_that_is_none_is_told(text: str | None, fault: str, tmp_path: Path) -> None:
    write_decathlon(tmp_path, "BRATS_001")
    (tmp_path / "dataset.json").unlink()
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    (told,) = faults(tmp_path)
    assert told.startswith(fault)


def test_a_case_listed_twice_is_a_fault(tmp_path: Path) -> None:
    write_decathlon(tmp_path, "a_1")
    entry = json.loads((tmp_path / "dataset.json").read_text())["training"][0]
    change(tmp_path, training=[entry, entry])
    told = faults(tmp_path)
    assert "dataset.json: training: found a_1.nii.gz 2 times as image ; wanted once" in told


def test_channels_of_one_file_cannot_be_chosen_from(tmp_path: Path) -> None:
    write_decathlon(tmp_path, "BRATS_001")
    assert find(tmp_path, channels=["flair", "t1w"]).channels == ("flair", "t1w")
    (told,) = faults(tmp_path, channels=["t1w"])
    assert "data.channels: found t1w ; wanted flair, t1w, as they lie in each file" in told


def test_a_pattern_gives_the_patient(tmp_path: Path) -> None:
    write_decathlon(tmp_path, "p1_a", "p1_b")
    assert [item.group for item in find(tmp_path, patient="(.*)_").items] == ["p1", "p1"]


def test_labels_that_are_background_for_the_study_are_no_class(tmp_path: Path) -> None:
    write_decathlon(tmp_path, "BRATS_001", labels=TUMOUR)
    target = find(tmp_path, target="organs", background=[0, 2]).target
    assert target.classes == ("edema", "enhancing_tumour")
    assert target.values[2] == 0
