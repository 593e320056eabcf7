from __future__ import annotations

import pytest

from seglib.recipe import Recipe
from seglib.work import EpochCost
from tune.class_costs import Paper, settle_costs


def paper(width: int, work: float, **knobs: object) -> Paper:
    recipe = Recipe.model_validate({"base_filters": width, **knobs})
    return Paper(recipe, work, memory_gb=work, checkpoint_gb=work / 10)


def cost(train_s: float, memory_mb: float = 100.0, spread: float = 0.0) -> EpochCost:
    return EpochCost(train_s, train_s / 3, 0.5, 0.1, spread, 1.0, memory_mb, 0.1, 1.0)


def test_what_was_not_measured_follows_from_the_nearest_by_its_work() -> None:
    papers = [
        paper(8, 1.0),
        paper(16, 4.0),
        paper(16, 4.4, norm="none"),
        paper(8, 1.1, norm="none"),
    ]
    found = settle_costs(papers, {0: [cost(1.0)], 1: [cost(4.0, 400.0)]})
    assert found is not None
    assert [one.measured for one in found] == [True, True, False, False]
    assert found[2].cost.train_s == pytest.approx(4.4)
    assert found[3].cost.train_s == pytest.approx(1.1)
    assert found[2].cost.memory_mb == pytest.approx(440)
    assert found[2].cost.rest_s == 0.5  # whatever there is to compute
    assert found[2].error > found[0].error


def test_its_error_is_seen_where_both_are_measured() -> None:
    papers = [paper(width, float(width)) for width in (4, 8, 16, 32, 64)]
    fits = {number: [cost(papers[number].work)] for number in range(4)}
    misses = fits | {2: [cost(3 * papers[2].work)]}
    good, bad = settle_costs(papers, fits), settle_costs(papers, misses)
    assert good is not None
    assert bad is not None
    assert good[4].error < 0.2 < 0.5 < bad[4].error


def test_measurements_that_disagree_are_averaged_and_trusted_less() -> None:
    found = settle_costs([paper(8, 1.0)], {0: [cost(1.0), cost(2.0)]})
    assert found is not None
    assert found[0].cost.train_s == pytest.approx(1.5)
    assert found[0].error > 0.3
    alike = settle_costs([paper(8, 1.0)], {0: [cost(1.0), cost(1.0)]})
    assert alike is not None
    assert alike[0].error < 0.1


def test_nothing_measured_tells_nothing() -> None:
    assert settle_costs([paper(8, 1.0)], {}) is None
