"""A trial costs the driver the same after many trials as after few: what has ended is settled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tune.test_ledger import open_ledger, row
from tune import entries
from tune.ledger import Ledger
from tune.retention import KEPT, CheckpointKeeper

TRIALS = 40


@pytest.fixture
def ledger(study_path: Path) -> Ledger:
    return open_ledger(study_path, f"run_cap={TRIALS}", "early_terminate={type: none}")


def train_one(ledger: Ledger) -> int:
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, row(1, order.number / TRIALS))
    ledger.finish(order.number)
    return order.number


def test_trial_that_has_ended_is_read_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    to_entry = entries.to_entry
    monkeypatch.setattr(
        entries,
        "to_entry",
        lambda trial, names: read.append(trial.number) or to_entry(trial, names),
    )
    for _ in range(TRIALS):
        number = train_one(ledger)
        assert [entry.number for entry in ledger.entries()][-1] == number
    assert max(read.count(number) for number in range(TRIALS)) <= 3


def test_checkpoint_is_removed_once(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, **more: removed.append(path))
    keeper = CheckpointKeeper(ledger, tmp_path)
    for _ in range(TRIALS):
        keeper.finished(train_one(ledger))
    assert len(removed) == TRIALS - KEPT
    assert len(set(removed)) == len(removed)
