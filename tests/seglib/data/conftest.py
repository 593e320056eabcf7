"""Data folders that the tests of preparation start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.errors import DataError
from tests.seglib.data.sources import write_pair, write_patient
from tune.cli import main


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


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Faults of a folder in one line each, the same from preparation and from ``segtune data``."""

    def refused(root: Path, **spec: Any) -> list[str]:
        with pytest.raises(DataError) as caught:
            prepare(DataSpec(**spec), root, tmp_path / "stores")
        lines = [str(problem).splitlines()[0] for problem in caught.value.problems]
        texts = {key: str(value).replace("'", "").replace("(", "[").replace(")", "]")
                 for key, value in spec.items()}  # fmt: skip
        sets = [word for key, text in texts.items() for word in ("--set", f"data.{key}={text}")]
        sheet = str(tmp_path / "sheet.png")
        assert main(["data", str(root), "--sheet", sheet, *sets]) == caught.value.exit_code == 2
        shown = capsys.readouterr().err.splitlines()
        assert [line[2:] for line in shown if line[2:].strip() in lines] == lines
        return lines

    return refused
