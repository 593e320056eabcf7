from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from seglib.data.phantom import write_phantoms
from seglib.errors import DataError, StudyFileError
from tests.conftest import TINY_STUDY
from tests.seglib.data.sources import save_pair, write_pair, write_volume
from tune.cli import main
from tune.data_report import describe_data


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sheet is drawn where the command is given."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")


@pytest.fixture
def lungs(tmp_path: Path) -> Path:
    """CT phantoms in the lab's layout; one mask of 4 is empty."""
    write_phantoms("phantom-ct", tmp_path / "lungs", cases=6, seed=0, size=32)
    return tmp_path / "lungs"


def described(folder: Path, *settings: str, width: int = 80, sheet: Path | None = None) -> str:
    console = Console(file=io.StringIO(), width=width)
    try:
        describe_data(folder, settings, console, sheet=sheet)
    finally:
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
    return text


def test_counts_come_first_and_each_has_a_line(lungs: Path) -> None:
    text = described(lungs, "target=organs")
    assert max(len(line) for line in text.splitlines()) <= 80
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    assert lines[1] == "lungs"
    found = dict(line.split(":", 1) for line in lines[2:14])
    assert found["patients"].strip() == "6"
    assert found["cases"].strip() == "6 (each scored as one)"
    assert found["classes"].strip() == "left_lung = 156, right_lung = 251 (organs)"
    assert found["split"].strip() == "4 train, 1 validation, 1 test by default (patients)"
    assert found["channels"].strip().startswith("grey (0 to ")
    (left,) = [line.split() for line in lines if line.startswith(" left_lung")]
    assert left[:5] == ["left_lung", "156", "6", "of", "6"]
    assert 0 < float(left[5].rstrip("%")) < 50
    assert lines[-1] == "sheet: lungs-sheet.png"


def test_sheet_lies_where_asked_and_shows_pictures(lungs: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert f"sheet: {path}" in described(lungs, "target=organs", sheet=path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] == 1240
    outlines = [(pixels == colour).all(axis=-1).sum() for colour in ((255, 178, 0), (0, 200, 255))]
    assert min(outlines) > 50
    assert not list(Path().glob("*.png"))


def test_several_data_sets_have_a_page_and_a_sheet_each(lungs: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(lungs, both)
    for name in ("a", "b", "c"):
        write_pair(both / "X_ray", name)
    (both / "X_ray" / "Mask" / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"X_ray: Mask/b\.png: found an unreadable file"):
        described(both)
    assert sorted(path.name for path in Path().iterdir()) == [
        "both-sheet-CT.png",
        "both-sheet-X_ray.png",
    ]


def test_faults_are_told_after_the_counts_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        write_pair(tmp_path / "pairs", name)
    for name in ("d", "e"):
        image = np.arange(256, dtype=np.uint8).reshape(16, 16) + len(name)
        save_pair(tmp_path / "pairs", name, image, np.full_like(image, 77))
    assert main(["data", str(tmp_path / "pairs")]) == 2
    shown = capsys.readouterr()
    assert "content:      5 images; 2 of them have faults" in shown.out
    assert "split:        not known before the faults are mended" in shown.out
    assert shown.err.splitlines()[1] == (
        "  Mask/d.png and 1 more: found grey values 77 ; wanted only 0, 1, 255"
    )
    assert "Traceback" not in shown.err


def test_a_study_file_says_how_the_folder_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a1", "a2", "b1"):
        write_pair(tmp_path / "pairs", name)
    data = "data: {layout: pairs, patient: (.), image_size: 32}"
    study = re.sub("^data: .*$", data, TINY_STUDY, flags=re.MULTILINE)
    (tmp_path / "mine.yaml").write_text(study)
    assert main(["data", str(tmp_path / "pairs"), "--space", str(tmp_path / "mine.yaml")]) == 0
    assert "patients:     2" in capsys.readouterr().out


def test_nothing_readable_is_told_without_a_sheet(tmp_path: Path) -> None:
    write_pair(tmp_path / "pairs", "a")
    (tmp_path / "pairs" / "Mask" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="found an unreadable file"):
        described(tmp_path / "pairs")
    assert not list(Path().iterdir())


def test_too_few_patients_for_the_default_split_are_told(tmp_path: Path) -> None:
    write_pair(tmp_path / "pairs", "a")
    text = described(tmp_path / "pairs", width=160)
    assert "by default not possible: 1 patients; it takes more than 2" in text


def test_setting_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match="--set"):
        described(tmp_path, "image_size=many")


def test_sheet_that_cannot_be_written_is_told(lungs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--sheet: found .* which cannot be written"):
        described(lungs, sheet=tmp_path / "nowhere" / "sheet.png")


def test_masks_of_several_values_are_shown_as_organs(tmp_path: Path) -> None:
    masks = np.zeros((3, 16, 16), dtype=np.uint8)
    masks[1, 4:8, 4:8], masks[1, 9:12, 9:12] = 1, 2
    rng = np.random.default_rng(0)
    for case in ("a", "b"):
        write_volume(tmp_path / "ct" / f"{case}.nii.gz", rng.integers(0, 99, masks.shape, np.int16))
        write_volume(tmp_path / "ct" / f"{case}_mask.nii.gz", masks)
    assert "classes:      class_1 = 1, class_2 = 2 (organs)" in described(tmp_path / "ct")
    with pytest.raises(DataError, match="hold the values 1, 2"):
        described(tmp_path / "ct", "target=binary")
