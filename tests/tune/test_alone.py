from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from seglib.checkpoint import load_checkpoint
from tune.cli import main


def test_fit_trains_one_recipe_and_goes_on_with_it(
    study_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", "--space", str(study_path), "--out", str(study_path.parent / "runs")]
    assert main(command) == 0
    folder = study_path.parent / "runs" / "tiny-fit"
    assert pd.read_csv(folder / "epochs.csv")["epoch"].tolist() == [1, 2, 3]
    assert (folder / "checkpoint" / "best.pt").exists()
    assert "epoch 3 of 3: dice 0." in capsys.readouterr().out
    assert main(command) == 0  # nothing is left
    again = capsys.readouterr().out
    assert "goes on after epoch 3" in again
    assert "epoch 1 of 3: " not in again
    assert "best: dice 0." in again
    state, _ = load_checkpoint(folder / "checkpoint" / "last.pt")
    assert len(state["rows"]) == 3


def test_fit_says_why_it_failed(study_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "--space", str(study_path), "--out", str(study_path.parent / "runs"),
               "--set", "depth={value: 6}"]  # fmt: skip
    assert main(command) == 1
    assert "infeasible: depth 6 leaves less than 2 pixels" in capsys.readouterr().out
