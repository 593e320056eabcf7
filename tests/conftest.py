"""Fixtures that many tests share: a small prepared set of phantom patients."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import pytest
import torch

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import Split, make_splits
from seglib.data.store import Store
from tests.faults import FAULTS, TABLE, FaultTable


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("fault"):
            if mark.args not in {(name,) for name in FAULTS}:
                raise pytest.UsageError(f"{item.nodeid}: no fault {mark.args}; see tests/faults.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", action="store_true", help="write docs/reliability.md anew")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--fault-table"):
        config.pluginmanager.register(FaultTable(TABLE))
    # Undo what nohup or a shell's `&` did: what a process ignores, its children ignore, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Thousands of tests and three large libraries are no garbage: no collection looks at them."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Eight phantom patients of 32 px, four channels, three overlapping regions."""
    spec = DataSpec(layout="phantom-brats", cases=8, image_size=32, target="regions")
    return prepare(spec, None, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def split(store: Store) -> Split:
    return make_splits(store.index, SplitSpec(val=0.25, test=0.25)).search_part()


@pytest.fixture
def study_path(tmp_path: Path) -> Path:
    """A small search on phantoms that ends in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_STUDY)
    return path


TINY_STUDY = """\
name: tiny
method: random
metric: {name: dice, goal: maximize}
data: {layout: phantom-brats, cases: 8, image_size: 32, target: regions}
split: {val: 0.25, test: 0.25}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  base_filters: {values: [2, 4]}
  depth: {value: 2}
  epochs: {value: 3}
early_terminate: {type: asha, min_iter: 1, eta: 2}
run_cap: 4
tracking: {wandb: off}
"""
