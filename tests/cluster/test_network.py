"""The network between two nodes is cut: nobody is told, and both sides go on living."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.namespaces import Network
from tests.cluster.nodes import Cluster
from tests.cluster.studies import (
    MOST_SECONDS,
    Start,
    assert_each_epoch_once,
    assert_same,
    await_epoch_elsewhere,
    new_grid,
    seconds_to_go_on,
)
from tune.entries import Entry

pytestmark = [pytest.mark.slow, pytest.mark.fault("node-lost")]


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(machines=2) as network:
        yield network


@pytest.fixture
def cluster(network: Network) -> Iterator[Cluster]:
    head = {"head_address": network.address(0), "before": network.on(0)}
    with Cluster(**head) as cluster:
        cluster.add_node(address=network.address(1), before=network.on(1))
        yield cluster


def test_trial_beyond_a_cut_goes_on_here_and_its_old_process_cannot_spoil_it(
    network: Network, cluster: Cluster, start: Start, tmp_path: Path, undisturbed: list[Entry]
) -> None:
    driver = start(cluster, new_grid(tmp_path), before=network.on(0))
    number, node = await_epoch_elsewhere(cluster, driver, 3)
    network.cut(1)
    seconds = seconds_to_go_on(driver, number)
    print(f"network cut: the trial beyond it had a new epoch after {seconds:.1f} s")
    assert seconds <= MOST_SECONDS
    assert node.is_up
    network.mend(1)
    assert driver.end() == 0, "".join(driver.lines)
    assert_each_epoch_once(driver)
    assert_same(tmp_path, undisturbed)
    assert_ended(node)


def assert_ended(node) -> None:
    """Ray ends a node that it has given up, when it hears from it again."""
    began = time.monotonic()
    node.await_end(30)
    print(f"the node that was cut off ended {time.monotonic() - began:.1f} s after the search")
