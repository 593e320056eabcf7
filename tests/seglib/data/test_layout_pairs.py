from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.data.source import Plan, read_item
from seglib.data.spec import DataSpec
from seglib.errors import Problem
from tests.seglib.data.folders import (
    faults,
    find,
    names,
    pictures,
    touch,
)
from tests.seglib.data.sources import SIZE, save_picture


@pytest.mark.parametrize("suffix", ["", "_mask", "_Mask", "_tumor", "_seg", "_label"])
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


def test_channels_come_from_the_first_image(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a.png", channels=3)
    pictures(tmp_path, "Mask/a.png")
    assert find(tmp_path).channels == ("red", "green", "blue")
    assert find(tmp_path, channels=["pre", "flair", "post"]).channels == ("pre", "flair", "post")
    assert find(tmp_path, channels=["flair"]).channels == ("flair",)  # its three are one
    save_picture(tmp_path / "Image" / "a.png", np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    (told,) = faults(tmp_path, channels=["flair"])
    wanted = "data.channels: found 1 names (flair) ; wanted 3, as a.png has 3 channels"
    assert told == f"{wanted}\n    hint: they differ: it is no grey picture"
    assert "named twice" in faults(tmp_path, channels=["a", "b", "a"])[0]


def test_other_folders_and_files_are_not_looked_at(tmp_path: Path) -> None:
    pictures(tmp_path, "MRI/Image/a.png", "MRI/Mask/a_mask.png", "MRI/MaskLabels/a_Labels.png")
    touch(tmp_path, "volumes/readme.txt", "SOURCE.md", "MRI/Image/.a.png", "MRI/Image/Thumbs.db")
    assert names(find(tmp_path)) == [(["a.png"], "a_mask.png")]


def test_targets_of_pairs(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a.png", "Mask/a.png")
    assert find(tmp_path).target.values == {0: 0, 1: 1, 255: 1}
    assert find(tmp_path, background=[0, 1]).target.values == {0: 0, 1: 0, 255: 1}
    both = find(tmp_path, classes={"lung": [156, 251]}).target
    assert both.values == {0: 0, 156: 1, 251: 1}
    for kind in ("organs", "regions"):
        (told,) = faults(tmp_path, target=kind)
        assert told.startswith(f"data.classes: found not given, with data.target: {kind}")


def test_chest_xrays_of_the_lab_are_plain_pairs(tmp_path: Path) -> None:
    pictures(tmp_path, "X_ray/Image/JPCLN001.png", "X_ray/Mask/JPCLN001.png")
    dataset = find(tmp_path)
    assert (dataset.layout, dataset.normalise) == ("pairs", "percentile")


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiff_files_are_read_as_they_were_written(
    kind: type[np.integer], compression: str | None, tmp_path: Path
) -> None:
    high = np.iinfo(kind).max
    image = np.linspace(0, high, SIZE * SIZE).reshape(SIZE, SIZE).astype(kind)
    mask = np.where(image > high // 2, 255, 0).astype(np.uint8)
    for folder, array in (("Image", image), ("Mask", mask)):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / "a.tif", compression=compression)
    dataset = find(tmp_path)
    problems: list[Problem] = []
    loaded = read_item(dataset.items[0], Plan.of(dataset, DataSpec(image_size=SIZE)), problems)
    assert loaded is not None, problems
    assert loaded.image.dtype == kind
    assert (loaded.image[0, ..., 0] == image).all()
    assert (loaded.labels[0] == (mask > 0)).all()
