from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from seglib.checkpoint import load_checkpoint
from tune.cli import main
from tune.study_file import load_study


def test_fit_trains_one_recipe_and_goes_on_with_it(
    study_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", "--space", str(study_path), "--out", str(study_path.parent / "runs")]
    assert main(command) == 0
    folder = study_path.parent / "runs" / "tiny-fit"
    assert pd.read_csv(folder / "epochs.csv")["epoch"].tolist() == [1, 2, 3]
    assert (folder / "checkpoint" / "best.pt").exists()
    out = capsys.readouterr().out
    assert "epoch 3 of 3: dice 0." in out
    assert "as the lab's notebooks score it, over batches, 0." in out
    assert main(command) == 0  # nothing is left
    again = capsys.readouterr().out
    assert "goes on after epoch 3" in again
    assert "epoch 1 of 3: " not in again
    assert "best: dice 0." in again
    state, _ = load_checkpoint(folder / "checkpoint" / "last.pt")
    assert len(state["rows"]) == 3


def test_fit_of_a_grid_trains_its_first_row_under_its_first_seed(study_path: Path) -> None:
    words = ["method=grid", "learning_rate=[1e-3, 2e-3]", "run_cap=null", "seeds=[4]",
             "points=[{learning_rate: 3e-3, base_filters: 2}]"]  # fmt: skip
    command = ["fit", "--space", str(study_path), "--out", str(study_path.parent / "runs")]
    assert main([*command, *(part for word in words for part in ("--set", word))]) == 0
    folder = study_path.parent / "runs" / "tiny-fit"
    state, _ = load_checkpoint(folder / "checkpoint" / "last.pt")
    assert '"learning_rate":0.003' in state["recipe"]
    assert state["seed"] == load_study(study_path, demo=False).trial_seed(0, 4)


def test_fit_says_why_it_failed(study_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "--space", str(study_path), "--out", str(study_path.parent / "runs"),
               "--set", "depth={value: 6}"]  # fmt: skip
    assert main(command) == 1
    assert "infeasible: depth 6 leaves less than 2 pixels" in capsys.readouterr().out
