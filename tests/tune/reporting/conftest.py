"""Run directories for the report's tests; played once, and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seglib.data.store import Store
from tests.tune.reporting.runs import make_run, make_search, write_study
from tune.reporting.evidence import RunData, gather


@pytest.fixture(scope="session")
def _played(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Path:
    folder = tmp_path_factory.mktemp("played")
    for name, norm in (("task1", "batch"), ("task2", "none")):
        make_run(folder / "lab" / name, store, write_study(folder / f"{name}.yaml", norm))
    partial = write_study(folder / "partial.yaml")
    make_run(folder / "partial", store, partial, finish=3)
    return folder


@pytest.fixture(scope="session")
def suite_data(_played: Path) -> tuple[RunData, ...]:
    """The runs of :func:`suite`, read once: for tests that change no file."""
    return gather(_played / "lab")


@pytest.fixture(scope="session")
def task_data(suite_data: tuple[RunData, ...]) -> RunData:
    """The run of :func:`task`, read once."""
    return suite_data[0]


@pytest.fixture(scope="session")
def partial_data(_played: Path) -> RunData:
    """The run of :func:`partial`, read once."""
    (run,) = gather(_played / "partial")
    return run


@pytest.fixture
def suite(_played: Path, tmp_path: Path) -> Path:
    """Task 1 with batch normalisation, task 2 without: two runs, the same data and split."""
    return Path(shutil.copytree(_played / "lab", tmp_path / "lab"))


@pytest.fixture
def task(suite: Path) -> Path:
    """A complete grid: points 1a and 1b, three seeds each."""
    return suite / "task1"


@pytest.fixture
def partial(_played: Path, tmp_path: Path) -> Path:
    """Three of twelve trials complete (1a, 1b, 2a), the next (2b) after its first epoch."""
    return Path(shutil.copytree(_played / "partial", tmp_path / "partial"))


@pytest.fixture(scope="session")
def search_folder(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Path:
    """A random search of 14 trials: stopped, complete, one diverged, the last in training."""
    return make_search(tmp_path_factory.mktemp("searched") / "search", store).path


@pytest.fixture(scope="session")
def search(search_folder: Path) -> RunData:
    """The same, read once: nothing in it can be changed."""
    (run,) = gather(search_folder)
    return run
