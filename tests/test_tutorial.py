"""The tutorial's commands, all of them, one after another as a reader would type them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

TUTORIAL = Path(__file__).parents[1] / "docs/tutorial.md"
BLOCK = re.compile(r"^```(bash|yaml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SAVED_AS = re.compile(r"Save this as `([^`]+)`:\s*$")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_commands_of_the_tutorial_end_well(tmp_path):
    text = TUTORIAL.read_text(encoding="utf-8")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WANDB_MODE": "disabled",
    }
    for block in BLOCK.finditer(text):
        kind, content = block.groups()
        if kind == "yaml":
            (name,) = SAVED_AS.findall(text[: block.start()].rstrip())
            (tmp_path / name).write_text(content, encoding="utf-8")
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", content],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, (content, done.stdout[-3000:], done.stderr[-3000:])
    masks = [path.name for path in (tmp_path / "masks").rglob("*.png")]
    images = [path.name for path in (tmp_path / "new/Image").glob("*.png")]
    assert sorted(masks) == sorted(images)
    cases = pd.read_csv(tmp_path / "cases.csv")
    assert len(cases) == len(images)
    assert cases["dice"].mean() > 0.5
    for name in ("runs/mine/report.html", "mine-sheet.png", "runs/mine-retrain/model.pt"):
        assert (tmp_path / name).is_file()
