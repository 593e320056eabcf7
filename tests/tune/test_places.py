"""Where a trial is at work: told when it is ready, to whoever wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.tune.test_adapters import Setup, Witness
from tune.trial import READY


class Map(Witness):
    """An observer that asks where trials are."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[tuple[int, Mapping[str, str]]] = []

    def placed(self, number: int, place: Mapping[str, str]) -> None:
        self.places.append((number, place))


def test_place_of_a_trial_is_told_to_observers_that_ask_for_it(study_path: Path) -> None:
    setup, asking = Setup(study_path), Map()
    setup.searcher._observers.append(asking)
    setup.searcher.suggest("a")
    assert not setup.searcher.record("a", {READY: "1", "node_ip": "10.0.0.3"})
    assert asking.places == [(0, {"node": "", "GPU": "1"})]  # with a Ray of our own, one node
    assert len(setup.searcher._observers) == 2  # whom it does not concern is not sent away


def test_node_of_a_joined_cluster_is_told(study_path: Path) -> None:
    setup, asking = Setup(study_path), Map()
    setup.searcher._observers.append(asking)
    setup.searcher._room._pulse = object()  # type: ignore[assignment]
    setup.searcher.at_work.numbers["a"] = 3
    setup.searcher.record("a", {READY: "", "node_ip": "10.0.0.3"})
    assert asking.places == [(3, {"node": "10.0.0.3", "GPU": ""})]
