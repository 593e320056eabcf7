from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from seglib.checkpoint import load_checkpoint, previous_of
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import DivergedError, InfeasibleError
from seglib.fit import Epoch
from tune import trainable, trial
from tune.trainable import train
from tune.trial import FAILURE, NOTE, READY, ROW
from tune.trial_files import BEST, CASES, EPOCHS, LAST

Config = dict[str, Any]
MEASURED = ("seconds", "peak_memory_mb")


class Crash(BaseException):
    """The process dies here; not an Exception, as nothing may catch it."""


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    monkeypatch.setattr(trainable.ray_tune, "report", lambda sent: rows.extend(unpack(sent)))
    return rows


def unpack(sent: dict[str, Any]) -> list[dict[str, Any]]:
    """The row or the failure that was sent, and nothing beside it."""
    assert len(sent) == 1
    return [] if READY in sent else [sent.get(ROW, sent)]


def build_config(
    store: Store, split: Split, folder: Path, num_reported: int = 0, **knobs: Any
) -> Config:
    recipe = {"base_filters": 2, "depth": 1, "epochs": 3, "learning_rate": 0.01} | knobs
    return {
        "number": 0, "recipe": recipe, "seed": 5, "num_reported": num_reported,
        "folder": str(folder), "store": str(store.path), "split": asdict(split),
        "metric": "train_loss", "maximize": False, "threads": 1,
    }  # fmt: skip


@pytest.fixture
def configure(store: Store, split: Split) -> Callable[..., Config]:
    return partial(build_config, store, split)


