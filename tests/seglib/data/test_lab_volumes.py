"""Faults of volumes, planted; see ``test_lab_faults.py``."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.seglib.data.sources import SIZE, write_patient, write_volume

CHANNELS, CASE = ("flair", "t1ce"), "BraTS2021_0000"


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    for number in (0, 1):
        write_patient(tmp_path / "brats", number)
    return tmp_path / "brats"


def test_scaled_volume_is_recognised(brats: Path, refused) -> None:
    for path in brats.rglob("*_seg.nii.gz"):
        seg = np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0)
        write_volume(path, (seg / 255).astype(np.float32))
    assert refused(brats, channels=CHANNELS) == [
        f"{CASE}0/{CASE}0_seg.nii.gz and 1 more: found grey values 0.00392157, 0.00784314, "
        "0.0156863, which are 1, 2 and 4 divided by 255 ; wanted whole numbers of at most 32 bits"
    ]


@pytest.mark.parametrize(
    ("spacing_mm", "depth", "found"),
    [
        (
            (2, 1.5, 1),
            6,
            "spacing (2.0, 1.5, 1.0) mm ; wanted spacing (2.0, 1.0, 1.0) mm",
        ),
        ((2, 1, 1), 5, "size (5, 24, 24) ; wanted size (6, 24, 24)"),
    ],
)
def test_mask_on_another_grid(
    brats: Path, refused, spacing_mm: tuple[float, ...], depth: int, found: str
) -> None:
    seg = np.zeros((depth, SIZE, SIZE), dtype=np.uint8)
    write_volume(brats / f"{CASE}1" / f"{CASE}1_seg.nii.gz", seg, spacing_mm)
    assert refused(brats, channels=CHANNELS) == [
        f"{CASE}1/{CASE}1_seg.nii.gz beside {CASE}1_flair.nii.gz: found {found}"
    ]


def test_volume_with_nan(brats: Path, refused) -> None:
    array = np.ones((6, SIZE, SIZE), dtype=np.float32)
    array[0, 0, :3] = np.nan
    write_volume(brats / f"{CASE}1" / f"{CASE}1_t1ce.nii.gz", array)
    assert refused(brats, channels=CHANNELS) == [
        f"{CASE}1/{CASE}1_t1ce.nii.gz: found 3 values that are NaN or infinite ; "
        "wanted finite numbers only"
    ]


@pytest.mark.parametrize(
    ("scale", "shift", "found"),
    [
        ((1, 1, 1), (6, 8), "origin 10.0 mm apart ; wanted the same origin"),
        ((1, -1, 1), (0, 0), "axes towards RPS ; wanted axes towards RAS"),
        (
            (1.25, 1, 1),
            (0, 0),
            "spacing (2.0, 1.0, 1.25) mm ; wanted spacing (2.0, 1.0, 1.0) mm",
        ),
    ],
)
def test_modalities_that_do_not_lie_on_each_other(
    brats: Path, refused, scale: tuple[float, ...], shift: tuple[float, ...], found: str
) -> None:
    path = brats / f"{CASE}1" / f"{CASE}1_t1ce.nii.gz"
    image = nibabel.load(path)
    affine = image.affine @ np.diag([*scale, 1.0])
    affine[:2, 3] += shift
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), path)
    assert refused(brats, channels=CHANNELS) == [
        f"{CASE}1/{CASE}1_t1ce.nii.gz beside {CASE}1_flair.nii.gz: found {found}"
    ]
