from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.seglib.data.folders import faults, find, names, pictures, touch


def lab_ct(root: Path, *places: tuple[int, int]) -> Path:
    pictures(root, *(f"CT/Image/Im{p}_{z}.png" for p, z in places))
    return pictures(root, *(f"CT/Mask/Im{p}_{z}_Mask.png" for p, z in places))


def lab_mri(root: Path, *stems: str) -> Path:
    pictures(root, *(f"MRI/Image/{stem}.png" for stem in stems))
    return pictures(root, *(f"MRI/Mask/{stem}_Tumor.png" for stem in stems))


def test_names_of_the_ct_give_patient_and_slice(tmp_path: Path) -> None:
    dataset = find(lab_ct(tmp_path, (10, 2), (10, 11), (2, 5), (2, 6)))
    assert [(i.group, i.case, i.slice) for i in dataset.items] == [
        ("2", "2", 5),
        ("2", "2", 6),
        ("10", "10", 2),
        ("10", "10", 11),
    ]
    assert (dataset.layout, dataset.notes) == ("lab-ct", ())


def test_lungs_of_the_ct_are_known_without_classes(tmp_path: Path) -> None:
    lab_ct(tmp_path, (1, 1))
    binary = find(tmp_path).target
    assert (binary.classes, binary.values) == (("lung",), {0: 0, 156: 1, 251: 1})
    organs = find(tmp_path, target="organs").target
    assert (organs.classes, organs.values) == (
        ("left_lung", "right_lung"),
        {0: 0, 156: 1, 251: 2},
    )
    given = find(tmp_path, classes={"left": [156]}, background=[0, 251]).target
    assert given.values == {0: 0, 251: 0, 156: 1}


@pytest.mark.parametrize(("kind", "normalise"), [(np.uint8, "none"), (np.uint16, "percentile")])
def test_bytes_keep_the_window_that_all_slices_share(
    kind: type[np.integer], normalise: str, tmp_path: Path
) -> None:
    lab_ct(tmp_path, (1, 1))
    Image.fromarray(np.zeros((4, 4), kind)).save(tmp_path / "CT/Image/Im1_1.png")
    assert find(tmp_path).normalise == normalise
    assert find(tmp_path, normalise="zscore").normalise == "zscore"


def test_a_single_odd_name_is_a_fault_and_not_another_layout(tmp_path: Path) -> None:
    lab_ct(tmp_path, (1, 1), (1, 2))
    pictures(tmp_path, "CT/Image/scan.png", "CT/Mask/scan_Mask.png")
    (told,) = faults(tmp_path)
    assert told == "scan: found a name without patient and slice ; wanted Im<patient>_<slice>"


def test_orphans_of_the_ct_are_named(tmp_path: Path) -> None:
    lab_ct(tmp_path, (1, 1), (1, 2))
    pictures(tmp_path, "CT/Image/Im1_3.png", "CT/Mask/Im1_4_Mask.png")
    told = faults(tmp_path)
    assert told[0].startswith(
        "Image/Im1_3.png: found an image without a mask ; wanted Im1_3 in Mask"
    )
    assert told[1] == "Mask/Im1_4_Mask.png: found a mask without an image ; wanted Im1_4 in Image"


@pytest.mark.parametrize("target", ["binary", "organs", "regions"])
def test_the_tumour_of_the_mri_is_255(target: str, tmp_path: Path) -> None:
    dataset = find(lab_mri(tmp_path, "a"), target=target)
    assert (dataset.layout, dataset.normalise) == ("lab-mri", "none")
    assert (dataset.target.classes, dataset.target.values) == (("tumour",), {0: 0, 255: 1})


def test_further_folders_of_the_mri_are_not_looked_at(tmp_path: Path) -> None:
    lab_mri(tmp_path, "a")
    pictures(tmp_path, "MRI/MaskLabels/a_Labels.png", "MRI/MaskLabels/b_Labels.png")
    touch(tmp_path, "MRI/notes.txt")
    assert names(find(tmp_path)) == [(["a.png"], "a_Tumor.png")]


def test_names_of_the_mri_that_look_like_slices_give_the_patient_and_that_is_told(
    tmp_path: Path,
) -> None:
    dataset = find(lab_mri(tmp_path, *(f"pat{p}_1_{z:03d}" for p in (1, 2) for z in range(3))))
    assert [(i.group, i.case, i.slice) for i in dataset.items] == [
        (f"pat{p}_1", f"pat{p}_1", z) for p in (1, 2) for z in range(3)
    ]
    (note,) = dataset.notes
    assert note == (
        "6 names look like slices of 2, such as 'pat1_1': "
        "the name without its last number is taken for the patient"
    )
    by_pattern = find(tmp_path, patient=r"^(pat\d)")
    assert {item.group for item in by_pattern.items} == {"pat1", "pat2"}
    assert by_pattern.notes == ()


def test_names_of_the_mri_that_look_like_no_slices_are_patients_and_that_is_told(
    tmp_path: Path,
) -> None:
    dataset = find(lab_mri(tmp_path, "anna", "bert"))
    assert [item.group for item in dataset.items] == ["anna", "bert"]
    assert dataset.notes[0].startswith("no patient known")


def test_orphans_of_the_mri_are_named(tmp_path: Path) -> None:
    lab_mri(tmp_path, "a", "b")
    (tmp_path / "MRI/Image/b.png").unlink()
    assert faults(tmp_path) == [
        "Mask/b_Tumor.png: found a mask without an image ; wanted b in Image"
    ]
