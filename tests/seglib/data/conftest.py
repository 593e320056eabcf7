"""Data folders that the tests of preparation start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.seglib.data.sources import write_pair, write_patient


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    for number in range(3):
        write_patient(tmp_path / "brats", number)
    return tmp_path / "brats"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_pair(tmp_path / "pairs", name)
    return tmp_path / "pairs"
