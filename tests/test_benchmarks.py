"""The comparison with other libraries: ours is measured, and what cannot be is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from seglib.processor import has_fast_bf16

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY = {
    "core": -1, "rounds": 1, "train": 4, "val": 2, "size": 32, "base": 4, "depth": 2, "batch": 2,
}  # fmt: skip


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_installed_is_left_as_it_is(tmp_path):
    setup = (BENCHMARKS / "setup.sh").read_text()
    pins = setup.partition('[monai]="')[2].partition('"')[0]
    (tmp_path / "monai").mkdir()
    (tmp_path / "monai" / "pins").write_text(pins + "\n")
    done = run(BENCHMARKS / "setup.sh", "--dir", tmp_path, "monai")
    assert done.returncode == 0
    assert "there already" in done.stdout
    assert [path.name for path in (tmp_path / "monai").iterdir()] == ["pins"]


def test_unknown_peer_is_named_before_anything_is_made(tmp_path):
    done = run(BENCHMARKS / "setup.sh", "--dir", tmp_path, "monai", "mona")
    assert done.returncode == 2
    assert "found 'mona' ; wanted one of" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_missing_peers_are_named_and_ours_is_measured(tmp_path):
    broken = tmp_path / "keras" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho no such library >&2\nexit 1\n")
    broken.chmod(0o755)
    words = [f"--{name}={value}" for name, value in {**TINY, "dir": tmp_path}.items()]
    done = run(sys.executable, BENCHMARKS / "training.py", *words)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 3 + has_fast_bf16()
    cells = [cell.strip() for cell in table[2].split("|")[1:-1]]
    assert cells[0] == "ours, fp32"
    assert float(cells[1].split()[0]) > 0
    assert float(cells[-2]) > 100
    assert "left out: Keras, the lab's U-Net: it failed: no such library" in lines
    assert "left out: MONAI, DynUNet: not installed: benchmarks/setup.sh monai" in lines
