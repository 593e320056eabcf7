from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.data.layouts import find_dataset
from seglib.data.survey import Survey, survey_dataset
from seglib.errors import Problem
from tests.seglib.data.sources import PAIRS, REGIONS, save_pair, write_patient
from tune.contact_sheet import draw_sheet

COLOUR = (255, 178, 0)
RED = (197, 34, 31)


@pytest.fixture
def patients(tmp_path: Path) -> Survey:
    for number in range(3):
        write_patient(tmp_path / "brats", number)
    return survey_dataset(find_dataset(REGIONS, tmp_path / "brats"), REGIONS)


def drawn(survey: Survey, path: Path) -> np.ndarray:
    draw_sheet(survey, path, title="a title", summary="a $summary", scaling="z-score")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((pixels == colour).all(axis=-1).sum())


def test_channels_stand_side_by_side_in_equal_tiles(patients: Survey, tmp_path: Path) -> None:
    pixels = drawn(patients, tmp_path / "sheet.png")
    filled = (pixels[76 : 76 + 195] < 250).any(axis=(0, 2))  # the first row of panels
    widths = np.diff(np.flatnonzero(np.diff(filled, prepend=False, append=False)))[::2]
    assert len(widths) == 6
    assert set(widths.tolist()) == {195}
    assert count(pixels, COLOUR) > 100
    assert count(pixels, RED) == 0


def test_data_without_masks_have_no_outline_and_no_legend(patients: Survey, tmp_path: Path) -> None:
    items = tuple(replace(item, masks=()) for item in patients.dataset.items)
    bare = survey_dataset(replace(patients.dataset, items=items), REGIONS)
    assert count(drawn(bare, tmp_path / "without.png"), COLOUR) == 0


def test_faults_are_marked_in_red(patients: Survey, tmp_path: Path) -> None:
    findings = replace(patients.findings, problems=(Problem("x", "y"),))
    assert count(drawn(replace(patients, findings=findings), tmp_path / "bad.png"), RED) > 20


def test_colour_images_are_shown_in_colour(tmp_path: Path) -> None:
    image = np.zeros((24, 24, 3), dtype=np.uint8)
    image[..., 1] = np.arange(24) * 10
    image[0] = 1  # no channel is blank
    mask = np.zeros((24, 24), dtype=np.uint8)
    mask[5:9, 5:9] = 255
    save_pair(tmp_path / "pairs", "a", image, mask)
    survey = survey_dataset(find_dataset(PAIRS, tmp_path / "pairs"), PAIRS)
    pixels = drawn(survey, tmp_path / "sheet.png").astype(int)
    green = (pixels[..., 1] > 100) & (pixels[..., [0, 2]] < 60).all(axis=-1)
    assert green.sum() > 5_000
