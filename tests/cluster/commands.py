"""`segtune` as a process of its own, as somebody types it beside a cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["SEGTUNE", "TINY", "assert_nowhere", "job_of", "segtune"]

SEGTUNE = Path(sys.executable).with_name("segtune")

TINY = """\
name: tiny
method: random
metric: {name: dice, goal: maximize}
data: {layout: phantom-brats, cases: 8, image_size: 32, target: regions}
split: {val: 0.25, test: 0.25}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  base_filters: {value: 2}
  depth: {value: 2}
  epochs: {value: 3}
run_cap: 2
tracking: {wandb: off}
"""


def segtune(
    *words: object, environment: Mapping[str, str], code: int = 0, folder: Path | None = None
) -> str:
    """Run it to its end; what it said on both streams. Its exit code must be this one."""
    done = subprocess.run(
        [SEGTUNE, *map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def job_of(said: str) -> str:
    """The id that `segtune submit` has told."""
    found = re.search(r"^submitted: (segtune-\S+)$", said, re.MULTILINE)
    assert found is not None, said
    return found[1]


def assert_nowhere(secrets: list[str], folders: list[Path], said: str) -> None:
    """In no file of these folders, and not in this text."""
    contents = {}
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with suppress(FileNotFoundError):  # the search goes on meanwhile
            contents[path] = path.read_bytes()
    assert len(contents) > 10
    for secret in secrets:
        assert secret not in said
        assert not [path for path, content in contents.items() if secret.encode() in content]
