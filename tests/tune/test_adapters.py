from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from seglib.data.splits import Split
from tests.tune.test_ledger import open_ledger, row
from tune.adapters import LedgerScheduler, LedgerSearcher, StopWhen
from tune.executor import Job
from tune.interruption import Interruption
from tune.ledger import Ledger, Order
from tune.trial import FAILURE, ROW

# Ray hands on flattened results, its own figures and the configuration among them.
RAYS_OWN = {
    "training_iteration": 1, "trial_id": "a", "done": False, "pid": 7, "hostname": "h",
    "config/number": 0, "config/split/train": ["patient-1"], "config/recipe/epochs": 3,
}  # fmt: skip


def sent(epoch: int, score: float) -> dict[str, Any]:
    return {f"{ROW}/{key}": value for key, value in row(epoch, score).items()}


class Witness:
    """Writes down what observers are told."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def started(self, order: Order) -> None:
        self.seen.append(("started", order.number))

    def reported(self, number: int, row: dict[str, float]) -> None:
        self.seen.append(("reported", number, row))

    def finished(self, number: int) -> None:
        self.seen.append(("finished", number))


class Setup:
    def __init__(self, path: Path, concurrent: int | None = None) -> None:
        self.ledger: Ledger = open_ledger(path)
        self.job = Job(
            path.parent, path.parent, Split(("a",), ("b",)), retries=2, concurrent=concurrent
        )
        self.witness, self.interruption = Witness(), Interruption()
        self.searcher = LedgerSearcher(
            self.ledger, self.job, [self.witness], self.interruption
        )  # fmt: skip
        self.scheduler = LedgerScheduler(self.searcher)

    def result(self, trial_id: str, result: dict[str, Any]) -> str:
        return self.scheduler.on_trial_result(
            None, SimpleNamespace(trial_id=trial_id), result | RAYS_OWN
        )


@pytest.fixture
def setup(study_path: Path) -> Setup:
    return Setup(study_path)


def test_suggestion_is_the_ledgers_order_as_plain_data(setup: Setup) -> None:
    config = setup.searcher.suggest("a")
    assert isinstance(config, dict)
    assert config["number"] == 0
    assert config["recipe"] == setup.ledger.recipe(0).model_dump()
    assert config["folder"].endswith("trials/0")
    assert config["split"] == {"train": ("a",), "val": ("b",), "by": "patient"}
    assert setup.witness.seen == [("started", 0)]


def test_no_more_is_asked_for_than_may_run(study_path: Path) -> None:
    setup = Setup(study_path, concurrent=2)
    assert isinstance(setup.searcher.suggest("a"), dict)
    assert isinstance(setup.searcher.suggest("b"), dict)
    assert setup.searcher.suggest("c") is None
    assert len([e for e in setup.ledger.entries() if e.state == "RUNNING"]) == 2
    setup.result("a", {FAILURE: "diverged: epoch 1"})
    setup.searcher.on_trial_complete("a")
    assert isinstance(setup.searcher.suggest("c"), dict)


def test_search_ends_when_the_ledger_has_no_more(setup: Setup) -> None:
    for name in "abcd":
        assert isinstance(setup.searcher.suggest(name), dict)
    assert setup.searcher.suggest("e") == Searcher.FINISHED


def test_row_reaches_the_ledger_without_what_ray_adds(setup: Setup) -> None:
    setup.searcher.suggest("a")
    assert setup.result("a", sent(1, 0.5)) == TrialScheduler.CONTINUE
    assert setup.ledger.entry(0).rows == [row(1, 0.5)]
    assert setup.witness.seen[-1] == ("reported", 0, row(1, 0.5))


def test_ledgers_verdict_stops_a_trial(setup: Setup) -> None:
    setup.searcher.suggest("a")
    setup.searcher.suggest("b")
    assert setup.result("a", sent(1, 0.9)) == TrialScheduler.CONTINUE
    assert setup.result("b", sent(1, 0.1)) == TrialScheduler.STOP
    setup.searcher.on_trial_complete("b", {})
    assert setup.ledger.entry(1).state == "PRUNED"
    assert setup.witness.seen[-1] == ("finished", 1)


def test_failure_row_fails_the_trial_with_its_reason(setup: Setup) -> None:
    setup.searcher.suggest("a")
    assert setup.result("a", {FAILURE: "diverged: epoch 3"}) == TrialScheduler.STOP
    setup.searcher.on_trial_complete("a", {})
    assert (setup.ledger.entry(0).state, setup.ledger.entry(0).reason) == (
        "FAIL",
        "diverged: epoch 3",
    )


def test_process_that_died_too_often_fails_the_trial(setup: Setup) -> None:
    setup.searcher.suggest("a")
    setup.result("a", sent(1, 0.5))
    setup.searcher.on_trial_complete("a", None, error=True)
    assert setup.ledger.entry(0).reason == "its process died 3 times"


def test_interrupted_search_leaves_trials_to_be_continued(setup: Setup) -> None:
    setup.searcher.suggest("a")
    setup.result("a", sent(1, 0.5))
    stop = StopWhen(setup.interruption)
    assert not stop.stop_all()
    setup.interruption.note(15, None)
    assert stop.stop_all()
    assert not stop("a", {})
    setup.searcher.on_trial_complete("a", {})
    assert setup.ledger.entry(0).state == "RUNNING"
    assert setup.searcher.suggest("b") == Searcher.FINISHED
    setup.ledger.take_up_unfinished()
    again = setup.ledger.ask()
    assert again is not None
    assert (again.number, again.num_reported) == (0, 1)


def test_rays_own_state_files_hold_nothing_of_ours(setup: Setup) -> None:
    setup.searcher.suggest("a")
    assert setup.searcher.__getstate__() == {}
    assert setup.scheduler.__getstate__() == {}
    assert len(pickle.dumps(setup.searcher)) < 500


def test_observer_that_fails_is_sent_away_and_the_search_goes_on(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Witness):
        def started(self, order: Order) -> None:
            raise OSError("disk full")

    setup.searcher._observers.insert(0, Broken())
    setup.searcher.suggest("a")
    setup.result("a", sent(1, 0.5))
    assert [event[0] for event in setup.witness.seen] == ["started", "reported"]
    assert [record.getMessage() for record in caplog.records] == [
        "Broken stopped (disk full); the search goes on without it"
    ]
