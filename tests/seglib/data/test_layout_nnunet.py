from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglib.data.dataset import Division
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import make_splits
from tests.seglib.data.challenges import (
    TUMOUR,
    write_json,
    write_nnunet,
    write_splits,
)
from tests.seglib.data.folders import faults, find, names, pictures, touch
from tests.seglib.data.sources import SIZE


def test_a_file_for_each_channel_makes_a_case(tmp_path: Path) -> None:
    dataset = find(write_nnunet(tmp_path / "Dataset001_Liver", "liver_10", "liver_2"))
    assert dataset.layout == "nnunet"
    assert names(dataset) == [
        ([f"{case}_0000.nii.gz", f"{case}_0001.nii.gz"], f"{case}.nii.gz")
        for case in ("liver_2", "liver_10")
    ]
    assert [(i.case, i.group, i.slice) for i in dataset.items] == [
        (case, case, None) for case in ("liver_2", "liver_10")
    ]
    assert dataset.channels == ("flair", "t1w")
    assert (dataset.target.classes, dataset.normalise) == (("liver",), "zscore")


def test_version_1_describes_channels_and_labels_the_other_way_round(tmp_path: Path) -> None:
    write_nnunet(tmp_path, "BRATS_001", labels={"background": 0, "a": 1, "b": 2, "c": 3})
    write_json(tmp_path, modality={"0": "FLAIR", "1": "T1w"}, labels=TUMOUR, numTraining=1)
    dataset = find(tmp_path, target="regions")
    assert (dataset.layout, dataset.channels) == ("nnunet", ("flair", "t1w"))
    assert dataset.target.classes == ("WT", "TC", "ET")


