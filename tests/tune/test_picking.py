from __future__ import annotations

from pathlib import Path

import pytest

from seglib.errors import RunError
from tests.tune.test_ledger import open_ledger, row
from tune.picking import pick_file, pick_of_folder, rank, trial_of
from tune.run_directory import RunDirectory


def numbers_of(study_path: Path, scores: list[float]) -> list[int]:
    ledger = open_ledger(study_path)
    for score in scores:
        order = ledger.ask()
        ledger.report(order.number, row(1, score))
        ledger.finish(order.number)
    return [entry.number for entry in rank(ledger.file, ledger.entries())]


def test_trials_are_ranked_by_their_best_epoch_and_the_earlier_of_equals_is_first(
    study_path: Path,
) -> None:
    assert numbers_of(study_path, [0.3, 0.5, 0.5]) == [1, 2, 0]


def test_where_less_is_better_the_least_is_first(study_path: Path) -> None:
    text = study_path.read_text().replace("{name: dice, goal: maximize}", "{name: val_loss}")
    study_path.write_text(text)
    assert numbers_of(study_path, [0.3, 0.5, 0.2]) == [2, 0, 1]


def test_with_seeds_the_best_row_is_first_and_not_the_luckiest_trial(study_path: Path) -> None:
    text = (
        study_path.read_text().replace("method: random", "method: grid").replace("run_cap: 4", "")
    )
    text = text.replace("{distribution: log_uniform_values, min: 1e-4, max: 1e-2}", "{value: 1e-3}")
    study_path.write_text(f"{text}seeds: [0, 1]\n")
    # rows 0 and 1 under seed 0, then under seed 1: 0.9 and 0.1 against 0.6 and 0.6
    assert numbers_of(study_path, [0.9, 0.6, 0.1, 0.6]) == [1, 3, 0, 2]


def test_trial_is_known_by_its_place(begun: RunDirectory) -> None:
    assert trial_of(begun.path / "trials" / "7") == (begun.path, 7)
    assert trial_of(begun.path / "trials" / "x") is None
    assert trial_of(begun.path.parent / "other" / "trials" / "7") is None


def test_trial_without_a_checkpoint_says_which_are_kept(begun: RunDirectory) -> None:
    with pytest.raises(RunError, match=r"(?s)best.pt: found nothing.*the best five are kept"):
        pick_file(begun.path, 0)


def test_one_trial_is_not_several(begun: RunDirectory) -> None:
    with pytest.raises(RunError, match="--top: found 2 ; wanted a run directory as MODEL"):
        pick_of_folder(begun.path / "trials" / "0", top=2)
