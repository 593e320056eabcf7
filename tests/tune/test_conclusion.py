"""What a confirmation comes to, from trials that are made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seglib.data.splits import Splits
from seglib.recipe import Recipe
from tests.tune.test_folds import GRID
from tune.candidates import Candidate
from tune.conclusion import conclude
from tune.reporting.confirmation import Finding
from tune.reporting.evidence import PointData, TrialData
from tune.study import StudyFile
from tune.study_file import load_study

CASES = tuple("abcdefgh")
SPLITS = Splits(CASES[:6], CASES[6:], ("x",), (CASES[:3], CASES[3:5], CASES[5:]), "patient", 7)


@pytest.fixture
def study(tmp_path: Path) -> StudyFile:
    """A grid of two recipes, two seeds and the folds 0 and 2."""
    (tmp_path / "folded.yaml").write_text(GRID)
    return load_study(tmp_path / "folded.yaml", demo=False)


def candidates(default: float, winner: float) -> list[Candidate]:
    recipes = [Recipe(loss=loss).model_dump() for loss in ("bce", "dice")]
    return [
        Candidate(name, recipe, {}, number, score)
        for number, (name, recipe, score) in enumerate(
            zip(("default", "winner"), recipes, (default, winner), strict=True)
        )
    ]


def confirmed(study: StudyFile, found: list[Candidate]) -> Any:
    """The winner is better by 20 points in every patient, seed and fold."""
    rng, points = np.random.default_rng(0), []
    for place, one in enumerate(found):
        trials = []
        for seed, fold in study.trainings:
            assert isinstance(fold, int)
            cases = SPLITS.folds[fold]
            dice = 0.6 + 0.2 * place + 0.005 * rng.normal(size=len(cases))
            final = pd.DataFrame(
                {"case": cases, "class": "WT", "tp": 5, "fn": 5, "fp": 0, "dice": dice}
            )
            entry: Any = SimpleNamespace(
                seed=seed, fold=fold, state="COMPLETE", rows=[{"seconds": 2.0}], extends=None
            )
            trials.append(TrialData(entry, final, None, ""))
        points.append(PointData(one.name, one.recipe, {}, tuple(trials)))
    return SimpleNamespace(study=study, points=points, phantom=False)


def found_by(searched: StudyFile, study: StudyFile, *scores: float) -> Finding:
    index, those = pd.DataFrame({"case": CASES, "group": CASES}), candidates(*scores)
    run = confirmed(study, those)
    return conclude(run, those, SPLITS, index, searched=searched, search="folded")


def test_what_the_search_chose_by_all_patients_is_never_confirmed_on_them(
    study: StudyFile,
) -> None:
    plain = found_by(replace(study, folds=()), study, 0.6, 0.7)
    assert (plain.patients, plain.chosen_by, plain.take) == (6, 2, "winner")
    folded = found_by(study, study, 0.6, 0.7)
    assert (folded.patients, folded.chosen_by, folded.take) == (6, 6, "default")
    (contest,) = folded.contests
    assert contest.whole.low is not None
    assert contest.whole.low > 15
    assert contest.p_holm is None
    assert "the search chose by each of these patients" in contest.verdict


def test_promise_of_a_search_is_told_in_what_it_chose_by(study: StudyFile) -> None:
    dice = found_by(study, study, 0.6, 0.7).notes
    assert "the search promised +10.0 points of dice against the default, best epoch" in dice[-1]
    metric = study.metric.model_copy(update={"name": "val_loss", "goal": "minimize"})
    notes = found_by(replace(study, metric=metric), study, 0.5, 0.25).notes
    assert "the search chose by val_loss; what is compared here is Dice" in notes
    assert "the search promised −0.25 of val_loss against the default" in notes[-1]
