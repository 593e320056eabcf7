from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from tests.tune.test_ledger import open_ledger, play, row
from tune.announcement import say_kept, say_nothing_left
from tune.ledger import Ledger


def said_of(ledger: Ledger) -> str:
    """Both, for a ledger that was just opened."""
    console = Console(file=io.StringIO(), width=120)
    say_kept(ledger, console)
    say_nothing_left(ledger, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_search_that_begins_goes_on_with_nothing(study_path: Path) -> None:
    assert "goes on" not in said_of(open_ledger(study_path))


def test_trial_that_goes_on_is_told_with_its_epochs(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    first, second = ledger.ask(), ledger.ask()
    assert first is not None
    assert second is not None
    ledger.report(first.number, row(1, 0.5))
    ledger.report(first.number, row(2, 0.6))
    said = said_of(open_ledger(study_path))
    assert "goes on where it ended: trial 0 after epoch 2\n" in said


def test_way_to_train_on_is_told_where_there_is_one(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.1, 0.2, 0.3])
    assert "--extend" not in said_of(open_ledger(study_path))
    said = said_of(open_ledger(study_path, "epochs=5"))
    assert "--extend N trains the best N on to epoch 5" in said
