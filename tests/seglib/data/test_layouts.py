from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from seglib.data.layouts import LAYOUTS, find_datasets
from seglib.data.phantom import write_phantoms
from seglib.data.spec import PHANTOM_LAYOUTS, DataSpec, LayoutName
from seglib.errors import DataError, Problem
from tests.seglib.data.folders import (
    faults,
    find,
    old_case,
    pictures,
    touch,
)


@pytest.mark.parametrize("layout", ["auto", *LAYOUTS])
def test_a_folder_that_fits_nothing_is_told_what_would(layout: str, tmp_path: Path) -> None:
    touch(tmp_path, "scan.dcm", "notes.txt")
    (told,) = faults(tmp_path, layout=layout)
    assert told.startswith("data folder: found notes.txt, scan.dcm ; wanted")
    for name in LAYOUTS if layout == "auto" else [layout]:
        assert f"{name}: {LAYOUTS[name].looks_like}" in told


def test_missing_and_empty_folders_and_files_are_told(tmp_path: Path) -> None:
    assert faults(tmp_path / "gone") == ["data folder: found no such folder"]
    assert faults(tmp_path)[0].startswith("data folder: found an empty folder")
    touch(tmp_path, "file")
    assert faults(tmp_path / "file") == ["data folder: found a file ; wanted a folder"]
    (tmp_path / "Image").mkdir()
    (tmp_path / "Mask").mkdir()
    assert faults(tmp_path)[0].startswith("Image: found no image ; wanted files .png")


def test_a_folder_one_level_off_is_told_which_was_meant(tmp_path: Path) -> None:
    pictures(tmp_path, "a/b/c/d/Image/x.png", "a/b/c/d/Mask/x.png")
    home = tmp_path / "a" / "b" / "c" / "d"
    for root in (home / "Image", home / "Mask", tmp_path / "a"):
        for layout in ("auto", "pairs"):
            assert f"did you mean {home}?" in faults(root, layout=layout)[0]


def labs_root(root: Path) -> Path:
    """The lab's own folder, a BraTS folder, and one more of X-rays."""
    pictures(root, "CT/Image/Im1_1.png", "CT/Mask/Im1_1_Mask.png")
    pictures(root, "MRI/Image/a.png", "MRI/Mask/a_Tumor.png", "MRI/MaskLabels/a_Labels.png")
    pictures(root, "X_ray/Image/a.png", "X_ray/Mask/a.png")
    pictures(root, "old/images/a.png", "old/masks/a.png")
    return touch(root, *old_case("brain/a"), *old_case("brain/b"))


def test_every_data_set_of_a_folder_is_found_once(tmp_path: Path) -> None:
    found = find_datasets(DataSpec(), labs_root(tmp_path))
    assert [(one.layout, str(one.root.relative_to(tmp_path))) for one in found] == [
        ("brats", "brain"),
        ("lab-ct", "CT"),
        ("lab-mri", "MRI"),
        ("pairs", "X_ray"),
        ("pairs", "old"),
    ]


def test_several_data_sets_are_refused_with_ways_out(tmp_path: Path) -> None:
    (told,) = faults(labs_root(tmp_path))
    assert told == (
        "data folder: found 5 data sets (brats in brain, lab-ct in CT, lab-mri in MRI, "
        "pairs in X_ray, pairs in old) ; wanted one\n"
        "    hint: give data.layout: brats, or the folder brain"
    )
    assert find(tmp_path, layout="brats").root == tmp_path / "brain"
    assert find(tmp_path / "X_ray").layout == "pairs"


def test_only_the_given_layout_is_looked_for(tmp_path: Path) -> None:
    labs_root(tmp_path)
    assert [one.layout for one in find_datasets(DataSpec(layout="lab-mri"), tmp_path)] == [
        "lab-mri"
    ]
    # What a specific layout would claim is open to a general one that is asked for.
    assert find(tmp_path / "CT", layout="pairs").layout == "pairs"
    (told,) = faults(tmp_path, layout="pairs")
    assert "found 4 data sets (pairs in CT, pairs in MRI, pairs in X_ray, pairs in old)" in told
    assert told.endswith("hint: give the folder CT")


def test_two_data_sets_in_the_very_same_folder_need_a_layout(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"), *old_case("b"))
    pictures(tmp_path, "Image/a.png", "Mask/a.png")
    (told,) = faults(tmp_path)
    assert "brats in this folder, pairs in this folder" in told
    assert told.endswith("hint: give data.layout: brats")
    assert find(tmp_path, layout="pairs").layout == "pairs"


def test_faults_of_one_among_several_data_sets_say_whose_they_are(tmp_path: Path) -> None:
    labs_root(tmp_path)
    pictures(tmp_path, "CT/Image/Im1_2.png", "old/masks/b.png")
    with pytest.raises(DataError, match="2 problems") as caught:
        find_datasets(DataSpec(), tmp_path)
    first, second = map(str, caught.value.problems)
    assert first.startswith("CT: Image/Im1_2.png: found an image without a mask")
    assert second.startswith("old: masks/b.png: found a mask without an image")
    problems: list[Problem] = []
    found = find_datasets(DataSpec(), tmp_path, problems)
    assert [one.root.name for one in found] == ["brain", "MRI", "X_ray"]
    assert problems == list(caught.value.problems)


def test_hidden_folders_hold_no_data(tmp_path: Path) -> None:
    pictures(tmp_path, "X_ray/Image/a.png", "X_ray/Mask/a.png")
    pictures(tmp_path, "__MACOSX/Image/a.png", "__MACOSX/Mask/a.png", ".old/Image/a.png")
    assert find(tmp_path).root == tmp_path / "X_ray"


def test_a_row_for_each_layout_that_a_study_file_may_name() -> None:
    named = set(get_args(LayoutName)) - {"auto", *PHANTOM_LAYOUTS}
    assert named == set(LAYOUTS)


def test_given_normalisation_is_kept(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a.png", "Mask/a.png")
    assert find(tmp_path, normalise="none").normalise == "none"


def test_drawn_chests_are_patients_of_their_own_and_known_to_be(tmp_path: Path) -> None:
    write_phantoms("phantom-xray", tmp_path / "chests", cases=5, seed=0, size=32)
    dataset = find(tmp_path / "chests", layout="phantom-xray")
    assert len({item.group for item in dataset.items}) == 5
    assert dataset.notes == ()
    assert "each image counts as its own patient" in find(tmp_path / "chests").notes[0]
