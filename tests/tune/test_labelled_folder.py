"""Which layout, channels and classes a folder has for a model; all faults before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglib.errors import DataError, StudyFileError
from seglib.predict import Predictor
from seglib.target import Target
from tests.seglib.data.sources import save_pair, save_picture, write_patient, write_volume
from tests.seglib.networks_of_chance import BINARY, LUNGS, REGIONS, input_spec, model_of
from tune.labelled_folder import find_labelled, read_settings, require_readable

TUMOUR = BINARY.model_copy(update={"classes": ("tumour",)})
NEWER = Target(
    kind="regions",
    classes=("ET", "WT"),
    values={0: 0, 1: 1, 2: 1, 4: 2},
    members=((2,), (1, 2)),
)


def labelled(folder: Path, *settings: str, **inputs):
    predictor = Predictor(model_of(input_spec(**inputs)))
    return find_labelled(predictor, folder, read_settings(settings))


def pictures(folder: Path, *greys: int, num: int = 2) -> Path:
    """Pairs whose masks hold these values."""
    for number in range(num):
        image = np.random.default_rng(number).integers(0, 255, (12, 10), dtype=np.uint8)
        mask = np.zeros((12, 10), np.uint8)
        for row, grey in enumerate(greys):
            mask[2 + row, 2:5] = grey
        save_pair(folder, f"p{number}", image, mask)
    return folder


def test_classes_of_a_name_go_together_whatever_their_order(tmp_path: Path) -> None:
    write_patient(tmp_path, 1)
    target = REGIONS.model_copy(update={"classes": ("ET", "WT", "TC")})
    found = labelled(tmp_path, target=target, channels=("flair", "t1ce"), layout="brats")
    names = [found.plan.target.classes[place] for place in found.order]
    assert names == ["ET", "WT", "TC"]
    assert found.said[0].startswith("classes by name: WT = 1 or 2 or 4, TC")


def test_classes_without_names_go_by_the_values_that_the_model_learnt(tmp_path: Path) -> None:
    found = labelled(pictures(tmp_path, 156, 251), target=LUNGS)
    assert found.order == (0, 1)
    assert "by the grey values" in found.said[0]
    require_readable(found, tmp_path, lambda *given: None)


def test_one_class_without_a_name_is_the_one_class(tmp_path: Path) -> None:
    found = labelled(pictures(tmp_path, 255), target=TUMOUR)
    assert found.said[0] == "the model's one class, tumour, is held against foreground = 1 or 255"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), r"found class_1 = 1, class_2 = 2 in the folder ; wanted the model's classes, left"),
        (("data.classes={left_lung: [1]}",), r"found left_lung = 1 in the folder ; wanted the"),
    ],
)
def test_classes_that_are_not_the_models_are_refused(
    settings: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    seg = np.zeros((3, 12, 12), np.uint8)
    seg[1, 2:4], seg[1, 6:8] = 1, 2
    write_volume(tmp_path / "x_ct.nii.gz", np.arange(432, dtype=np.int16).reshape(3, 12, 12))
    write_volume(tmp_path / "x_mask.nii.gz", seg)
    with pytest.raises(DataError, match=message):
        labelled(tmp_path, *settings, target=LUNGS, normalise="window")
    told = labelled(
        tmp_path,
        "data.classes={right_lung: [2], left_lung: [1]}",
        target=LUNGS,
        normalise="window",
    )
    assert told.order == (1, 0)


def test_unknown_values_are_all_told_at_once(tmp_path: Path) -> None:
    found = labelled(pictures(tmp_path, 156, 250, num=3), target=LUNGS)
    with pytest.raises(DataError, match=r"3 problems\n.*grey values 250 ; wanted only 0, 156, 251"):
        require_readable(found, tmp_path, lambda *given: None)


def test_masks_without_any_class_are_refused(tmp_path: Path) -> None:
    found = labelled(pictures(tmp_path))
    with pytest.raises(DataError, match="nothing but grey values 0, which are background"):
        require_readable(found, tmp_path, lambda *given: None)


def test_a_channel_that_no_network_sees_may_be_missing(tmp_path: Path) -> None:
    write_patient(tmp_path, 1)
    spec = input_spec(target=NEWER, channels=("t1", "t1ce", "flair"), layout="brats")
    recipe = model_of(spec).members[0].recipe.model_copy(update={"channels": "flair+t1ce"})
    with pytest.raises(DataError, match="t1"):
        find_labelled(Predictor(model_of(spec)), tmp_path, {})
    classes = {"ET": (4,), "WT": (1, 2, 4)}
    found = find_labelled(Predictor(model_of(spec, recipe)), tmp_path, {"classes": classes})
    assert found.channels == ("t1ce", "flair")


def test_names_of_channels_that_do_not_fit_are_the_models(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the names are those of the channels that the model"):
        labelled(pictures(tmp_path, 255), channels=("red", "green", "blue"))


def test_images_without_masks_are_refused(tmp_path: Path) -> None:
    write_volume(tmp_path / "x.nii.gz", np.arange(432, dtype=np.int16).reshape(3, 12, 12))
    with pytest.raises(DataError, match="mask"):
        labelled(tmp_path, layout="nifti")


def test_settings_that_are_the_models_are_refused_all_at_once() -> None:
    with pytest.raises(StudyFileError, match="3 problems") as caught:
        read_settings(("image_size=64", "data.normalise=none", "method=grid"))
    assert "which is the model's to say" in str(caught.value)
    assert read_settings(("layout=pairs", "data.background=[0, 7]")) == {
        "layout": "pairs",
        "background": (0, 7),
    }


def test_pictures_for_a_model_of_volumes_are_doubted(tmp_path: Path) -> None:
    found = labelled(pictures(tmp_path, 255), layout="nifti")
    assert "they look different to it" in found.said[-1]
    save_picture(tmp_path / "Image" / "p9.png", np.zeros((12, 10), np.uint8))
    with pytest.raises(DataError, match=r"p9\.png"):
        labelled(tmp_path)