@pytest.fixture(scope="module")
def undisturbed(
    store: Store, split: Split, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Its best epoch is the second of three, so each crash meets another case."""
    rows: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainable.ray_tune, "report", lambda sent: rows.extend(unpack(sent)))
        train(build_config(store, split, tmp_path_factory.mktemp("undisturbed")))
    assert best_epoch(rows) == 2
    return rows


def best_epoch(rows: list[dict[str, Any]]) -> int:
    return int(min(rows, key=lambda row: row["train_loss"])["epoch"])


def lasting(rows: list[dict[str, Any]]) -> list[str]:
    """What must be the same in another run; as text, for NaN is not equal to itself."""
    return [repr({k: v for k, v in row.items() if k not in MEASURED}) for row in rows]


def assert_files_agree(folder: Path, rows: list[dict[str, Any]]) -> None:
    checkpoint, _ = load_checkpoint(folder / BEST)
    assert len(checkpoint["rows"]) == best_epoch(rows)
    assert set(pd.read_csv(folder / CASES)["epoch"]) == {best_epoch(rows)}
    table = pd.read_csv(folder / EPOCHS)
    assert list(table["epoch"]) == list(range(1, len(rows) + 1))
    assert list(table["score"]) == pytest.approx([row["score"] for row in rows])


def test_each_epoch_is_on_disk_before_it_is_reported(
    tmp_path: Path, configure: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []

    def report(sent: dict[str, Any]) -> None:
        if READY in sent:
            found.append(READY)
        else:
            found.append((sent[ROW]["epoch"], len(load_checkpoint(tmp_path / LAST)[0]["rows"])))

    monkeypatch.setattr(trainable.ray_tune, "report", report)
    train(configure(tmp_path))
    assert found == [READY, (1, 1), (2, 2), (3, 3)]


def crash_in_report(patch: pytest.MonkeyPatch, epoch: int, folder: Path) -> None:
    report = trainable.ray_tune.report
    patch.setattr(
        trainable.ray_tune,
        "report",
        lambda sent: die() if sent.get(ROW, {}).get("epoch") == epoch else report(sent),
    )


def crash_before_saving(patch: pytest.MonkeyPatch, epoch: int, folder: Path) -> None:
    save = Epoch.save
    patch.setattr(Epoch, "save", lambda self, *a: die() if self.number == epoch else save(self, *a))


def crash_between_the_renames(patch: pytest.MonkeyPatch, epoch: int, folder: Path) -> None:
    save = Epoch.save

    def half(self: Epoch, path: Path, cases: str) -> None:
        if self.number != epoch:
            save(self, path, cases)
            return
        if path.exists():
            path.replace(previous_of(path))
        die()

    patch.setattr(Epoch, "save", half)


def crash_after_saving(patch: pytest.MonkeyPatch, epoch: int, folder: Path) -> None:
    keep = trial._keep_best
    patch.setattr(
        trial,
        "_keep_best",
        lambda where, rows, maximize: die() if len(rows) == epoch else keep(where, rows, maximize),
    )


def crash_before_the_table(patch: pytest.MonkeyPatch, epoch: int, folder: Path) -> None:
    write = trial._write_epochs
    patch.setattr(
        trial,
        "_write_epochs",
        lambda where, rows: die() if len(rows) == epoch else write(where, rows),
    )


def die() -> None:
    raise Crash


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize(
    "crash",
    [
        crash_before_saving,
        crash_between_the_renames,
        crash_after_saving,
        crash_before_the_table,
        crash_in_report,
    ],
)
def test_crash_loses_no_epoch_and_repeats_none(
    crash: Callable[[pytest.MonkeyPatch, int, Path], None],
    epoch: int,
    tmp_path: Path,
    configure: Callable[..., Config],
    reported: list[dict[str, Any]],
    undisturbed: list[dict[str, Any]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        crash(patch, epoch, tmp_path)
        with pytest.raises(Crash):
            train(configure(tmp_path))
    train(configure(tmp_path, num_reported=len(reported)))
    assert lasting(reported) == lasting(undisturbed)
    assert_files_agree(tmp_path, undisturbed)


def test_damaged_checkpoint_goes_on_from_the_one_before_and_says_so(
    tmp_path: Path,
    configure: Callable[..., Config],
    reported: list[dict[str, Any]],
    undisturbed: list[dict[str, Any]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        crash_in_report(patch, 2, tmp_path)
        with pytest.raises(Crash):
            train(configure(tmp_path))
    last = tmp_path / LAST
    last.write_bytes(last.read_bytes()[:-500])
    train(configure(tmp_path, num_reported=1))
    said = reported.pop(1)
    assert "last.pt: found a damaged checkpoint" in said[NOTE]
    assert (tmp_path / "notes.txt").read_text() == f"{said[NOTE]}\n"
    assert lasting(reported) == lasting(undisturbed)
    assert_files_agree(tmp_path, undisturbed)


def test_finished_trial_trains_no_further(
    tmp_path: Path, configure: Callable[..., Config], reported: list[dict[str, Any]]
) -> None:
    train(configure(tmp_path))
    before = (tmp_path / LAST).stat().st_mtime_ns
    reported.clear()
    train(configure(tmp_path, num_reported=3))
    assert reported == []
    assert (tmp_path / LAST).stat().st_mtime_ns == before


def test_impossible_recipe_is_a_failure_row_and_no_error_file(
    tmp_path: Path, configure: Callable[..., Config], reported: list[dict[str, Any]]
) -> None:
    train(configure(tmp_path, depth=7))
    assert [list(row) for row in reported] == [[FAILURE]]
    assert reported[0][FAILURE].startswith("infeasible: depth 7 leaves less than 2 pixels")


@pytest.mark.parametrize(
    ("error", "said", "traced"),
    [
        (DivergedError("epoch 2: loss nan"), "diverged: epoch 2: loss nan", False),
        (InfeasibleError("too big"), "infeasible: too big", False),
        (RuntimeError("CUDA error\nand much more"), "RuntimeError: CUDA error", True),
        (KeyError(), "KeyError: ", True),
    ],
)
def test_error_becomes_one_failure_row(
    error: Exception,
    said: str,
    traced: bool,
    tmp_path: Path,
    configure: Callable[..., Config],
    reported: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(trial, "fit", fail)
    train(configure(tmp_path / "trials" / "0"))
    assert reported == [{FAILURE: said}]
    file = tmp_path / "trials" / "0" / "error.txt"
    assert file.exists() == traced
    assert not traced or type(error).__name__ in file.read_text()


def test_diverging_training_keeps_the_epochs_before(
    tmp_path: Path, configure: Callable[..., Config], reported: list[dict[str, Any]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        crash_in_report(patch, 2, tmp_path)
        with pytest.raises(Crash):
            train(configure(tmp_path))
    state, _ = load_checkpoint(tmp_path / LAST)
    state["model"] = {
        name: value * torch.nan if value.is_floating_point() else value
        for name, value in state["model"].items()
    }
    torch.save(state, tmp_path / LAST)
    train(configure(tmp_path, num_reported=1))
    assert [row.get("epoch") for row in reported] == [1, 2, None]
    assert reported[-1][FAILURE].startswith("diverged: epoch 3")
