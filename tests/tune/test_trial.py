"""What a trial leaves on disk when it was let through all its epochs, and when it was not."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.evaluate import evaluate
from seglib.legacy import LEGACY_FIGURES
from seglib.unet import UNet
from tests.tune.test_trainable import build_config
from tune import trial
from tune.cli import main
from tune.trial import FAILURE, ROW, run_trial
from tune.trial_files import CASES, EPOCHS, FINAL, LAST, LEGACY, NOTES

Run = Callable[..., list[dict[str, Any]]]
FILES = (FINAL, LEGACY)


@pytest.fixture
def run(store: Store, split: Split, tmp_path: Path) -> Run:
    """Run a trial of three epochs, or go on with it; ``stop`` leaves after that epoch."""
    return partial(_run, store, split, tmp_path)


def _run(store: Store, split: Split, folder: Path, stop: int = 0, **knobs: Any) -> list[Any]:
    sent: list[dict[str, Any]] = []

    def report(row: dict[str, Any]) -> None:
        sent.append(row)
        if stop and len(sent) == stop:
            sys.exit(0)  # what Ray does to a trial that is stopped

    config = build_config(store, split, folder, **knobs)
    if stop:
        with pytest.raises(SystemExit):
            run_trial(config, report)
    else:
        run_trial(config, report)
    return sent


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def test_files_hold_the_network_after_its_last_epoch(
    run: Run, store: Store, split: Split, tmp_path: Path
) -> None:
    rows = run()
    rows_of_val = split.rows(store.index, "val")
    wanted = evaluate(tmp_path / LAST, store, rows_of_val)
    final, legacy = (pd.read_csv(tmp_path / name) for name in FILES)
    pd.testing.assert_frame_equal(final, wanted.per_case, check_dtype=False)
    assert legacy.to_dict("records") == [pytest.approx(wanted.legacy)]
    assert tuple(legacy.columns) == LEGACY_FIGURES
    means = final.groupby("class", sort=False)["precision"].mean()
    assert means["WT"] == pytest.approx(rows[-1][ROW]["precision_WT"])


def test_last_epoch_is_scored_even_where_another_was_best(run: Run, tmp_path: Path) -> None:
    rows = run()
    best = min(rows, key=lambda sent: sent[ROW]["train_loss"])[ROW]
    assert best["epoch"] < 3
    assert set(pd.read_csv(tmp_path / CASES)["epoch"]) == {best["epoch"]}
    final = pd.read_csv(tmp_path / FINAL)
    last = rows[-1][ROW]
    assert final[final["class"] == "WT"]["dice"].mean() == pytest.approx(last["dice_WT"])


def test_trial_that_is_stopped_has_neither_file(run: Run, tmp_path: Path) -> None:
    run(stop=2)
    assert not any((tmp_path / name).exists() for name in FILES)


@pytest.mark.slow
@pytest.mark.parametrize("lacking", [FILES, (FINAL,), (LEGACY,)])
def test_finished_trial_writes_what_lacks_and_trains_nothing(
    lacking: tuple[str, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = contents(tmp_path)
    for name in lacking:
        (tmp_path / name).unlink()
    assert run(num_reported=3) == []
    assert contents(tmp_path) == before
    monkeypatch.setattr(trial, "evaluate", None)  # not asked when nothing lacks
    assert run(num_reported=3) == []


@pytest.mark.slow
def test_death_while_scoring_is_made_up_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = contents(tmp_path)
    for name in FILES:
        (tmp_path / name).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(trial, "write_whole", lambda path, text: sys.exit(9))
        run(stop=-1, num_reported=3)
    assert not any((tmp_path / name).exists() for name in FILES)
    run(num_reported=3)
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_longer_training_forgets_the_end_of_the_shorter_one(run: Run, tmp_path: Path) -> None:
    run()
    run(stop=1, num_reported=3, epochs=5)
    assert not any((tmp_path / name).exists() for name in FILES)
    run(num_reported=4, epochs=5)
    assert all((tmp_path / name).exists() for name in FILES)


def test_trial_sees_the_channels_of_its_recipe(run: Run, tmp_path: Path) -> None:
    assert len(run(channels="t1ce+flair")) == 3
    assert (tmp_path / FINAL).exists()


def test_channel_that_the_data_lack_is_a_failure_in_words(run: Run) -> None:
    (sent,) = run(channels="flair+pet")
    assert sent[FAILURE].startswith("infeasible: no channel pet in these data, only flair, t1ce")


def test_shortage_of_memory_is_noted_once_and_in_every_row(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = UNet.forward

    def limited(self: UNet, image: torch.Tensor) -> list[torch.Tensor]:
        if self.training and len(image) > 4:
            raise MemoryError
        return forward(self, image)

    monkeypatch.setattr(UNet, "forward", limited)
    sent = run(stop=1) + run(num_reported=1)
    assert [row[ROW]["micro_batch"] for row in sent] == [4, 4, 4]
    assert list(pd.read_csv(tmp_path / EPOCHS)["micro_batch"]) == [4, 4, 4]
    assert (tmp_path / NOTES).read_text().splitlines() == [
        "epoch 1: out of memory, trained on 4 at a time, gradients added up to the batch of 8; "
        "batch normalisation has the statistics of the smaller part"
    ]


@pytest.mark.parametrize("joined", [False, True])
def test_compiled_networks_of_a_cluster_stay_on_their_machine(
    joined: bool,
    store: Store,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGTUNE_NODE_CACHE", str(tmp_path / "node"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(trial, "fit", lambda *args, **more: asked.append(more) or iter(()))
    shared = str(tmp_path / "compiled")
    config = build_config(store, split, tmp_path / "trial")
    run_trial(config | {"compiled": shared, "joined": joined}, lambda told: None)
    assert asked[0]["compile_mode"] == "default"
    own = str(tmp_path / "node" / "compiled" / platform.node())
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == (own if joined else shared)


@pytest.mark.slow
def test_search_scores_the_last_epoch_of_complete_trials_and_of_no_other(
    study_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = study_path.parent / "runs"
    assert main(["run", "--space", str(study_path), "--out", str(out), "--trials", "6"]) == 0
    table = pd.read_csv(out / "tiny" / "leaderboard.csv").set_index("trial")
    assert set(table["state"]) == {"COMPLETE", "PRUNED"}
    for number, state in table["state"].items():
        folder = out / "tiny" / "trials" / str(number)
        assert (folder / "epochs.csv").exists()
        for name in FILES:
            assert (folder / name).exists() == (state == "COMPLETE"), (number, state, name)
