"""Ways to ask about a study file that is given as text; a run directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from seglib.data.store import Store
from seglib.errors import StudyFileError
from tune.run_directory import RunDirectory
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


@pytest.fixture
def folder(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "tiny")


@pytest.fixture
def begun(folder: RunDirectory, store: Store, study_path: Path) -> RunDirectory:
    """A folder in which a search was started once."""
    study = load_study(study_path, demo=False)
    folder.settle_study(study)
    folder.settle_splits(store, study)
    folder.settle_storage(None)
    folder.write_environment(store)
    return folder


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """The place of a run directory, as a folder; `machine` opens it by its URL."""
    return tmp_path / "far" / "tiny"


@pytest.fixture
def machine(tmp_path: Path, far: Path) -> Callable[[str], RunDirectory]:
    return lambda name: RunDirectory(tmp_path / name / "tiny", f"file://{far}")
