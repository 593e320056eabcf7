"""Whose fault a death was: the trial's, its node's, or nobody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seglib.data.splits import Split
from tests.tune.test_adapters import sent
from tests.tune.test_ledger import open_ledger
from tune.adapters import LedgerSearcher
from tune.deaths import MOST_FOREIGN_DEATHS, Deaths
from tune.executor import Job
from tune.interruption import Interruption
from tune.room import Room
from tune.trial import HALT, KIND

SUPERSEDED = """\
ray::ImplicitFunc.train() (pid=7, ip=10.0.0.2)
  File "/code/tune/trial_home.py", line 96, in require_ours
    raise Superseded(f"taken up by {found}")
tune.trial_home.Superseded: taken up by pid 9 on b
"""
MISSING = """\
The actor died because of an error raised in its creation task, ray::ImplicitFunc.__init__() \
(pid=7, ip=10.0.0.2, actor_id=ab)
ModuleNotFoundError: No module named 'tune'
"""


class Nodes(Room):
    """A joined cluster of which the test says which node has which actor, and which are lost."""

    def __init__(self, **actors: str) -> None:
        super().__init__(1, 0, None)
        self.actors, self.lost = actors, set[str]()
        self.num = len(set(actors.values()))

    is_joined = True

    def node_of(self, actor: str) -> str:
        return self.actors[actor]

    def find_lost(self, identity: str) -> str:
        return identity if identity in self.lost else ""

    def avoid(self, bad: frozenset[str]) -> None:
        self.avoided = bad if len(bad) < self.num else frozenset()


class Search:
    """A searcher whose trials are at work on nodes, actor `a` for trial `a`."""

    def __init__(self, path: Path, retries: int = 1, **actors: str) -> None:
        self.ledger = open_ledger(path)
        self.interruption, self.room = Interruption(), Nodes(**actors)
        job = Job(path.parent, path.parent, Split(("a",), ("b",)), retries=retries)
        self.searcher = LedgerSearcher(
            self.ledger, job, [], self.interruption, deaths=Deaths(retries + 1), room=self.room
        )

    def start(self, *names: str) -> dict[str, Any]:
        for name in names:
            config = self.searcher.suggest(name)
            self.searcher.at_work.note_start(name, name)
        assert isinstance(config, dict)
        return config

    def die(self, name: str, said: str = "") -> None:
        self.searcher.note_error(name, said)
        self.searcher.on_trial_complete(name, None, error=True)

    def fault(self, name: str, kind: str = "unfit") -> None:
        told = {HALT: f"node {self.room.actors[name]}: {kind}", KIND: kind}
        assert self.searcher.record(name, told) is False  # stopped, it would be used again
        self.die(name, "NodeFaultError")

    def states(self) -> list[str]:
        return [entry.state for entry in self.ledger.entries()]


def test_trial_of_a_bad_node_goes_on_elsewhere_and_fails_never(
    study_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    search = Search(study_path, retries=0, a="A", b="B", c="B")
    assert search.start("a", "b")["avoid"] == []
    search.searcher.record("a", sent(1, 0.5))
    search.fault("a")
    assert search.start("c")["number"] == 0
    assert not search.interruption.is_set
    assert [record.getMessage() for record in caplog.records] == [
        "node A gets no trials for 60 min; mend it, or take it out of the cluster",
        "trial 0: its node is at fault: node A: unfit; it goes on after epoch 1",
    ]


def test_next_trial_is_kept_away_from_a_bad_node(study_path: Path) -> None:
    search = Search(study_path, a="A", b="B", c="B")
    search.start("a")
    search.fault("a")
    config = search.start("b")
    assert (config["number"], config["avoid"]) == (0, ["A"])


def test_fault_of_all_nodes_ends_the_search_and_loses_nothing(study_path: Path) -> None:
    search = Search(study_path, retries=0, a="A", b="B")
    search.start("a", "b")
    search.fault("a")
    search.fault("b")
    assert search.interruption.exit_code == 1
    assert search.interruption.reason.startswith("node A: unfit; node B: unfit (2 times in a row")
    assert "FAIL" not in search.states()


def test_only_node_is_tried_three_times(study_path: Path) -> None:
    search = Search(study_path, retries=0, a="A", b="A", c="A")
    for name in "abc":
        assert not search.interruption.is_set
        assert search.start(name)["avoid"] == []  # there is no other
        search.fault(name)
    assert "node A: unfit (3 times in a row" in search.interruption.reason
    assert search.states() == ["RUNNING"]


def test_missing_library_is_a_fault_of_the_node(study_path: Path) -> None:
    search = Search(study_path, retries=0, a="10.0.0.2", b="10.0.0.3")
    search.searcher.suggest("a")  # its process never began
    search.die("a", MISSING)
    assert search.start("b")["avoid"] == ["10.0.0.2"]
    search.die("b", MISSING.replace("10.0.0.2", "10.0.0.3"))
    for address in ("10.0.0.2", "10.0.0.3"):
        said = f"node {address}: ModuleNotFoundError: No module named 'tune'; every node needs"
        assert said in search.interruption.reason


def test_process_that_was_cut_off_is_no_death_of_the_trial(study_path: Path) -> None:
    search = Search(study_path, retries=0, **dict.fromkeys("abc", "A"))
    for name in "abc":
        search.start(name)
        search.die(name, SUPERSEDED)
    assert search.states() == ["RUNNING"]
    assert search.searcher.at_work.numbers == {}


def test_trials_of_a_node_that_hangs_are_not_blamed(study_path: Path) -> None:
    search = Search(study_path, retries=0, a="A", b="A", c="B")
    search.start("a", "b", "c")
    search.searcher.at_work.note_hung("a", 60)
    search.searcher.at_work.note_hung("b", 60)
    search.die("a")
    search.die("b")
    assert search.states() == ["RUNNING", "RUNNING", "RUNNING"]


def test_hung_trial_is_excused_when_its_node_hangs_later(study_path: Path) -> None:
    search = Search(study_path, retries=1, a="A", b="A", c="C", d="D")
    search.start("a", "b")
    search.searcher.at_work.note_hung("a", 60)
    search.die("a")
    search.searcher.at_work.note_hung("b", 60)
    search.die("b")
    assert search.start("c")["number"] == 0
    search.die("c")  # the first that counts
    assert search.states() == ["RUNNING", "RUNNING"]


def test_trials_that_hang_one_by_one_are_blamed(study_path: Path) -> None:
    search = Search(study_path, retries=0, a="A", b="A")
    search.start("a", "b")
    search.searcher.at_work.note_hung("a", 60)
    search.die("a")
    search.searcher.record("b", sent(1, 0.5))  # the node lives
    search.searcher.at_work.note_hung("b", 60)
    search.die("b")
    assert search.states() == ["FAIL", "FAIL"]


def test_long_trial_on_nodes_that_are_taken_back_comes_to_its_end(study_path: Path) -> None:
    names = [f"a{number}" for number in range(2 * MOST_FOREIGN_DEATHS)]
    search = Search(study_path, retries=0, **{name: name for name in names})
    for name in names[: MOST_FOREIGN_DEATHS - 1]:
        search.start(name)
        search.room.lost = {name}
        search.die(name)
    search.start(names[-2])
    search.searcher.record(names[-2], sent(1, 0.5))
    search.room.lost = set(names)
    search.die(names[-2])
    assert search.start(names[-1])["num_reported"] == 1
    assert search.states() == ["RUNNING"]


def test_trial_that_dies_at_the_same_epoch_each_time_is_given_up(study_path: Path) -> None:
    search = Search(study_path, retries=1, a="A", b="A", c="A")
    for epoch, name in (1, "a"), (1, "b"), (1, "c"):
        search.start(name)
        search.searcher.record(name, sent(epoch, 0.5))
        search.die(name)
    assert search.ledger.entry(0).reason == "its process died 2 times"
