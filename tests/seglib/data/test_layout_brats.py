from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.seglib.data.folders import (
    OLD,
    faults,
    find,
    names,
    new_case,
    old_case,
    touch,
)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("place", ["", "HGG/", "MICCAI/LGG/"])
def test_brats_names_up_to_2021(place: str, suffix: str, tmp_path: Path) -> None:
    for case in ("BraTS20_Training_002", "BraTS20_Training_001"):
        touch(tmp_path, *old_case(place + case, suffix=suffix))
    dataset = find(tmp_path)
    assert dataset.layout == "brats"
    assert dataset.channels == ("flair", "t1ce", "t1", "t2")
    assert dataset.normalise == "zscore"
    assert [item.case for item in dataset.items] == [f"BraTS20_Training_00{i}" for i in (1, 2)]
    first = dataset.items[0]
    assert first.group == first.case
    assert first.slice is None
    parts = ("flair", "t1ce", "t1", "t2")
    assert [p.name for p in first.images] == [f"{first.case}_{part}{suffix}" for part in parts]
    assert first.masks[0].name == f"{first.case}_seg{suffix}"


def test_brats_names_from_2023_group_the_visits_of_a_patient(tmp_path: Path) -> None:
    for case in ("BraTS-GLI-00000-000", "BraTS-GLI-00000-001", "BraTS-GLI-00002-000"):
        touch(tmp_path, *new_case(case))
    dataset = find(tmp_path)
    assert dataset.channels == ("flair", "t1ce", "t1", "t2")
    assert [item.group for item in dataset.items] == ["BraTS-GLI-00000"] * 2 + ["BraTS-GLI-00002"]
    assert len({item.case for item in dataset.items}) == 3
    images, mask = names(dataset)[0]
    assert [name.removeprefix("BraTS-GLI-00000-000-") for name in images] == [
        "t2f.nii.gz",
        "t1c.nii.gz",
        "t1n.nii.gz",
        "t2w.nii.gz",
    ]
    assert mask == "BraTS-GLI-00000-000-seg.nii.gz"


def test_brats_files_may_lie_flat(tmp_path: Path) -> None:
    touch(tmp_path, *(Path(name).name for case in ("a", "b") for name in old_case(case)))
    assert [item.case for item in find(tmp_path).items] == ["a", "b"]


def test_case_355_of_2020_has_its_mask_under_another_name(tmp_path: Path) -> None:
    case = "BraTS20_Training_355"
    touch(tmp_path, *old_case(case, OLD[:4], ".nii"), f"{case}/W39_1998.09.19_Segm.nii")
    touch(tmp_path, *old_case("BraTS20_Training_356", suffix=".nii"))
    dataset = find(tmp_path)
    assert [mask for _, mask in names(dataset)] == [
        "W39_1998.09.19_Segm.nii",
        "BraTS20_Training_356_seg.nii",
    ]


def test_hidden_copies_of_other_systems_are_not_cases(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"), "a/._a_flair.nii.gz", "__MACOSX/a/a_flair.nii.gz")
    assert len(find(tmp_path).items) == 1


def test_channels_that_some_cases_lack_are_left_out_and_told(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"), *old_case("b", ("flair", "t1ce", "seg")))
    dataset = find(tmp_path)
    assert dataset.channels == ("flair", "t1ce")
    assert dataset.notes == (
        "t1 is left out: 1 of 2 cases have it",
        "t2 is left out: 1 of 2 cases have it",
    )


def test_asked_channels_come_in_the_asked_order(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"))
    dataset = find(tmp_path, channels=["t2", "flair"])
    assert dataset.channels == ("t2", "flair")
    assert names(dataset)[0][0] == ["a_t2.nii.gz", "a_flair.nii.gz"]


def test_all_faulty_cases_are_named_at_once(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a", ("flair", "seg")), *old_case("b", ("flair", "t2")))
    touch(tmp_path, *old_case("c", ("flair", "t2", "seg")), "c/c_seg.nii")
    told = faults(tmp_path, channels=["flair", "t2"])
    assert len(told) == 3
    assert any(line.startswith("a: found no file for t2") for line in told)
    assert any(line.startswith("b: found no file for seg") for line in told)
    assert any(line.startswith("c: found two files for seg") for line in told)


def test_unknown_and_doubled_channels_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"))
    told = faults(tmp_path, channels=["flair", "adc", "flair"])
    assert told[0] == "data.channels: found 'adc' ; wanted one of flair, t1ce, t1, t2"
    assert "named twice" in told[1]


def test_two_generations_in_one_folder_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"), *new_case("BraTS-GLI-00000-000"))
    (told,) = faults(tmp_path)
    assert "2018-2021 and of 2023" in told


@pytest.mark.parametrize(("case", "grey"), [(old_case("a"), 4), (new_case("B-1-0"), 3)])
def test_the_enhancing_tumour_is_4_and_later_3(case: list[str], grey: int, tmp_path: Path) -> None:
    touch(tmp_path, *case)
    binary = find(tmp_path).target
    assert binary.classes == ("WT",)
    assert binary.values == {0: 0, 1: 1, 2: 1, grey: 1}
    regions = find(tmp_path, target="regions").target
    assert regions.classes == ("WT", "TC", "ET")
    inside = {
        v: np.array(regions.membership())[regions.values[v]].tolist() for v in (0, 1, 2, grey)
    }
    assert inside == {
        0: [False, False, False],
        1: [True, True, False],
        2: [True, False, False],
        grey: [True, True, True],
    }
    organs = find(tmp_path, target="organs").target
    assert organs.classes == ("NCR", "ED", "ET")
    assert organs.values == {0: 0, 1: 1, 2: 2, grey: 3}


def test_given_classes_and_background_replace_the_known_ones(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"))
    target = find(tmp_path, classes={"core": [1, 4]}, background=[0, 2]).target
    assert target.classes == ("core",)
    assert target.values == {0: 0, 2: 0, 1: 1, 4: 1}
