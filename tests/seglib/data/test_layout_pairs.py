from __future__ import annotations

from pathlib import Path

import pytest

from tests.seglib.data.folders import (
    faults,
    find,
    names,
    pictures,
    touch,
)


@pytest.mark.parametrize("suffix", ["", "_mask", "_Mask", "_Tumor", "_seg", "_label"])
@pytest.mark.parametrize("place", ["Image Mask", "CT/Image CT/Mask", "x/MRI/imgs x/MRI/labels"])
def test_pairs_go_by_name(place: str, suffix: str, tmp_path: Path) -> None:
    image, mask = place.split()
    # Listed by name, the masks of 1 and 10 come in another order than the images.
    stems = ["p_1", "p_10", "p_2", "p_1-b"]
    pictures(tmp_path, *(f"{image}/{stem}.png" for stem in stems))
    pictures(tmp_path, *(f"{mask}/{stem}{suffix}.tif" for stem in reversed(stems)))
    dataset = find(tmp_path)
    assert dataset.layout == "pairs"
    assert sorted(names(dataset)) == sorted(
        ([f"{stem}.png"], f"{stem}{suffix}.tif") for stem in stems
    )


def test_an_image_whose_own_name_ends_like_a_mask_finds_its_mask(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a_seg.png", "Image/a.png", "Mask/a_seg.png", "Mask/a_mask.png")
    assert names(find(tmp_path)) == [(["a.png"], "a_mask.png"), (["a_seg.png"], "a_seg.png")]


def test_orphans_and_doubles_are_named_all_at_once(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a.png", "Image/b.png", "Image/c.png", "Image/c.jpg", "Image/d.png")
    pictures(
        tmp_path, "Mask/b.png", "Mask/b_mask.png", "Mask/c.png", "Mask/d.png", "Mask/e_Mask.png"
    )
    told = "\n".join(faults(tmp_path))
    assert "Image/a.png: found an image without a mask" in told
    assert "Mask/e_Mask.png: found a mask without an image ; wanted e in Image" in told
    assert "b: found 2 masks (b.png, b_mask.png)" in told
    assert "c: found 2 images (c.jpg, c.png)" in told
    assert len(told.splitlines()) == 4


def test_other_folders_and_files_are_not_looked_at(tmp_path: Path) -> None:
    pictures(tmp_path, "MRI/Image/a.png", "MRI/Mask/a_Tumor.png", "MRI/MaskLabels/a_Labels.png")
    touch(tmp_path, "volumes/id1_ct.nii.gz", "SOURCE.md", "MRI/Image/.a.png", "MRI/Image/Thumbs.db")
    assert names(find(tmp_path)) == [(["a.png"], "a_Tumor.png")]


def test_several_data_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    pictures(
        tmp_path, *(f"{kind}/{part}/a.png" for kind in ("CT", "MRI") for part in ("Image", "Mask"))
    )
    (told,) = faults(tmp_path)
    assert "found 2 data sets (CT/Image+Mask, MRI/Image+Mask) ; wanted one" in told


def lab_ct(root: Path, *places: tuple[int, int]) -> Path:
    pictures(root, *(f"CT/Image/Im{p}_{z}.png" for p, z in places))
    return pictures(root, *(f"CT/Mask/Im{p}_{z}_Mask.png" for p, z in places))


def test_the_labs_names_give_patient_and_slice(tmp_path: Path) -> None:
    dataset = find(lab_ct(tmp_path, (10, 2), (10, 11), (2, 5), (2, 6)))
    assert [(i.group, i.case, i.slice) for i in dataset.items] == [
        ("2", "2", 5),
        ("2", "2", 6),
        ("10", "10", 2),
        ("10", "10", 11),
    ]
    assert dataset.notes == ()
    assert dataset.normalise == "percentile"


def test_cases_may_be_images(tmp_path: Path) -> None:
    dataset = find(lab_ct(tmp_path, (1, 2), (1, 3)), case_by="image")
    assert [(i.group, i.case, i.slice) for i in dataset.items] == [
        ("1", "Im1_2", None),
        ("1", "Im1_3", None),
    ]


def many_slices(root: Path) -> Path:
    stems = [f"pat{p}_{z:03d}" for p in (1, 2) for z in range(4)]
    return pictures(root, *(f"{part}/{stem}.png" for part in ("Image", "Mask") for stem in stems))


def test_a_number_at_the_end_is_not_taken_for_a_slice_of_a_patient(tmp_path: Path) -> None:
    dataset = find(many_slices(tmp_path))
    assert len({item.group for item in dataset.items}) == 8
    (note,) = dataset.notes
    assert note.startswith(
        "no patient known: each image counts as its own patient; give data.patient"
    )
    assert "8 names look like slices of 2" in note
    suggested = note.split("data.patient: '")[1].split("'")[0]
    assert {item.group for item in find(tmp_path, patient=suggested).items} == {"pat1", "pat2"}


def test_a_pattern_gives_the_patient(tmp_path: Path) -> None:
    dataset = find(many_slices(tmp_path), patient=r"^(pat\d+)_")
    assert [(i.group, i.slice) for i in dataset.items] == [
        (f"pat{p}", z) for p in (1, 2) for z in range(4)
    ]
    assert dataset.notes == ()


def test_names_that_the_pattern_misses_are_all_named(tmp_path: Path) -> None:
    told = faults(many_slices(tmp_path), patient=r"^(pat2)_")
    assert len(told) == 4
    assert "pat1_000.png: found no match of data.patient" in told[0]


def test_slices_without_usable_numbers_go_by_name_and_that_is_told(tmp_path: Path) -> None:
    pictures(
        tmp_path, *(f"{part}/{stem}.png" for part in ("Image", "Mask") for stem in ("p_b", "p_a"))
    )
    dataset = find(tmp_path, patient="^(p)_")
    assert [(i.images[0].stem, i.slice) for i in dataset.items] == [("p_a", 0), ("p_b", 1)]
    assert "slices are taken in the order of names" in dataset.notes[0]


def test_channels_come_from_the_first_image(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a.png", channels=3)
    pictures(tmp_path, "Mask/a.png")
    assert find(tmp_path).channels == ("red", "green", "blue")
    assert find(tmp_path, channels=["pre", "flair", "post"]).channels == ("pre", "flair", "post")
    (told,) = faults(tmp_path, channels=["flair"])
    assert told == "data.channels: found 1 names (flair) ; wanted 3, as a.png has 3 channels"
    assert "named twice" in faults(tmp_path, channels=["a", "b", "a"])[0]


def test_targets_of_pairs(tmp_path: Path) -> None:
    lab_ct(tmp_path, (1, 1))
    assert find(tmp_path).target.values == {0: 0, 1: 1, 255: 1}
    organs = find(tmp_path, target="organs").target
    assert (organs.classes, organs.values) == (
        ("left_lung", "right_lung"),
        {0: 0, 156: 1, 251: 2},
    )
    both = find(tmp_path, classes={"lung": [156, 251]}).target
    assert both.values == {0: 0, 156: 1, 251: 1}
    (told,) = faults(tmp_path, target="regions")
    assert told.startswith("data.classes: found not given")
