from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglib.data.source import Plan, read_item
from seglib.data.spec import DataSpec
from seglib.errors import Problem
from tests.seglib.data.folders import faults, find, pictures
from tests.seglib.data.sources import SIZE, save_picture

PLACES = {
    "as published": ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"),
    "flat": ("Image", "leftMask", "rightMask"),
    "deeper": ("Montgomery/CXR_png", "Montgomery/leftMask", "Montgomery/rightMask"),
}


def montgomery(root: Path, *stems: str, place: str = "as published") -> Path:
    return pictures(root, *(f"{folder}/{stem}.png" for folder in PLACES[place] for stem in stems))


@pytest.mark.parametrize("place", PLACES)
def test_each_image_has_a_mask_of_each_lung(place: str, tmp_path: Path) -> None:
    dataset = find(montgomery(tmp_path, "MCUCXR_0002_0", "MCUCXR_0001_0", place=place))
    assert dataset.layout == "montgomery"
    assert [(i.case, i.group, i.slice) for i in dataset.items] == [
        (stem, stem, None) for stem in ("MCUCXR_0001_0", "MCUCXR_0002_0")
    ]
    for item in dataset.items:
        assert [path.parent.name for path in item.masks] == ["leftMask", "rightMask"]
        assert {path.stem for path in item.files} == {item.case}
    assert dataset.notes == ()


@pytest.mark.parametrize("white", [1, 255])
def test_left_and_right_come_out_as_labels(white: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    left, right = (np.zeros((SIZE, SIZE), np.uint8) for _ in range(2))
    left[4:9, 14:20], right[4:9, 3:9] = white, white
    image = rng.integers(0, 255, (SIZE, SIZE), dtype=np.uint8)
    for folder, array in zip(PLACES["flat"], (image, left, right), strict=True):
        save_picture(tmp_path / folder / "a.png", array)
    for kind, labels in (("organs", (1, 2)), ("binary", (1, 1))):
        dataset = find(tmp_path, target=kind)
        problems: list[Problem] = []
        loaded = read_item(dataset.items[0], Plan.of(dataset, DataSpec(image_size=SIZE)), problems)
        assert loaded is not None, problems
        assert (loaded.labels[0] == labels[0] * (left > 0) + labels[1] * (right > 0)).all()
    assert dataset.target.classes == ("lung",)
    assert find(tmp_path, target="organs").target.classes == ("left_lung", "right_lung")


def test_a_pattern_gives_the_patient(tmp_path: Path) -> None:
    dataset = find(montgomery(tmp_path, "p1_a", "p1_b"), patient="(.*)_")
    assert [(item.case, item.group) for item in dataset.items] == [("p1_a", "p1"), ("p1_b", "p1")]


def test_a_missing_side_and_an_orphan_are_named_with_their_folder(tmp_path: Path) -> None:
    montgomery(tmp_path, "a", "b")
    (tmp_path / "ManualMask/leftMask/a.png").unlink()
    (tmp_path / "CXR_png/b.png").unlink()
    told = faults(tmp_path)
    assert told[0].startswith("CXR_png/a.png: found an image without a mask ; wanted a in leftMask")
    (other,) = told[1:]
    assert other.startswith("leftMask/b.png and 1 more: found a mask without an image ; wanted b")


def test_folders_without_images_are_told(tmp_path: Path) -> None:
    for folder in PLACES["as published"]:
        (tmp_path / folder).mkdir(parents=True)
    assert faults(tmp_path)[0].startswith("CXR_png: found no image ; wanted files .png")
