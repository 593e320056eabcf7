"""Which images a folder holds, and what their masks are called: names alone decide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seglib.data.unlabelled import Wish, find_unlabelled
from seglib.errors import DataError
from tests.seglib.data.dicom_files import ROOT, stored_ct, write_series, write_xray
from tests.seglib.data.folders import new_case, old_case, pictures, touch

GREY = Wish(("grey",), ("grey",))
FLAT = Wish(("grey",), ("grey",), flat=True)
MRI = Wish(("flair", "t1ce", "t1", "t2"), ("flair", "t1ce", "t1", "t2"))


def found(root: Path, wish: Wish, notes: list[str] | None = None) -> dict[str, list[str]]:
    """Mask -> names of the files of its image."""
    return {
        one.mask: [path.name for path in one.item.image_files]
        for one in find_unlabelled(root, wish, notes)
    }


def faults(root: Path, wish: Wish) -> list[str]:
    with pytest.raises(DataError, match="problem") as caught:
        find_unlabelled(root, wish)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(("case_of", "joint"), [(old_case, "_"), (new_case, "-")])
def test_a_case_of_brats_is_its_channels_in_the_order_of_the_model(tmp_path, case_of, joint):
    touch(tmp_path, *case_of("HGG/B1"), *case_of("LGG/B2"))
    masks = found(tmp_path, MRI)
    assert list(masks) == [f"B1{joint}seg.nii.gz", f"B2{joint}seg.nii.gz"]
    ends = {"_": ("flair", "t1ce", "t1", "t2"), "-": ("t2f", "t1c", "t1n", "t2w")}[joint]
    assert masks[f"B1{joint}seg.nii.gz"] == [f"B1{joint}{end}.nii.gz" for end in ends]


def test_brats_needs_no_mask_and_no_channel_that_nobody_looks_at(tmp_path):
    touch(tmp_path, *old_case("B1", ("t1",)), *old_case("B2", ("t1", "seg"), suffix=".nii"))
    wish = Wish(MRI.channels, ("t1",))
    assert found(tmp_path, wish) == {"B1_seg.nii.gz": ["B1_t1.nii.gz"], "B2_seg.nii": ["B2_t1.nii"]}
    assert find_unlabelled(tmp_path, wish)[0].channels == ("t1",)
    assert found(tmp_path / "B1" / "B1_t1.nii.gz", wish) == {"B1_seg.nii.gz": ["B1_t1.nii.gz"]}


def test_channels_that_cases_lack_are_told_all_at_once(tmp_path):
    touch(tmp_path, *old_case("B1", ("t1", "flair")), *old_case("B2", ("t2",)), *old_case("B3"))
    assert faults(tmp_path, MRI) == [
        "B1: found no file for t1ce, t2 ; wanted flair, t1ce, t1, t2",
        "B2: found no file for flair, t1ce, t1 ; wanted flair, t1ce, t1, t2",
    ]


def test_nnunet_cases_are_named_as_their_labels_are(tmp_path):
    names = [f"c{case}_{channel:04d}.nii.gz" for case in (1, 2, 10) for channel in (0, 1)]
    touch(tmp_path, *(f"imagesTs/{name}" for name in names), "labelsTs/c1.nii.gz")
    wish = Wish(("t1", "t2"), ("t1", "t2"), numbered=True)
    assert found(tmp_path, wish) == {
        f"c{case}.nii.gz": [f"c{case}_0000.nii.gz", f"c{case}_0001.nii.gz"] for case in (1, 2, 10)
    }


def test_nnunet_pictures_of_one_file_hold_all_channels(tmp_path):
    pictures(tmp_path, "imagesTs/c_0000.png", "imagesTs/d_0000.png", channels=3)
    wish = Wish(("red", "green", "blue"), ("red", "green", "blue"), numbered=True)
    assert list(found(tmp_path, wish)) == ["c.png", "d.png"]
    assert find_unlabelled(tmp_path, wish)[0].channels == wish.channels


def test_channels_of_nnunet_go_by_the_names_in_dataset_json(tmp_path):
    touch(tmp_path, "imagesTs/c_0000.nii.gz", "imagesTs/c_0001.nii.gz", "imagesTs/c_0002.nii.gz")
    channels = {"channel_names": {"0": "ADC", "1": "T2w", "2": "DWI"}}
    (tmp_path / "dataset.json").write_text(json.dumps(channels))
    wish = Wish(("dwi", "t2w"), ("dwi", "t2w"), numbered=True)
    assert found(tmp_path, wish) == {"c.nii.gz": ["c_0002.nii.gz", "c_0001.nii.gz"]}


def test_an_nnunet_case_without_a_channel_is_told(tmp_path):
    touch(tmp_path, "imagesTs/c_0001.nii.gz")
    wish = Wish(("t1", "t2"), ("t1", "t2"), numbered=True)
    assert faults(tmp_path, wish) == [
        "c: found no file for t1 (_0000) ; wanted a file for each channel"
    ]


def test_pictures_that_end_in_four_digits_are_not_taken_for_channels(tmp_path):
    pictures(tmp_path, "scan_0000.png", "scan_0001.png")
    assert list(found(tmp_path, FLAT)) == ["scan_0000.png", "scan_0001.png"]


def test_decathlon_images_are_files_of_all_channels(tmp_path):
    touch(tmp_path, "imagesTr/x.nii.gz", "imagesTs/y.nii.gz", "labelsTr/x.nii.gz", "dataset.json")
    notes: list[str] = []
    assert found(tmp_path, MRI, notes) == {"x.nii.gz": ["x.nii.gz"], "y.nii.gz": ["y.nii.gz"]}
    assert notes == ["folders of masks are passed by: labelsTr"]


@pytest.mark.parametrize(
    ("files", "masks"),
    [
        (["a_ct.nii.gz", "a_lungs.nii.gz", "b_ct.nii.gz"], ["a_mask.nii.gz", "b_mask.nii.gz"]),
        (["a.nii", "a_mask.nii", "b.nii"], ["a_mask.nii", "b_mask.nii"]),
        (["P1/ct.nii.gz", "P1/seg.nii.gz", "P2/ct.nii.gz"], ["P1/mask.nii.gz", "P2/mask.nii.gz"]),
        (["Image/a.nii.gz", "Mask/a_label.nii.gz"], ["a.nii.gz"]),
        (["a_ct.nii.gz", "a_mr.nii.gz"], ["a_ct_mask.nii.gz", "a_mr_mask.nii.gz"]),
        (["x_lung.nii.gz", "y_lung.nii.gz"], ["x_mask.nii.gz", "y_mask.nii.gz"]),
        (["one/Image/a.nii", "one/Images/a.nii"], ["one/Image/a.nii.nii", "one/Images/a.nii.nii"]),
    ],
    ids=["endings", "bare", "folders", "two folders", "two scans", "only lungs", "same names"],
)
def test_volumes_are_found_and_their_masks_passed_by(tmp_path, files, masks):
    touch(tmp_path, *files)
    assert list(found(tmp_path, GREY)) == masks


def test_pictures_keep_their_names_and_folders(tmp_path):
    pictures(tmp_path, "A/Image/x10.png", "A/Image/x2.tif", "A/Mask/x2.png", "B/y.JPG")
    assert list(found(tmp_path, FLAT)) == ["A/x2.tif", "A/x10.png", "B/y.png"]


def test_montgomery_masks_are_passed_by(tmp_path):
    pictures(tmp_path, "CXR_png/x.png", "ManualMask/leftMask/x.png", "ManualMask/rightMask/x.png")
    assert list(found(tmp_path, FLAT)) == ["x.png"]


def test_lab_folders_have_two_kinds_of_masks_and_both_are_passed_by(tmp_path):
    names = ("MRI/Image/x.png", "MRI/Mask/x_Tumor.png", "MRI/MaskLabels/x_Labels.png")
    pictures(tmp_path, *names)
    assert list(found(tmp_path, FLAT)) == ["MRI/x.png"]


def test_masks_beside_their_images_are_passed_by_and_told(tmp_path):
    pictures(tmp_path, "x.png", "x_mask.png", "only_mask.png")
    notes: list[str] = []
    assert list(found(tmp_path, FLAT, notes)) == ["only_mask.png", "x.png"]
    assert notes == ["masks beside their images are passed by: 1, such as x_mask.png"]


def test_pictures_of_one_name_get_masks_of_two(tmp_path):
    pictures(tmp_path, "x.png", "x.jpg", "y.png")
    assert list(found(tmp_path, FLAT)) == ["x.jpg.png", "x.png.png", "y.png"]


def test_a_folder_called_unlabelled_is_no_folder_of_masks(tmp_path):
    pictures(tmp_path, "unlabelled/x.png")
    assert list(found(tmp_path, FLAT)) == ["unlabelled/x.png"]


def test_dicom_series_are_named_after_their_patients(tmp_path):
    for number in (1, 2):
        uids = {"StudyInstanceUID": f"{ROOT}.{number}", "SeriesInstanceUID": f"{ROOT}.{number}.1"}
        write_series(tmp_path / f"exam{number}", 2, PatientID=f"../P{number}", **uids)
    touch(tmp_path, "exam1/truth.nii.gz.txt")
    masks = found(tmp_path, GREY)
    assert masks == {f"-P{number}.nii.gz": ["IM002", "IM001"] for number in (1, 2)}


def test_volumes_called_after_a_series_are_its_masks(tmp_path):
    write_series(tmp_path / "in" / "exam", 2)
    touch(tmp_path / "in", "P1.nii.gz", "exam_lungs.nii.gz")
    notes: list[str] = []
    assert list(found(tmp_path / "in", GREY, notes)) == ["P1.nii.gz"]
    assert notes == ["masks beside their images are passed by: 2, such as P1.nii.gz"]


def test_an_xray_keeps_its_name_and_so_does_a_slice_without_a_place_for_a_model_of_pictures(
    tmp_path,
):
    write_xray(tmp_path / "xray" / "a.dcm", stored_ct(1))
    write_series(tmp_path / "slices", 2, ImagePositionPatient=None)
    assert list(found(tmp_path / "xray", GREY)) == ["a.png"]
    assert list(found(tmp_path / "slices", FLAT)) == ["IM001.png", "IM002.png"]
    assert list(found(tmp_path / "slices" / "IM001", GREY)) == ["IM001.png"]


def test_slices_with_places_are_one_volume_for_a_model_of_pictures_too(tmp_path):
    write_series(tmp_path / "in" / "slices", 3)
    write_xray(tmp_path / "in" / "a.dcm", stored_ct(1), SeriesInstanceUID=f"{ROOT}.7")
    touch(tmp_path / "in", "slices_mask.nii.gz")
    notes: list[str] = []
    masks = found(tmp_path / "in", FLAT, notes)
    assert masks == {"P1_2.nii.gz": ["IM003", "IM002", "IM001"], "a.png": ["a.dcm"]}
    assert notes == ["masks beside their images are passed by: 1, such as slices_mask.nii.gz"]


def test_a_number_with_dots_is_no_suffix(tmp_path):
    write_series(tmp_path / "in", 1)[0].rename(tmp_path / "1.2.840.7")
    assert list(found(tmp_path / "1.2.840.7", FLAT)) == ["1.2.840.7.png"]


def test_what_the_model_was_trained_on_comes_before_other_kinds(tmp_path):
    pictures(tmp_path, "preview.png")
    touch(tmp_path, "scan.nii.gz")
    notes: list[str] = []
    assert list(found(tmp_path, GREY, notes)) == ["scan_mask.nii.gz"]
    assert list(found(tmp_path, FLAT, notes)) == ["preview.png"]
    assert notes == [
        f"{kind} left out, as the model was trained on another kind: 1"
        for kind in ("pictures", "volumes")
    ]


def test_what_is_left_out_is_no_image(tmp_path):
    pictures(tmp_path, "x.png", "out/x.png", "old.png")
    left = {tmp_path / "out", tmp_path / "old.png"}
    assert list(found(tmp_path, Wish(("grey",), ("grey",), True, left_out=left.__contains__))) == [
        "x.png"
    ]


def test_nothing_to_predict_on_is_told(tmp_path):
    touch(tmp_path, "readme.txt")
    assert faults(tmp_path, GREY)[0].startswith("INPUT: found readme.txt ; wanted images: .png")
    assert faults(tmp_path / "gone", GREY) == [
        "INPUT: found nothing there ; wanted an image or a folder"
    ]
