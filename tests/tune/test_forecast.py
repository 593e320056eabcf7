from __future__ import annotations

import random
from dataclasses import replace

import pytest
from optuna.storages import InMemoryStorage

from tests.tune.reporting.runs import epoch_row
from tune.conditions import Conditions, Overheads
from tune.forecast import Outcome, TrialCost, forecast
from tune.ledger import Ledger
from tune.likely import spread_of
from tune.looks import Looks, Luck
from tune.study_file import StudyFile

SEARCH = """\
name: made-up
method: {method}
data: {{layout: phantom-brats, cases: 8, image_size: 32}}
parameters:
  learning_rate: {{distribution: log_uniform_values, min: 1e-4, max: 1e-2}}
  epochs: {{value: 27}}
early_terminate: {{{rule}}}
run_cap: 40
"""
ASHA = "type: asha, min_iter: 3, eta: 3"
COST = TrialCost(27, 10.0, 5.0, 0, 0.0, 0.0, 1.0, 0.1, 0.1)
SURE = Conditions(2, Overheads(0.0, 0.0, 0.0), drift=0.0)


def go(study: StudyFile, planned: list[TrialCost], drawn: list[TrialCost],
       conditions: Conditions = SURE) -> list[Outcome]:  # fmt: skip
    """The fewest made-up searches: enough to see what holds in all, or by far in most."""
    return forecast(study, planned, drawn, conditions, effort=1)


def text(method: str = "random", rule: str = "type: none") -> str:
    return SEARCH.format(method=method, rule=rule)


def test_where_nothing_is_left_to_chance_the_figures_are_exact(load) -> None:
    found = go(load(text()), [COST], [COST])
    assert {(one.wall_s, one.epochs, one.trials) for one in found} == {(20 * 275, 40 * 27, 40)}
    assert {round(one.trial_s) for one in found} == {40 * 275}


def test_trials_are_given_out_as_slots_become_free(load) -> None:
    study = load(text(), "run_cap=3")
    short = replace(COST, epochs=1, epoch_s=100.0, final_s=0.0)
    long = replace(short, epochs=5)
    found = go(study, [long, short, short], [])
    assert {one.wall_s for one in found} == {500.0}


def test_seconds_around_the_training_count(load) -> None:
    over = replace(SURE, slots=1, overheads=Overheads(7.0, 5.0, 2.0))
    study, short = load(text(), "run_cap=2"), replace(COST, epochs=1, final_s=0.0)
    walls = [one.wall_s for one in go(study, [short, short], [], over)]
    assert spread_of(walls).middle == pytest.approx(7 + 5 + 10 + 2 + 10, rel=0.1)


@pytest.mark.parametrize("budget", ["budget.epochs=100", "budget.hours=0.5"])
def test_a_budget_ends_it(load, budget: str) -> None:
    found = go(load(text(), budget), [COST], [COST])
    if "epochs" in budget:
        assert max(one.epochs for one in found) <= 100 + 2 * 27
    else:
        assert max(one.wall_s for one in found) <= 1800 + 275


def test_stopping_saves_and_the_interval_says_how_unsure_that_is(load) -> None:
    found = spread_of([float(one.epochs) for one in go(load(text("bayes", ASHA)), [COST],
                                                            [COST])])  # fmt: skip
    assert 27 + 39 * 3 < found.low < found.middle < found.high < 40 * 27 * 0.8
    assert found.high > 1.15 * found.low


def test_rungs_stop_whom_the_ledger_would_stop(load) -> None:
    """One trial after another, with the same scores: the rule is the pruner's."""
    study = load(text("random", ASHA))
    ledger, chance = Ledger(study, InMemoryStorage()), random.Random(5)
    luck = Luck(study, random.Random(0))
    luck.agreement = 1.0  # a look shows how good a trial is
    looks = Looks(study, luck, random.Random(0))
    for number in range(study.run_cap or 0):
        quality, order = chance.random(), ledger.ask()
        assert order is not None
        epoch, stopped = 0, False
        while epoch < 27 and not stopped:
            epoch += 1
            stopped = ledger.report(order.number, epoch_row(epoch, quality))
        ledger.finish(order.number)
        trained = 27
        for at, rung in looks.plan(27, is_default=number == 0):
            if not looks.passes(rung, at, quality):
                trained = at
                break
        assert trained == epoch


@pytest.mark.parametrize("rule", ["type: hyperband, min_iter: 3", "type: median, min_iter: 3",
                                  "type: patience, min_iter: 3"])  # fmt: skip
def test_other_rules_stop_some_and_not_all(load, rule: str) -> None:
    found = go(load(text("bayes", rule)), [COST], [COST])
    epochs = spread_of([float(one.epochs) for one in found])
    assert 40 * 3 < epochs.low <= epochs.middle < 40 * 27


def test_a_busy_machine_may_become_a_quiet_one(load) -> None:
    study = load(text())
    quiet = spread_of([o.wall_s for o in go(study, [COST], [COST], replace(SURE, drift=0.05))])
    busy = spread_of([o.wall_s for o in go(study, [COST], [COST],
                                                 replace(SURE, cpu_share=0.5))])  # fmt: skip
    assert busy.low < 0.7 * quiet.low
    assert busy.high > quiet.high
