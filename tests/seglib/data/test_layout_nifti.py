from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.errors import DataError
from tests.seglib.data.folders import OLD, faults, find, names, old_case, pictures, touch
from tests.seglib.data.sources import write_volume

SHAPE = (4, 12, 10)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, SHAPE).astype(np.int16)


def mask(*values: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for number, value in enumerate(values or (1,)):
        labels[1:3, 2:5, 2 * number : 2 * number + 2] = value
    return labels


def volumes(root: Path, *pairs: tuple[str, str], values: tuple[int, ...] = (1,)) -> Path:
    for seed, (first, second) in enumerate(pairs):
        write_volume(root / f"{first}.nii.gz", image(seed))
        write_volume(root / f"{second}.nii.gz", mask(*values))
    return root


@pytest.mark.parametrize(
    ("picture", "truth"),
    [
        ("id{0}_ct", "id{0}_lungs"),
        ("id{0}", "id{0}_mask"),
        ("id{0}", "id{0}_seg"),
        ("id{0}-mr", "id{0}-Label"),
        ("id_{0}_image", "id_{0}_ROI"),
        ("id{0}_lung", "id{0}_lung_mask"),
        ("P{0}/ct", "P{0}/segmentation"),
        ("a/P{0}/id", "a/P{0}/id_gt"),
        ("Image/id{0}", "Mask/id{0}"),
        ("set/imgs/id{0}_ct", "set/labels/id{0}_tumor"),
    ],
)
def test_volumes_and_masks_go_by_name(picture: str, truth: str, tmp_path: Path) -> None:
    pairs = [(picture.format(number), truth.format(number)) for number in (1, 2, 10)]
    dataset = find(volumes(tmp_path, *pairs))
    assert dataset.layout == "nifti"
    assert [item.images + item.masks for item in dataset.items] == [
        (tmp_path / f"{first}.nii.gz", tmp_path / f"{second}.nii.gz") for first, second in pairs
    ]
    assert len({item.case for item in dataset.items}) == 3
    assert all(item.group == item.case for item in dataset.items)


def test_a_case_is_called_by_its_file_or_else_by_its_folder(tmp_path: Path) -> None:
    volumes(tmp_path / "a", ("id1_ct", "id1_lungs"), ("P7/ct", "P7/mask"))
    assert [item.case for item in find(tmp_path / "a").items] == ["P7", "id1"]
    volumes(tmp_path / "b", ("x/id1", "x/id1_mask"), ("y/id1", "y/id1_mask"))
    assert [item.case for item in find(tmp_path / "b").items] == ["x/id1", "y/id1"]


def test_a_pattern_tells_the_patient(tmp_path: Path) -> None:
    pairs = [(f"p{p}_{visit}", f"p{p}_{visit}_mask") for p in (1, 2) for visit in (1, 2, 3)]
    volumes(tmp_path, *pairs)
    dataset = find(tmp_path)
    assert any(
        "look as if some were of the same, such as p1_1 and p1_2" in n for n in dataset.notes
    )
    dataset = find(tmp_path, patient=r"(p\d)")
    assert [item.group for item in dataset.items] == ["p1"] * 3 + ["p2"] * 3
    assert not any("look as if" in note for note in dataset.notes)


def test_where_names_do_not_tell_few_values_make_the_mask_and_a_note_says_so(
    tmp_path: Path,
) -> None:
    dataset = find(volumes(tmp_path, ("a", "a_kidney"), ("b", "b_kidney")))
    assert names(dataset) == [
        (["a.nii.gz"], "a_kidney.nii.gz"),
        (["b.nii.gz"], "b_kidney.nii.gz"),
    ]
    assert any(
        note.startswith("a_kidney.nii.gz is taken for the mask of a.nii.gz, as it holds few whole")
        for note in dataset.notes
    )
    dataset = find(volumes(tmp_path / "new", ("c_plain", "c_kidney")))
    assert names(dataset) == [(["c_plain.nii.gz"], "c_kidney.nii.gz")]


def test_two_volumes_that_may_both_be_images_are_refused(tmp_path: Path) -> None:
    for name in ("a", "a_late"):
        write_volume(tmp_path / f"{name}.nii.gz", image())
    (line,) = faults(tmp_path)
    assert line.startswith("a.nii.gz and a_late.nii.gz: found two volumes that may both be")


def test_orphans_and_doubles_are_told_all_at_once(tmp_path: Path) -> None:
    volumes(tmp_path, ("a_ct", "a_lungs"), ("b", "c_mask"), ("d_ct", "d_mask"))
    write_volume(tmp_path / "d_lungs.nii.gz", mask())
    told = "\n".join(faults(tmp_path))
    assert "b.nii.gz: found an image without a mask ; wanted b beside it" in told
    assert "c_mask.nii.gz: found a mask without an image ; wanted c beside it" in told
    assert "d: found 2 masks (d_lungs.nii.gz, d_mask.nii.gz) ; wanted one" in told
    assert len(told.splitlines()) == 3


def test_folders_of_other_layouts_are_left_to_them(tmp_path: Path) -> None:
    touch(tmp_path / "brats", *old_case("a"), *(f"b/b_{part}.nii" for part in OLD))
    assert find(tmp_path / "brats").layout == "brats"
    pictures(tmp_path / "pairs", "Image/a.png", "Mask/a.png")
    assert find(tmp_path / "pairs").layout == "pairs"
    for folder in ("brats", "pairs"):
        assert "wanted nifti: <case>_ct.nii.gz" in faults(tmp_path / folder, layout="nifti")[0]


def test_labels_of_a_binary_target_must_be_named(tmp_path: Path) -> None:
    volumes(tmp_path, ("a_ct", "a_lungs"), values=(1, 2))
    (line,) = faults(tmp_path)
    assert line == (
        "data.classes: found not given, and masks such as a_lungs.nii.gz hold the values 1, 2 ; "
        "wanted which of them are the foreground\n"
        "    hint: data.classes: {foreground: [1, 2]} takes all as one class; "
        "data.target: organs gives each a class of its own"
    )
    target = find(tmp_path, classes={"foreground": [1, 2]}).target
    assert target.values == {0: 0, 1: 1, 2: 1}
    assert find(tmp_path, classes={"left": [1]}, background=[0, 2]).target.classes == ("left",)


def test_one_and_255_are_foreground_by_themselves(tmp_path: Path) -> None:
    for value in (1, 255):
        root = volumes(tmp_path / str(value), ("a_ct", "a_mask"), values=(value,))
        assert find(root).target.values[value] == 1


def test_organs_are_named_by_their_values_and_a_note_says_so(tmp_path: Path) -> None:
    volumes(tmp_path, ("a_ct", "a_lungs"), values=(1, 4))
    dataset = find(tmp_path, target="organs")
    assert dataset.target.classes == ("class_1", "class_4")
    assert any("named by the values of the masks: class_1, class_4" in n for n in dataset.notes)
    assert "not given, with data.target: regions" in faults(tmp_path, target="regions")[0]


def test_hounsfield_units_are_recognised(tmp_path: Path) -> None:
    dataset = find(volumes(tmp_path / "ct", ("a_ct", "a_mask")))
    assert dataset.normalise == "window"
    assert any("window_hu: wide, -1000 to 400" in note for note in dataset.notes)
    assert any("lung, -1350 to 150" in n for n in find(tmp_path / "ct", window_hu="lung").notes)
    assert find(tmp_path / "ct", normalise="percentile").normalise == "percentile"
    for name, values in (("mr", np.abs(image())), ("z", image() / np.float32(3))):
        write_volume(tmp_path / name / "a_mr.nii.gz", values)
        write_volume(tmp_path / name / "a_mask.nii.gz", mask())
        assert find(tmp_path / name).normalise == "zscore"


def test_channels_of_a_volume_reach_the_store(tmp_path: Path) -> None:
    for number in range(3):
        both = np.stack([image(number), image(number + 9)], axis=-1)
        write_volume(tmp_path / "in" / f"{number}_mask.nii.gz", mask())
        write_channels(tmp_path / "in" / f"{number}_mr.nii.gz", both)
    assert find(tmp_path / "in").channels == ("channel_0", "channel_1")
    spec = DataSpec(channels=("t1", "t2"), image_size=16)
    store = prepare(spec, tmp_path / "in", tmp_path / "root")
    assert store.images.shape == (12, 16, 16, 2)
    assert not np.array_equal(store.images[..., 0], store.images[..., 1])
    (line,) = faults(tmp_path / "in", channels=["t1"])
    assert line == "data.channels: found 1 names (t1) ; wanted 2, as 0_mr.nii.gz has 2 channels"


def write_channels(path: Path, array: np.ndarray) -> None:
    import nibabel

    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0, 3), affine), path)


def test_axes_that_differ_between_nifti_files_stay_a_fault(tmp_path: Path) -> None:
    import nibabel

    volumes(tmp_path / "in", ("a_ct", "a_mask"))
    path = tmp_path / "in" / "a_mask.nii.gz"
    loaded = nibabel.load(path)
    turned = loaded.as_reoriented(np.array([[0, -1], [1, 1], [2, 1]]))
    nibabel.save(nibabel.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    with pytest.raises(DataError, match="found axes towards LAS ; wanted axes towards RAS"):
        prepare(DataSpec(image_size=16), tmp_path / "in", tmp_path / "root")
