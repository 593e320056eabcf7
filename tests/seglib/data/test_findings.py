from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seglib.data.convert import convert
from seglib.data.dataset import Item
from seglib.data.findings import Findings, judge
from seglib.data.layouts import find_dataset
from seglib.data.prepare import prepare
from seglib.data.source import Plan
from seglib.errors import DataError
from tests.seglib.data.sources import (
    PAIRS,
    REGIONS,
    SIZE,
    save_pair,
    save_picture,
    write_pair,
    write_patient,
    write_volume,
)


def test_all_faults_are_listed_at_once(pairs: Path, tmp_path: Path) -> None:
    square = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE)
    mask = np.where(square > 200, 255, 0).astype(np.uint8)
    save_pair(pairs, "d", square, np.where(mask > 0, 77, 0).astype(np.uint8))
    save_pair(pairs, "e", square, mask[:-2])
    save_pair(pairs, "f", np.full_like(square, 9), mask)
    save_pair(pairs, "g", np.stack([square, square, square // 2], axis=2), mask)
    save_pair(pairs, "h", square, mask)
    (pairs / "Mask" / "h.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        prepare(PAIRS, pairs, tmp_path / "root")
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    assert "Mask/d.png: found grey values 77 ; wanted only 0, 1, 255" in text
    assert "Mask/e.png beside e.png: found size (22, 24) ; wanted size (24, 24)" in text
    assert "Image/f.png: found one value only (9) in channel grey" in text
    assert "Image/g.png: found 3 channels ; wanted 1 (grey)" in text
    assert "hint: its three channels differ" in text
    assert "Mask/h.png: found" in text
    assert not [path for path in (tmp_path / "root" / "stores").iterdir() if path.is_dir()]


def test_fault_of_many_files_is_one_line(tmp_path: Path) -> None:
    for number in range(25):
        save_pair(
            tmp_path / "pairs",
            f"x{number}",
            np.eye(16, dtype=np.uint8) * (number + 1),
            np.full((16, 16), 3, dtype=np.uint8),
        )
    with pytest.raises(DataError, match=r"x0\.png and 24 more: found grey values 3") as caught:
        prepare(PAIRS, tmp_path / "pairs", tmp_path / "root")
    assert len(caught.value.problems) == 1


def test_volumes_on_other_grids_are_refused(tmp_path: Path) -> None:
    flair = {}
    for number in range(3):
        folder = write_patient(tmp_path / "brats", number)
        flair[number] = folder / f"{folder.name}_flair.nii.gz"
    array = np.arange(6 * SIZE * SIZE, dtype=np.int16).reshape(6, SIZE, SIZE)
    write_volume(flair[0], array, (2, 1, 1.5))
    write_volume(flair[1], array, (2, -1, 1))
    array = array.astype(np.float32)
    array[0, 0, 0] = np.nan
    write_volume(flair[2], array)
    with pytest.raises(DataError) as caught:
        prepare(REGIONS, tmp_path / "brats", tmp_path / "root")
    text = str(caught.value)
    assert "found spacing (2.0, 1.0, 1.0) mm ; wanted spacing (2.0, 1.0, 1.5) mm" in text
    assert "found axes towards RAS ; wanted axes towards RPS" in text
    assert "00002_flair.nii.gz: found 1 values that are NaN" in text


def test_all_empty_masks_are_an_error(tmp_path: Path) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_pair(tmp_path / "pairs", "a", image, np.zeros_like(image))
    with pytest.raises(DataError, match="found no foreground at all in 1 masks"):
        prepare(PAIRS, tmp_path / "pairs", tmp_path / "root")


def test_class_absent_from_the_set_is_an_error(pairs: Path, tmp_path: Path) -> None:
    spec = PAIRS.model_copy(
        update={"target": "organs", "classes": {"lung": (255,), "heart": (128,)}}
    )
    with pytest.raises(DataError, match="found class 'heart' in none of 3 masks"):
        prepare(spec, pairs, tmp_path / "root")


def test_label_that_resizing_would_lose_is_an_error(tmp_path: Path) -> None:
    image = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)
    mask = np.zeros_like(image)
    mask[8:24, 8:24], mask[40, 40] = 156, 251
    save_pair(tmp_path / "pairs", "a", image, mask)
    classes = {"left": (156,), "right": (251,)}
    spec = PAIRS.model_copy(update={"target": "organs", "image_size": 16, "classes": classes})
    with pytest.raises(DataError, match=r"label 2 \(grey value 251\) lost on the way, 1 pixels"):
        prepare(spec, tmp_path / "pairs", tmp_path / "root")
    whole = prepare(spec.model_copy(update={"image_size": 64}), tmp_path / "pairs", tmp_path / "r")
    assert np.unique(whole.masks).tolist() == [0, 1, 2]


def test_blank_slice_is_fine_in_a_stack_only(tmp_path: Path) -> None:
    root = tmp_path / "pairs"
    spec = PAIRS.model_copy(update={"patient": r"(.+)_\d+"})
    for name in ("Im1_1", "Im1_2", "Im2_1"):
        write_pair(root, name)
    blank = np.zeros((SIZE, SIZE), dtype=np.uint8)
    save_pair(root, "Im1_3", blank, blank)
    store = prepare(spec, root, tmp_path / "root")
    assert "1 slice has a blank channel" in store.info.notes
    assert len(store) == 4
    save_pair(root, "Im3_1", blank, blank)
    with pytest.raises(DataError, match=r"Im3_1\.png: found one value only \(0\)"):
        prepare(spec, root, tmp_path / "root")


def test_patients_that_share_an_image_count_as_one(pairs: Path, tmp_path: Path) -> None:
    for folder in ("Image", "Mask"):
        (pairs / folder / "z.png").write_bytes((pairs / folder / "a.png").read_bytes())
    store = prepare(PAIRS, pairs, tmp_path / "root")
    assert store.index["group"].tolist() == ["a", "b", "c", "a"]
    assert store.index["case"].tolist() == ["a", "b", "c", "z"]
    assert store.info.notes[-1] == (
        "1 image is there under another patient too, such as z.png (a copy of a.png): "
        "those patients count as one in a split"
    )


def test_same_image_with_two_masks_is_noted(pairs: Path, tmp_path: Path) -> None:
    (pairs / "Image" / "z.png").write_bytes((pairs / "Image" / "a.png").read_bytes())
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[3:5] = 255
    save_picture(pairs / "Mask" / "z.png", mask)
    notes = prepare(PAIRS, pairs, tmp_path / "root").info.notes
    assert "1 image is there twice with different masks, such as a.png and z.png" in notes


def test_images_without_a_mask_are_told_from_those_with(pairs: Path) -> None:
    dataset = find_dataset(PAIRS, pairs)
    bare = tuple(replace(item, masks=()) for item in dataset.items)

    def judged(items: tuple[Item, ...]) -> Findings:
        mixed = replace(dataset, items=items)
        plan = Plan.of(mixed, PAIRS)
        return judge(mixed, plan, [convert(item, plan, None) for item in items])

    assert judged(bare).problems == ()
    (fault,) = judged((*bare[:2], dataset.items[2])).problems
    assert str(fault) == "Image/a.png and 1 more: found no mask ; wanted a mask for every image"
