from __future__ import annotations

from pathlib import Path

import pytest

from seglib.data.layouts import LAYOUTS
from tests.seglib.data.folders import (
    faults,
    find,
    old_case,
    pictures,
    touch,
)


@pytest.mark.parametrize("layout", ["auto", *LAYOUTS])
def test_a_folder_that_fits_nothing_is_told_what_would(layout: str, tmp_path: Path) -> None:
    touch(tmp_path, "scan.dcm", "notes.txt")
    (told,) = faults(tmp_path, layout=layout)
    assert told.startswith("data folder: found notes.txt, scan.dcm ; wanted")
    for name in LAYOUTS if layout == "auto" else [layout]:
        assert f"{name}: {LAYOUTS[name].looks_like}" in told


def test_missing_and_empty_folders_and_files_are_told(tmp_path: Path) -> None:
    assert faults(tmp_path / "gone") == ["data folder: found no such folder"]
    assert faults(tmp_path)[0].startswith("data folder: found an empty folder")
    touch(tmp_path, "file")
    assert faults(tmp_path / "file") == ["data folder: found a file ; wanted a folder"]
    (tmp_path / "Image").mkdir()
    (tmp_path / "Mask").mkdir()
    assert faults(tmp_path)[0].startswith("Image: found no image ; wanted files .png")


def test_a_folder_that_fits_twice_needs_a_layout(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"))
    pictures(tmp_path, "Image/a.png", "Mask/a.png")
    (told,) = faults(tmp_path)
    assert "a folder that fits brats and pairs ; wanted one layout" in told
    assert find(tmp_path, layout="pairs").layout == "pairs"


def test_given_normalisation_is_kept(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a.png", "Mask/a.png")
    assert find(tmp_path, normalise="none").normalise == "none"
