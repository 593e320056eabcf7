from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import optuna
import pytest

from seglib.errors import RunError
from seglib.recipe import Recipe
from tune.agenda import add_trial, list_planned
from tune.ledger import Ledger, Order
from tune.request import Request
from tune.storage import cut_torn_line, open_storage
from tune.study_file import load_study


def open_ledger(path: Path, *overrides: str) -> Ledger:
    study = load_study(path, overrides, demo=False)
    return Ledger(study, open_storage(path.parent / "journal.log"))


def row(epoch: int, score: float) -> dict[str, float]:
    return {"epoch": epoch, "score": score, "train_loss": 1 - score, "seconds": 1.0,
            "peak_memory_mb": 100.0}  # fmt: skip


def play(ledger: Ledger, order: Order, scores: list[float]) -> str:
    """Report scores one after another as an executor would; the state that came of it."""
    for epoch, score in enumerate(scores, start=1):
        if ledger.report(order.number, row(epoch, score)):
            break
    ledger.finish(order.number)
    return ledger.entry(order.number).state


def test_default_recipe_comes_first_and_the_cap_holds(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    orders = []
    while (order := ledger.ask()) is not None:
        orders.append(order)
        play(ledger, order, [0.1, 0.2, 0.3])
    assert [order.number for order in orders] == [0, 1, 2, 3]
    assert ledger.entry(0).origin == "default"
    assert orders[0].recipe.learning_rate == Recipe().learning_rate
    assert orders[0].recipe.base_filters == 4  # the default, 32, moved into the space
    assert len({order.seed for order in orders}) == 4


def test_rung_stops_the_worse_trial_as_pruned(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    first, second = ledger.ask(), ledger.ask()
    assert first is not None
    assert second is not None
    assert play(ledger, first, [0.5, 0.6, 0.7]) == "COMPLETE"
    assert play(ledger, second, [0.1, 0.9, 0.9]) == "PRUNED"
    entry = ledger.entry(second.number)
    assert [r["epoch"] for r in entry.rows] == [1]
    assert entry.reason == "stopped early at epoch 1"


def test_default_recipe_is_never_stopped_early(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    default, other = ledger.ask(), ledger.ask()
    assert default is not None
    assert other is not None
    assert play(ledger, other, [0.5, 0.6, 0.7]) == "COMPLETE"
    assert play(ledger, default, [0.1, 0.1, 0.1]) == "COMPLETE"
    third = ledger.ask()
    assert third is not None
    assert play(ledger, third, [0.05, 0.9, 0.9]) == "PRUNED"


def test_completed_trial_is_valued_by_its_best_epoch(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.5, 0.8, 0.6])
    frozen = optuna.load_study(
        study_name="tiny", storage=open_storage(study_path.parent / "journal.log")
    ).trials[0]
    assert frozen.value == 0.8
    assert frozen.intermediate_values == {1: 0.5, 2: 0.8, 3: 0.6}


def test_minimized_metric_is_valued_by_its_lowest_epoch(study_path: Path) -> None:
    ledger = open_ledger(study_path, "metric.name=val_loss", "metric.goal=minimize")
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.5, 0.3, 0.4])
    assert ledger._study.best_value == 0.3
    assert ledger.is_better(0.1, 0.2)


def test_unfinished_trial_is_given_out_again_with_what_is_known(study_path: Path) -> None:
    before = open_ledger(study_path)
    first, second = before.ask(), before.ask()
    assert first is not None
    assert second is not None
    play(before, first, [0.1, 0.2, 0.3])
    before.report(second.number, row(1, 0.4))
    after = open_ledger(study_path)  # the driver died here
    again = after.ask()
    assert again == Order(second.number, second.recipe, second.seed, num_reported=1)
    following = after.ask()
    assert following is not None
    assert following.number == 2


def test_repeated_epoch_changes_nothing(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, row(1, 0.4))
    ledger.report(order.number, row(1, 0.9))
    assert [r["score"] for r in ledger.entry(order.number).rows] == [0.4]


def test_trial_that_died_after_its_last_epoch_is_given_out_to_write_its_end(
    study_path: Path,
) -> None:
    before = open_ledger(study_path)
    order = before.ask()
    assert order is not None
    for epoch in (1, 2, 3):
        before.report(order.number, row(epoch, epoch / 10))
    after = open_ledger(study_path)
    assert after.entry(order.number).state == "RUNNING"
    assert after.ask() == Order(order.number, order.recipe, order.seed, num_reported=3)
    after.finish(order.number)  # it reports no further row
    entry = after.entry(order.number)
    assert (entry.state, len(entry.rows)) == ("COMPLETE", 3)


def test_death_between_the_verdict_and_the_telling_keeps_the_verdict(study_path: Path) -> None:
    before = open_ledger(study_path)
    first, second = before.ask(), before.ask()
    assert first is not None
    assert second is not None
    play(before, first, [0.5, 0.6, 0.7])
    assert before.report(second.number, row(1, 0.1))
    after = open_ledger(study_path)
    assert after.entry(second.number).state == "PRUNED"


def test_death_while_points_are_written_down_is_made_good(study_path: Path) -> None:
    overrides = ("points=[{learning_rate: 0.002}, {learning_rate: 0.003}]",)
    study = load_study(study_path, overrides, demo=False)
    storage = open_storage(study_path.parent / "journal.log")
    partial = optuna.create_study(storage=storage, study_name="tiny", direction="maximize")
    add_trial(partial, list_planned(study)[0])
    ledger = Ledger(study, storage)
    rates = [ledger.ask().recipe.learning_rate for _ in range(3)]  # type: ignore[union-attr]
    assert rates == [0.001, 0.002, 0.003]
    assert len(ledger.entries()) == 3