def test_regions_are_lists_of_labels(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    target = find(write_nnunet(tmp_path, "a_1", labels=labels), target="regions").target
    assert target.classes == ("whole", "core")
    assert target.membership() == [[False, False], [True, False], [True, True]]
    assert find(tmp_path).target.classes == ("foreground",)
    told = faults(tmp_path, target="organs")
    assert told[0].startswith("data.classes.whole: found grey values shared with core")


def test_an_ignore_label_needs_a_word(tmp_path: Path) -> None:
    labels = {"background": 0, "liver": 1, "ignore": 2}
    (told,) = faults(write_nnunet(tmp_path, "a_1", labels=labels))
    assert "dataset.json: labels: found a label ignore" in told
    assert "hint: data.background: [0, 2]" in told
    assert find(tmp_path, background=[0, 2]).target.values == {0: 0, 2: 0, 1: 1}


def test_ct_is_windowed_and_channels_can_be_chosen(tmp_path: Path) -> None:
    write_nnunet(tmp_path / "ct", "a", channels=["CT"])
    assert find(tmp_path / "ct").normalise == "window"
    write_nnunet(tmp_path / "both", "a", channels=["CT", "PET"])
    assert find(tmp_path / "both").normalise == "zscore"
    chosen = find(tmp_path / "both", channels=["pet"])
    assert (names(chosen), chosen.channels) == ([(["a_0001.nii.gz"], "a.nii.gz")], ("pet",))
    (told,) = faults(tmp_path / "both", channels=["mri"])
    assert told == "data.channels: found 'mri' ; wanted one of ct, pet"


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_pictures_of_a_channel_each_reach_the_store(ending: str, tmp_path: Path) -> None:
    write_nnunet(tmp_path / "d", "a", "b", ending=ending)
    dataset = find(tmp_path / "d")
    assert dataset.normalise == "percentile"
    store = prepare(DataSpec(image_size=SIZE), tmp_path / "d", tmp_path / "work", workers=1)
    assert store.images.shape == (2, SIZE, SIZE, 2)
    assert store.index["case"].tolist() == ["a", "b"]
    assert (np.bincount(store.masks.ravel())[1:] > 0).all()


def test_a_picture_may_hold_all_colours_in_one_file(tmp_path: Path) -> None:
    write_nnunet(tmp_path, channels=["R", "G", "B"], ending=".png")
    pictures(tmp_path, "imagesTr/a_0000.png", channels=3)
    pictures(tmp_path, "labelsTr/a.png")
    dataset = find(tmp_path)
    assert (names(dataset), dataset.channels) == ([(["a_0000.png"], "a.png")], ("r", "g", "b"))
    assert "as they lie in each file" in faults(tmp_path, channels=["r"])[0]


def test_pictures_that_look_like_slices_are_doubtful_patients(tmp_path: Path) -> None:
    cases = [f"pat{p}_{z}" for p in (1, 2) for z in range(4)]
    write_nnunet(tmp_path, *cases, ending=".png")
    (note,) = find(tmp_path).notes
    assert "each case counts as its own patient, but 8 names look like slices of 2" in note
    suggested = note.split("data.patient: '")[1].rstrip("'")
    grouped = find(tmp_path, patient=suggested)
    assert {item.group for item in grouped.items} == {"pat1", "pat2"}
    assert [item.case for item in grouped.items] == cases
    assert grouped.notes == ()


def test_orphans_and_missing_channels_are_named(tmp_path: Path) -> None:
    write_nnunet(tmp_path, "a", "b", "c")
    (tmp_path / "labelsTr/a.nii.gz").unlink()
    (tmp_path / "imagesTr/b_0001.nii.gz").unlink()
    for number in range(2):
        (tmp_path / f"imagesTr/c_{number:04d}.nii.gz").unlink()
    assert faults(tmp_path) == [
        "a: found images without a label ; wanted a in labelsTr",
        "labelsTr/c.nii.gz: found a label without images ; wanted c_0000 in imagesTr",
        "b: found no file for t1w (_0001) ; wanted a file for each channel",
    ]


def test_names_that_fit_no_channel_are_named(tmp_path: Path) -> None:
    touch(write_nnunet(tmp_path, "a"), "imagesTr/a_0002.nii.gz", "imagesTr/odd.nii.gz")
    assert faults(tmp_path) == [
        "imagesTr/a_0002.nii.gz: found channel 2 ; wanted 0 to 1, as dataset.json names channels",
        "imagesTr/odd.nii.gz: found a name without the number of its channel ; "
        "wanted odd_0000.nii.gz",
    ]


def test_a_description_of_other_files_is_told(tmp_path: Path) -> None:
    write_nnunet(tmp_path, "a")
    labels = {"background": 0, "liver": 1}
    write_json(tmp_path, channel_names={"0": "CT"}, labels=labels, file_ending=".png")
    assert faults(tmp_path)[0] == (
        "imagesTr: found no image ; wanted files .png, as dataset.json says"
    )


FOLDS = ((["a", "b"], ["c"]), (["c"], ["a", "b"]))


@pytest.mark.parametrize("place", ["nnUNet_raw/D1", "nnUNet_preprocessed/D1"])
def test_folds_that_lie_there_are_honoured(place: str, tmp_path: Path) -> None:
    write_nnunet(tmp_path / "nnUNet_raw" / "D1", "a", "b", "c")
    write_splits(tmp_path / place / "splits_final.json", *FOLDS)
    for root in (tmp_path, tmp_path / "nnUNet_raw" / "D1"):
        dataset = find(root)
        assert dataset.divisions == (
            Division(("a", "b"), ("c",)),
            Division(("c",), ("a", "b")),
        )


def test_folds_travel_with_the_store_and_changed_folds_make_it_anew(tmp_path: Path) -> None:
    root = write_nnunet(tmp_path / "D1", "a", "b", "c")
    spec = DataSpec(image_size=SIZE)
    keys = []
    for folds in (FOLDS, FOLDS[::-1]):
        write_splits(root / "splits_final.json", *folds)
        store = prepare(spec, root, tmp_path / "work", workers=1)
        splits = make_splits(store.index, SplitSpec(), store.info.divisions)
        assert (list(splits.train), list(splits.val), splits.test) == (*folds[0], ())
        keys.append(store.key)
    assert keys[0] != keys[1]


def test_folders_that_nnunet_makes_are_not_data_of_their_own(tmp_path: Path) -> None:
    write_nnunet(tmp_path / "nnUNet_raw" / "D1", "a")
    made = tmp_path / "nnUNet_preprocessed" / "D1"
    touch(made, "gt_segmentations/a.nii.gz", "nnUNetPlans_2d/a.npz", "dataset.json")
    assert find(tmp_path).layout == "nnunet"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[{"train": ["a"]}]', "splits_final.json: found 0.val: Field required"),
        ('{"train": []}', "splits_final.json: found the file"),
        ("[", "splits_final.json: found an unreadable file"),
    ],
)
def test_folds_that_cannot_be_read_are_told(text: str, fault: str, tmp_path: Path) -> None:
    (write_nnunet(tmp_path, "a") / "splits_final.json").write_text(text)
    (told,) = faults(tmp_path)
    assert told.startswith(fault)
