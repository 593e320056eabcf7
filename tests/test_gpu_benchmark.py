"""The benchmark of GPUs runs everywhere, so that it does not rot where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(tmp_path: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """From elsewhere, as from a checkout that is not installed."""
    python = [sys.executable, "-W", "error"]
    return subprocess.run(
        [*python, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_all_tables_are_made_without_a_gpu(tmp_path: Path) -> None:
    done = run(tmp_path, SCRIPT, "--device", "cpu", "--small")
    assert done.returncode == 0, done.stderr
    heads = [line for line in done.stdout.splitlines() if line.startswith("|---")]
    assert len(heads) == 6
    for said in ("bf16", "predicted GB", "pinned, all steps", "compiled, CUDA graphs", "trials on"):
        assert said in done.stdout
    assert "nan" not in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_a_sentence_and_has_loaded_nothing_of_the_search(
    tmp_path: Path,
) -> None:
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import gpu\n"
    code += "sys.argv = ['gpu.py']; answer = gpu.main()\n"
    code += "print(sorted({'ray', 'optuna', 'wandb', 'yaml', 'tune'} & set(sys.modules)))\n"
    done = run(tmp_path, "-c", code + "sys.exit(answer)")
    assert (done.returncode, done.stdout) == (2, "[]\n"), done.stderr
    assert done.stderr.startswith("error: torch sees no GPU here")
    assert len(done.stderr.splitlines()) == 1
