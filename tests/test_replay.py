"""The recorded learning curves are whole, and replaying searches over them is repeatable."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tune.study_file import load_study

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _scripts() -> Iterator[None]:
    """Benchmarks are scripts: they import each other from their own folder."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def curves() -> Any:
    return import_module("curves")


@pytest.fixture(scope="module")
def replay() -> ModuleType:
    """Imports Ray, so only slow tests ask for it."""
    return import_module("replay")


@pytest.fixture(scope="module")
def table(replay: ModuleType) -> Any:
    study = load_study(replay.STUDY, demo=False)
    return replay.Table(study, replay.read_curves(replay.TABLE))


def test_every_recorded_curve_is_whole(curves: Any) -> None:
    study, known = load_study(curves.STUDY, demo=False), curves.read_curves()
    assert len(known) >= 80
    assert len({curve.number for curve in known}) == len(known)
    for curve in known:
        assert len(curve.scores) == len(curve.seconds) == study.horizon
        assert all(0 <= score <= 1 for score in curve.scores)
        assert all(seconds >= 0 for seconds in curve.seconds)
        assert study.space.contains(curve.values)
        assert curve.seed == study.trial_seed(curve.number, None)


def test_recorded_recipes_are_those_that_the_study_draws(curves: Any) -> None:
    study, known = load_study(curves.STUDY, demo=False), curves.read_curves()
    assert known[0].values == study.default_point()
    for curve in known[:4]:
        assert curves.draw_values(study, curve.number) == curve.values


def test_scores_of_the_table_are_spread(curves: Any) -> None:
    best = [curve.best for curve in curves.read_curves()]
    low, high = np.quantile(best, [0.25, 0.95])
    assert high - low > 0.05


def test_table_is_small(curves: Any) -> None:
    assert curves.TABLE.stat().st_size < 300_000


@pytest.mark.slow
def test_same_seed_gives_the_same_figures(replay: ModuleType) -> None:
    names = [replay.OURS, replay.RAY, "Optuna: TPE + Hyperband"]
    first, again, other = (replay.run_seed(seed, names, budget=60) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.drop(columns="seed").equals(other.drop(columns="seed"))


@pytest.mark.slow
def test_recorded_recipe_is_nearest_to_itself(table: Any) -> None:
    for row, curve in enumerate(table.curves[:20]):
        distances = table.distances(curve.values)
        assert distances[row] == pytest.approx(0)
        assert distances.min() == distances[row]


@pytest.mark.slow
def test_no_recipe_is_met_again_before_all_of_the_pool_were(replay: ModuleType, table: Any) -> None:
    pool = replay.Pool.draw(table, 5)
    assert pool.rows[0] == 0
    for _ in pool.rows:
        pool.answer(table.curves[0].values)
    assert set(pool.used) == {1}


@pytest.mark.slow
def test_epochs_end_in_the_order_of_their_seconds(replay: ModuleType, table: Any) -> None:
    """A quick and a slow trial at once; the quick one's worker goes on to the next trial."""
    quick = replay.Curve(1, {}, 0, [0.1, 0.2], [1.0, 1.0])
    slow = replay.Curve(2, {}, 0, [0.5, 0.6], [2.5, 2.5])
    told: list[tuple[int, int]] = []

    class Search:
        asked = -1

        def ask(self) -> tuple[int, dict[str, Any]]:
            self.asked += 1
            return self.asked, {}

        def report(self, number: int, epoch: int, score: float, *, last: bool) -> bool:
            told.append((number, epoch))
            return last

    class Pool:
        answers = iter([slow, *[quick] * 9])

        def answer(self, values: Any) -> Any:
            return next(self.answers)

    best = replay.simulate(Search(), Pool(), budget=6)
    assert told == [(1, 1), (1, 2), (0, 1), (2, 1), (2, 2), (0, 2)]
    assert list(best) == [0.1, 0.2, 0.5, 0.5, 0.5, 0.6]


@pytest.mark.slow
def test_paired_ratio_and_difference_by_hand(replay: ModuleType) -> None:
    pd = replay.pd
    found = pd.DataFrame(
        {"search": ["a", "b"] * 3, "seed": [0, 0, 1, 1, 2, 2]}
        | {"to 0.75": [10, 20, 30, 60, 50, 100], "after 108": [0.5, 0.6, 0.5, 0.6, 0.5, 0.6]}
    )
    told = replay.compare(found, "a")
    assert told.loc["b", "× to 0.75"] == "2.00 [2.00, 2.00]"
    assert told.loc["b", "Δ after 108"] == "+10.00 [+10.00, +10.00]"
    assert told.loc["a", "× to 0.75"] == ""
