from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import make_splits
from seglib.errors import InfeasibleError
from seglib.memory import is_out_of_memory, shrink_to_fit
from seglib.recipe import Recipe
from tests.tune.test_trainable import build_config

CPU_WORDS = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
NETWORK: dict[str, Any] = {"recipe": Recipe(base_filters=8), "image_size": 64}
NETWORK["device"] = torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "yes"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError(f"[enforce fail at alloc_cpu.cpp:127] err == 0. {CPU_WORDS}"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: Exception, yes: bool) -> None:
    assert is_out_of_memory(error) == yes


@pytest.mark.parametrize(("most", "sizes"), [(99, [5, 3, 2, 1]), (2, [5, 1])])
def test_size_halves_until_one_fails_too(most: int, sizes: list[int]) -> None:
    tried: list[int] = []

    def attempt(size: int) -> None:
        tried.append(size)
        raise MemoryError

    said = r"one image at a time; lower image_size 64, base_filters 8 or depth 4 \(MemoryError\)"
    with pytest.raises(InfeasibleError, match=said):
        shrink_to_fit(attempt, 5, most=most, **NETWORK)
    assert tried == sizes


def test_other_errors_are_not_tried_again() -> None:
    tried: list[int] = []

    def attempt(size: int) -> None:
        tried.append(size)
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        shrink_to_fit(attempt, 4, most=4, **NETWORK)
    assert tried == [4]


def test_process_trains_on_without_a_library_that_remembers_its_failure() -> None:
    used: list[object] = []

    def attempt(size: int) -> int:
        used.append(torch.backends.mkldnn.enabled)
        if size > 1:
            raise RuntimeError("could not create a primitive")
        return size

    before = torch.backends.mkldnn.enabled
    try:
        assert shrink_to_fit(attempt, 2, most=2, **NETWORK) == 1
    finally:
        torch.backends.mkldnn.enabled = before
    assert used == [before, False]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Twelve X-rays; an image takes 50 MB where the network has 32 filters."""
    spec = DataSpec(layout="phantom-xray", cases=12, image_size=128)
    store = prepare(spec, None, tmp_path_factory.mktemp("prepared"))
    split = make_splits(store.index, SplitSpec(val=0.25, test=0)).search_part()
    return build_config(store, split, Path(), depth=1, batch_size=16, epochs=1, precision="fp32")


def run_limited(config: dict[str, Any], folder: Path, filters: int, limit_mb: int) -> Any:
    """What the trial reports that may take only so much more memory, see ``limited``."""
    recipe = config["recipe"] | {"base_filters": filters}
    told = json.dumps(config | {"folder": str(folder), "recipe": recipe})
    done = subprocess.run(
        [sys.executable, "-m", "tests.seglib.limited", told, str(limit_mb)],
        capture_output=True, text=True, check=False, timeout=120,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.fault("out-of-memory")
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits addresses as Linux does")
def test_trial_that_really_runs_out_of_memory_finishes(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (sent,) = run_limited(config, tmp_path, 32, 250)
    assert 1 <= sent["row"]["micro_batch"] <= 5  # the half of 9 images, rounded up
    said = f"epoch 1: out of memory, trained on {sent['row']['micro_batch']} at a time"
    assert (tmp_path / "250" / "notes.txt").read_text().startswith(said)
    assert (tmp_path / "250" / "final.csv").exists()


@pytest.mark.fault("out-of-memory")
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits addresses as Linux does")
def test_trial_whose_single_image_does_not_fit_is_infeasible(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (sent,) = run_limited(config, tmp_path, 256, 100)
    assert sent["failure"].startswith(
        "infeasible: out of memory with one image at a time; lower image_size 128, base_filters 256"
    )
    assert not (tmp_path / "100" / "error.txt").exists()
