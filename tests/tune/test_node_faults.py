from __future__ import annotations

import pytest

from tune.node_faults import SECONDS_AVOIDED, NodeFaults


def note(faults: NodeFaults, node: str, kind: str = "unfit", since: int | None = None) -> str:
    since = faults.total if since is None else since
    faults.note(node, kind, f"node {node}: {kind}", since=since)
    return faults.verdict


def test_one_bad_node_ends_no_search_and_is_avoided() -> None:
    faults = NodeFaults()
    assert note(faults, "a") == ""
    assert faults.avoided == {"a"}


def test_same_fault_on_a_second_node_ends_the_search_and_both_are_named() -> None:
    faults = NodeFaults()
    note(faults, "a")
    assert note(faults, "b") == (
        "node a: unfit; node b: unfit (2 times in a row no trial could go on, without an epoch "
        "between). Mend what is named, or take those nodes out of the cluster"
    )


def test_other_faults_on_other_nodes_end_it_at_the_third() -> None:
    faults = NodeFaults()
    assert note(faults, "a", "full") == note(faults, "b", "unfit") == ""
    assert note(faults, "c", "missing").startswith("node a: full; node b: unfit; node c: missing")


def test_only_node_of_all_ends_the_search_at_the_third_time_and_is_named_once() -> None:
    faults = NodeFaults()
    assert note(faults, "a") == note(faults, "a") == ""
    assert note(faults, "a").startswith("node a: unfit (3 times in a row")


def test_all_trials_of_a_node_that_fails_tell_of_one_fault() -> None:
    faults = NodeFaults()
    began = faults.total
    assert [note(faults, "a", since=began) for _ in range(8)] == [""] * 8
    assert faults.total == 1


def test_epoch_shows_that_the_search_goes_on() -> None:
    faults = NodeFaults()
    for node in "abcdef":
        assert note(faults, node) == ""
        faults.note_epoch()
        assert faults.verdict == ""
    assert faults.avoided == set("abcdef")


def test_node_is_tried_again_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    faults = NodeFaults()
    note(faults, "a")
    now = SECONDS_AVOIDED - 1
    assert faults.avoided == {"a"}
    now += 2
    assert faults.avoided == set()
