from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError
from ray.tune import TuneError
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from seglib.data.splits import Split
from tests.tune.test_ledger import open_ledger, row
from tune.adapters import LedgerScheduler, LedgerSearcher, StopWhen
from tune.cluster import NodeLostError
from tune.deaths import Deaths, Fault
from tune.executor import Job
from tune.interruption import Interruption
from tune.ledger import Ledger, Order
from tune.mirror import Mirror
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
            self.ledger, self.job, [self.witness], self.interruption, deaths=Deaths(3)
        )
        self.scheduler = LedgerScheduler(self.searcher)

    def start(self, *trial_ids: str) -> None:
        for one in trial_ids:
            self.searcher.suggest(one)
            self.searcher.at_work.note_start(one, f"actor-{one}")

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


def die(setup: Setup, trial_id: str) -> None:
    setup.searcher.on_trial_complete(trial_id, None, error=True)


def test_trial_whose_process_died_goes_on_before_any_new_one(setup: Setup) -> None:
    setup.searcher.suggest("a")
    setup.result("a", sent(1, 0.5))
    die(setup, "a")
    config = setup.searcher.suggest("b")
    assert isinstance(config, dict)
    assert (config["number"], config["num_reported"]) == (0, 1)
    assert setup.ledger.entry(0).state == "RUNNING"


def test_process_that_died_too_often_fails_the_trial_and_the_next_begins(setup: Setup) -> None:
    for name in "abc":
        assert setup.ledger.entry(0).state != "FAIL"
        setup.searcher.suggest(name)
        die(setup, name)
    assert (setup.ledger.entry(0).state, setup.ledger.entry(0).reason) == (
        "FAIL",
        "its process died 3 times",
    )
    assert setup.witness.seen[-1] == ("finished", 0)
    config = setup.searcher.suggest("d")
    assert isinstance(config, dict)
    assert config["number"] == 1


def test_search_is_not_over_while_a_trial_at_work_may_die(setup: Setup) -> None:
    for name in "abcd":
        assert isinstance(setup.searcher.suggest(name), dict)
    assert setup.searcher.suggest("e") is None
    die(setup, "b")
    assert isinstance(setup.searcher.suggest("e"), dict)
    for name in "acde":
        setup.result(name, {FAILURE: "diverged: epoch 1"})
        setup.searcher.on_trial_complete(name)
    assert setup.searcher.suggest("f") == Searcher.FINISHED


def short_of_memory(*actors: str) -> Exception:
    """What Tune raises when Ray's memory monitor has ended these actors."""
    named = "".join(f"Selected to kill: (Actor({one}): job ID=01000000)\n" for one in actors)
    told = f"was 7.74GB used / 23.54GB limit (0.33)\n{named}(Actor(actor-c): job ID=01000000)\n"
    error = RuntimeError("Caught unexpected exception: 1 worker(s) were killed")
    error.__cause__ = OutOfMemoryError(told)
    return error


def causes(setup: Setup) -> dict[int, list[str]]:
    return {
        number: [str(cause) for cause in causes]
        for number, causes in setup.searcher._deaths._causes.items()
    }


def test_memory_monitor_is_a_death_of_whom_it_ended_alone(setup: Setup) -> None:
    setup.start("a", "b", "c")
    fault = setup.searcher.close(short_of_memory("actor-b", "actor-z"))
    assert fault == Fault("Ray's memory monitor ended a trial", at_work=3, of_memory=True)
    assert causes(setup) == {1: ["killed by Ray's memory monitor: 7.74 of 23.54 GB in use"]}


def test_memory_monitor_that_names_nobody_is_a_death_of_all(setup: Setup) -> None:
    setup.start("a", "b")
    setup.searcher.close(short_of_memory())
    assert list(causes(setup)) == [0, 1]


@pytest.mark.parametrize(
    ("error", "what", "cause"),
    [
        (
            NodeLostError("Ray's node process died"),
            "Ray's node process died",
            "Ray died under it: Ray's node process died",
        ),
        (
            TuneError("Traceback (most recent call last):\n  File x\nKeyError: 'b'\n"),
            "Ray failed (TuneError: KeyError: 'b')",
            "Ray failed under it: TuneError: KeyError: 'b'",
        ),
    ],
)
def test_failure_of_ray_is_a_death_of_all_at_work(
    setup: Setup, error: BaseException, what: str, cause: str
) -> None:
    setup.start("a", "b")
    assert setup.searcher.close(error) == Fault(what, at_work=2)
    assert causes(setup) == {0: [cause], 1: [cause]}


def test_trial_that_waits_for_its_process_has_not_died(setup: Setup) -> None:
    setup.start("a")
    setup.searcher.suggest("b")
    assert setup.searcher.close(NodeLostError("it died")).at_work == 1
    assert list(causes(setup)) == [0]


def test_what_ends_with_the_search_has_not_died(setup: Setup) -> None:
    setup.start("a")
    with setup.interruption.winding_down():
        setup.interruption.note(15, None)
    assert setup.searcher.close(RuntimeError("torn down")).at_work == 1
    assert causes(setup) == {}


def test_interrupted_search_leaves_trials_to_be_continued(setup: Setup) -> None:
    setup.searcher.suggest("a")
    setup.result("a", sent(1, 0.5))
    stop = StopWhen(setup.interruption)
    assert not stop.stop_all()
    with setup.interruption.winding_down():
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


def test_vital_observer_is_never_sent_away(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    class Vital(Witness):
        is_vital = Mirror.is_vital

        def started(self, order: Order) -> None:
            raise KeyError("mark")

    setup.searcher._observers.insert(0, Vital())
    setup.searcher.suggest("a")
    assert (setup.interruption.exit_code, setup.interruption.reason) == (
        1,
        "Vital failed (KeyError: 'mark')",
    )
    assert caplog.records == []