def test_same_seed_proposes_the_same_trials_whatever_died_in_between(tmp_path: Path) -> None:
    from tests.conftest import TINY_STUDY

    def proposals(name: str, *, reopen: bool) -> list[Recipe]:
        path = tmp_path / name / "tiny.yaml"
        path.parent.mkdir()
        path.write_text(TINY_STUDY)
        ledger, found = open_ledger(path), []
        while (order := ledger.ask()) is not None:
            found.append(order.recipe)
            play(ledger, order, [0.1, 0.2, 0.3])
            ledger = open_ledger(path) if reopen else ledger
        return found

    assert proposals("undisturbed", reopen=False) == proposals("reopened", reopen=True)


def test_grid_runs_each_point_once_and_then_ends(study_path: Path) -> None:
    ledger = open_ledger(
        study_path, "method=grid", "learning_rate={values: [1e-3, 2e-3, 3e-3]}", "run_cap=null",
        "points=[{learning_rate: 2e-3, base_filters: 4}]",
    )  # fmt: skip
    found = []
    while (order := ledger.ask()) is not None:
        found.append((order.recipe.learning_rate, order.recipe.base_filters))
        play(ledger, order, [0.1, 0.2, 0.3])
    assert Counter(found) == Counter((rate, base) for rate in (1e-3, 2e-3, 3e-3) for base in (2, 4))


def test_failed_trial_is_fail_with_its_reason(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    order = ledger.ask()
    assert order is not None
    ledger.report(order.number, row(1, 0.4))
    ledger.finish(order.number, "diverged: epoch 2")
    entry = ledger.entry(order.number)
    assert (entry.state, entry.reason) == ("FAIL", "diverged: epoch 2")


@pytest.mark.parametrize(
    ("method", "rule"),
    [("bayes", "asha"), ("gp", "asha"), ("cmaes", "asha")]
    + [("random", rule) for rule in ("asha", "hyperband", "median", "patience", "none")],
)
def test_every_method_and_rule_runs(study_path: Path, method: str, rule: str) -> None:
    ledger = open_ledger(
        study_path, f"method={method}", f"early_terminate={{type: {rule}, min_iter: 1}}",
        "run_cap=7", "epochs=4",
    )  # fmt: skip
    states = []
    while (order := ledger.ask()) is not None:
        base = 0.9 / (order.number + 1)  # each worse than the one before
        states.append(play(ledger, order, [base, base / 2, base / 3, base / 4]))
    assert len(states) == 7
    assert set(states) <= {"COMPLETE", "PRUNED"}
    assert ("PRUNED" in states) == (rule != "none")


def test_torn_last_line_is_cut_and_the_rest_kept(study_path: Path) -> None:
    journal = study_path.parent / "journal.log"
    ledger = open_ledger(study_path)
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.1, 0.2, 0.3])
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "worker')
    again = open_ledger(study_path)
    added = journal.read_bytes().removeprefix(whole)
    assert all(json.loads(line) for line in added.splitlines())
    assert again.entry(0).state == "COMPLETE"
    assert cut_torn_line(journal) == 0


def test_row_that_was_taken_out_of_the_journal_is_refused_before_anything_is_asked(
    study_path: Path,
) -> None:
    ledger = open_ledger(study_path)
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.5, 0.6])
    journal = study_path.parent / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"row/2"' not in line))
    with pytest.raises(RunError, match="trial 0: found no such row"):
        open_ledger(study_path)


def test_trial_that_goes_on_from_itself_is_refused(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    ledger._study._storage.set_trial_user_attr(ledger._trial(0)._trial_id, "extends", 0)
    with pytest.raises(RunError, match="trial 0: found trial 0 as the one it goes on from"):
        open_ledger(study_path)


def test_a_dead_owners_lock_does_not_hold_anybody_up(study_path: Path) -> None:
    """Optuna's own lock is a link that a killed process leaves behind for 30 s."""
    journal = study_path.parent / "journal.log"
    open_ledger(study_path)
    assert not journal.with_name("journal.log.lock").exists()
    assert journal.with_name("journal.log.flock").exists()
    open_ledger(study_path)


def test_opening_a_search_that_is_done_writes_nothing(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    while (order := ledger.ask()) is not None:
        play(ledger, order, [0.1, 0.2, 0.3])
    journal = study_path.parent / "journal.log"
    before = journal.read_bytes()
    again = open_ledger(study_path)
    assert not again.has_more()
    assert again.ask() is None
    assert journal.read_bytes() == before


def test_unfinished_trial_is_more_to_do_though_the_cap_is_reached(study_path: Path) -> None:
    before = open_ledger(study_path, "run_cap=1")
    order = before.ask()
    assert order is not None
    assert not before.has_more()
    after = open_ledger(study_path, "run_cap=1")
    assert after.has_more()
    journal = (study_path.parent / "journal.log").read_bytes()
    assert after.has_more()
    assert (study_path.parent / "journal.log").read_bytes() == journal


@pytest.mark.fault("edited")
def test_more_trials_means_the_same_number_however_often_it_is_asked(study_path: Path) -> None:
    def started(trials: str) -> int:
        study = Request(study_path, trials=trials).load()
        ledger = Ledger(study, open_storage(study_path.parent / "journal.log"))
        while (order := ledger.ask()) is not None:
            play(ledger, order, [0.1, 0.2, 0.3])
        return ledger.num_started

    assert [started("+2"), started("+2"), started("+3"), started("+3")] == [6, 6, 7, 7]
