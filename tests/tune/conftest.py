"""Ways to ask about a study file that is given as text."""

from __future__ import annotations

import pytest

from seglib.errors import StudyFileError
from tune.study_file import load_study


@pytest.fixture
def load(tmp_path):
    def load(text: str, *overrides: str, demo: bool = False):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_study(path, overrides, demo=demo)

    return load


@pytest.fixture
def problems(load):
    def problems(text: str, *overrides: str, demo: bool = False) -> list[str]:
        with pytest.raises(StudyFileError, match="problem") as caught:
            load(text, *overrides, demo=demo)
        return [str(problem) for problem in caught.value.problems]

    return problems
