from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.errors import DataError
from tests.seglib.data.dicom_files import ROOT, stored_ct, write_dicom, write_series, write_xray
from tests.seglib.data.folders import faults, find, pictures, touch
from tests.seglib.data.sources import save_picture

SHAPE = (5, 40, 36)
LPS = np.array([[-1.5, 0, 0, 30], [0, -2.0, 0, 40], [0, 0, 2.5, 0], [0, 0, 0, 1]])


def labels() -> np.ndarray:
    """A mask that looks different from every side, (Z, H, W)."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 5:20, 4:10] = 1
    return mask


def write_mask(path: Path, *, flips: tuple[int, ...] = (), affine: np.ndarray = LPS) -> None:
    """On the grid of ``write_series``, stored along other axes."""
    volume = labels().transpose(2, 1, 0)
    image = nibabel.Nifti1Image(volume, affine)
    axes = np.array([[i, -1 if i in flips else 1] for i in range(3)])
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image.as_reoriented(axes), path)


def patients(root: Path, count: int = 3) -> Path:
    for number in range(1, count + 1):
        uids = {"StudyInstanceUID": f"{ROOT}.{number}", "SeriesInstanceUID": f"{ROOT}.{number}.1"}
        write_series(root / f"exam{number}" / "CT", PatientID=f"P{number}", **uids)
    return root


def test_each_series_is_a_case_and_its_patient_the_group(tmp_path: Path) -> None:
    touch(patients(tmp_path), "SOURCE.md", "DICOMDIR", "exam1/CT/notes.txt", "exam1/.hidden")
    dataset = find(tmp_path)
    assert dataset.layout == "dicom"
    assert [(item.case, item.group) for item in dataset.items] == [
        ("P1", "P1"),
        ("P2", "P2"),
        ("P3", "P3"),
    ]
    (stack,) = dataset.items[0].images
    assert isinstance(stack, tuple)
    assert [path.name for path in stack] == ["IM005", "IM004", "IM003", "IM002", "IM001"]
    assert dataset.normalise == "window"
    assert any("window_hu: wide, -1000 to 400" in note for note in dataset.notes)


def test_without_masks_a_note_says_so_and_preparation_refuses(tmp_path: Path) -> None:
    dataset = find(patients(tmp_path / "in"))
    assert all(item.masks == () for item in dataset.items)
    assert any(note.startswith("no masks: the images can be looked at") for note in dataset.notes)
    for target in ("organs", "regions"):
        assert find(tmp_path / "in", target=target).target.classes == ("foreground",)
    with pytest.raises(DataError, match="masks: found none beside 3 images"):
        prepare(DataSpec(), tmp_path / "in", tmp_path / "root")


@pytest.mark.parametrize(
    "name",
    ["P{0}", "P{0}_mask", "exam{0}", "exam{0}_lungs", ROOT + ".{0}.1", "../exam{0}/seg"],
)
def test_a_mask_is_found_by_the_names_of_its_series(name: str, tmp_path: Path) -> None:
    patients(tmp_path)
    for number in (1, 2, 3):
        write_mask(tmp_path / "truth" / f"{name.format(number)}.nii.gz")
    dataset = find(tmp_path)
    assert [item.masks[0].resolve().name for item in dataset.items] == [
        f"{name.format(number).removeprefix(f'../exam{number}/')}.nii.gz" for number in (1, 2, 3)
    ]


def test_masks_that_fit_none_or_several_are_told(tmp_path: Path) -> None:
    patients(tmp_path, 2)
    for name in ("P9_seg", "CT"):
        write_mask(tmp_path / "truth" / f"{name}.nii.gz")
    told = "\n".join(faults(tmp_path, layout="dicom"))
    assert "truth/P9_seg.nii.gz: found a mask that fits none ; wanted the name of a series'" in told
    assert "truth/CT.nii.gz: found a mask that fits 2 series (P1, P2) ; wanted" in told


def test_two_masks_for_a_series_are_told(tmp_path: Path) -> None:
    patients(tmp_path, 1)
    write_mask(tmp_path / "one" / "P1_seg.nii.gz")
    write_mask(tmp_path / "two" / "P1_mask.nii.gz")
    (line,) = faults(tmp_path)
    assert line.startswith("P1: found 2 masks (one/P1_seg.nii.gz, two/P1_mask.nii.gz)")


def test_series_without_a_mask_are_left_out_where_others_have_one(tmp_path: Path) -> None:
    patients(tmp_path)
    write_mask(tmp_path / "P2.nii.gz")
    dataset = find(tmp_path)
    assert [item.case for item in dataset.items] == ["P2"]
    assert "2 series have no mask and are left out" in dataset.notes


def test_several_series_of_a_patient_are_numbered(tmp_path: Path) -> None:
    for number in (3, 7):
        uid = f"{ROOT}.{number}"
        write_series(tmp_path / f"s{number}", SeriesInstanceUID=uid, SeriesNumber=number)
    assert [(i.case, i.group) for i in find(tmp_path).items] == [("P1_3", "P1"), ("P1_7", "P1")]


def test_without_a_patient_the_study_counts_then_the_folder(tmp_path: Path) -> None:
    for number in (1, 2):
        uids = {"StudyInstanceUID": f"{ROOT}.{number}", "SeriesInstanceUID": f"{ROOT}.{number}.1"}
        write_series(tmp_path / "a" / f"{number}", PatientID="", **uids)
        nothing = dict.fromkeys(uids, "")
        write_series(tmp_path / "b" / f"{number}", PatientID=None, **nothing)
    dataset = find(tmp_path / "a")
    assert [item.group for item in dataset.items] == [f"{ROOT}.1", f"{ROOT}.2"]
    assert any("2 series without a PatientID: the study counts" in note for note in dataset.notes)
    dataset = find(tmp_path / "b")
    assert [item.group for item in dataset.items] == ["1", "2"]
    assert any("the folder counts as the patient" in note for note in dataset.notes)
    dataset = find(tmp_path / "b", patient=r"^(\d)/")
    assert [item.group for item in dataset.items] == ["1", "2"]
    assert not any("counts as the patient" in note for note in dataset.notes)


def test_one_patient_with_many_studies_is_doubted(tmp_path: Path) -> None:
    for number in (1, 2):
        uids = {"StudyInstanceUID": f"{ROOT}.{number}", "SeriesInstanceUID": f"{ROOT}.{number}.1"}
        write_series(tmp_path / f"{number}", PatientID="ANON", **uids)
    assert any("all 2 studies are of one patient, 'ANON'" in n for n in find(tmp_path).notes)


def test_what_is_no_image_is_left_out_with_a_note(tmp_path: Path) -> None:
    patients(tmp_path, 1)
    report = {"Modality": "SR", "Rows": None, "Columns": None, "PixelData": None}
    kind = "1.2.840.10008.5.1.4.1.1.88.11"
    write_dicom(tmp_path / "report", stored_ct(0), SOPClassUID=kind, **report)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    write_dicom(tmp_path / "scout", stored_ct(0), **scout)
    dataset = find(tmp_path)
    assert len(dataset.items) == 1
    assert "1 files of modality SR, which is no image are left out" in dataset.notes
    assert any("LOCALIZER" in note for note in dataset.notes)


def test_files_that_should_be_images_and_are_cut_are_told(tmp_path: Path) -> None:
    patients(tmp_path, 1)
    (tmp_path / "exam1" / "CT" / "IM000.dcm").write_text("nothing")
    cut = tmp_path / "exam1" / "CT" / "IM003"
    cut.write_bytes(cut.read_bytes()[:600])
    assert faults(tmp_path) == [
        "IM000.dcm: found an unreadable file (no DICOM in it) ; wanted a whole, undamaged file",
        "IM003: found an unreadable file (it ends before its image) ; wanted a whole file",
    ]


def test_xrays_are_images_by_themselves(tmp_path: Path) -> None:
    for number in (1, 2):
        write_xray(tmp_path / f"{number}.dcm", stored_ct(number), PatientID=f"P{number}")
    dataset = find(tmp_path)
    assert [item.images for item in dataset.items] == [
        (dataset.root / "1.dcm",),
        (dataset.root / "2.dcm",),
    ]
    assert dataset.normalise == "percentile"


def test_modality_decides_how_to_normalise_and_must_be_one(tmp_path: Path) -> None:
    mr = {"Modality": "MR", "RescaleIntercept": None, "SeriesInstanceUID": f"{ROOT}.5"}
    write_series(tmp_path / "mr", **mr)
    assert find(tmp_path).normalise == "zscore"
    write_series(tmp_path / "raw", **{**mr, "Modality": "CT", "SeriesInstanceUID": f"{ROOT}.6"})
    assert find(tmp_path / "raw").normalise == "percentile"
    (line,) = faults(tmp_path)
    assert "found images of modalities CT: 1, MR: 1 ; wanted one" in line


@pytest.mark.parametrize("flips", [(), (0, 1), (2,), (0, 1, 2)])
def test_a_mask_stored_along_other_axes_falls_on_the_image(
    flips: tuple[int, ...], tmp_path: Path
) -> None:
    patients(tmp_path / "in")
    for number in (1, 2, 3):
        write_mask(tmp_path / "in" / f"P{number}.nii.gz", flips=flips)
    spec = DataSpec(image_size=40, drop_empty=False)
    store = prepare(spec, tmp_path / "in", tmp_path / "root")
    assert np.array_equal(store.masks[:5, :, 2:38], labels())
    assert store.info.unit == "mm"


def test_a_mask_that_lies_elsewhere_is_a_fault(tmp_path: Path) -> None:
    patients(tmp_path / "in", 1)
    moved = LPS.copy()
    moved[0, 3] += 4
    write_mask(tmp_path / "in" / "P1.nii.gz", affine=moved)
    with pytest.raises(DataError, match=r"P1\.nii\.gz beside IM005 and 4 more: found origin 4\.0"):
        prepare(DataSpec(image_size=40), tmp_path / "in", tmp_path / "root")


def test_a_missing_slice_is_named_from_the_data_folder_on(tmp_path: Path) -> None:
    patients(tmp_path / "in", 2)
    for number in (1, 2):
        write_mask(tmp_path / "in" / f"P{number}.nii.gz")
    (tmp_path / "in" / "exam2" / "CT" / "IM003").unlink()
    with pytest.raises(DataError, match=r"exam2/CT/IM002: found 5 mm from IM004 to here"):
        prepare(DataSpec(image_size=40), tmp_path / "in", tmp_path / "root")


def test_dicom_images_beside_pictures_of_masks_are_pairs(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        path = tmp_path / "in" / "Image" / f"x{number}.dcm"
        write_xray(path, stored_ct(number), PatientID=f"P{number // 2}")
        save_picture(tmp_path / "in" / "Mask" / f"x{number}.png", labels()[1] * 255)
    dataset = find(tmp_path / "in")
    assert dataset.layout == "pairs"
    assert [item.group for item in dataset.items] == ["P0", "P1", "P1"]
    assert dataset.normalise == "percentile"
    store = prepare(DataSpec(image_size=40), tmp_path / "in", tmp_path / "root")
    assert np.array_equal(store.masks[0, :, 2:38], labels()[1])


def test_pictures_beside_a_series_do_not_make_it_pairs(tmp_path: Path) -> None:
    pictures(patients(tmp_path, 1), "preview.png", "other/Mask/a.png")
    assert find(tmp_path).layout == "dicom"
