"""What ends a search, and what it never starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tune.test_ledger import open_ledger, play
from tune.ledger import Ledger
from tune.storage import open_storage
from tune.study_file import load_study


def test_unfinished_trial_that_no_longer_fits_does_not_end_the_search(study_path: Path) -> None:
    before = open_ledger(study_path)
    first = before.ask()
    assert first is not None
    study = load_study(study_path, demo=False)
    storage = open_storage(study_path.parent / "journal.log")
    after = Ledger(study, storage, lambda r: "too wide" if r == first.recipe else "")
    following = after.ask()
    assert following is not None
    assert following.number > first.number
    assert after.entry(first.number).state == "FAIL"


@pytest.mark.fault("out-of-memory")
def test_infeasible_proposal_is_told_and_never_started(study_path: Path) -> None:
    study = load_study(study_path, demo=False)
    storage = open_storage(study_path.parent / "journal.log")
    ledger = Ledger(study, storage, lambda r: "too wide" if r.base_filters > 2 else "")
    started = []
    while (order := ledger.ask()) is not None:
        started.append(order.recipe.base_filters)
        play(ledger, order, [0.1, 0.2, 0.3])
    assert started == [2, 2, 2, 2]
    refused = [entry for entry in ledger.entries() if not entry.started]
    assert refused
    assert all(entry.state == "FAIL" and "too wide" in entry.reason for entry in refused)


def test_a_space_where_nothing_fits_ends(study_path: Path) -> None:
    study = load_study(study_path, demo=False)
    ledger = Ledger(study, open_storage(study_path.parent / "journal.log"), lambda recipe: "no")
    assert ledger.ask() is None


def test_budget_of_epochs_ends_the_search(study_path: Path) -> None:
    ledger = open_ledger(study_path, "budget.epochs=4")
    count = 0
    while (order := ledger.ask()) is not None:
        play(ledger, order, [0.1, 0.2, 0.3])
        count += 1
    assert count == 2


def test_target_ends_the_search(study_path: Path) -> None:
    ledger = open_ledger(study_path, "metric.target=0.25")
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.1, 0.2, 0.3])
    assert ledger.ask() is None
