"""Nodes that die, join, hang and are slow: a study on three of them goes on, and finds the same."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.driver import assert_gone, assert_sound
from tests.cluster.namespaces import require_mounts
from tests.cluster.nodes import Cluster, Node
from tests.cluster.studies import (
    EPOCHS,
    MOST_SECONDS,
    Start,
    assert_each_epoch_once,
    assert_same,
    await_epoch_elsewhere,
    new_grid,
    seconds_to_go_on,
)
from tune.entries import Entry

pytestmark = pytest.mark.slow


def test_three_nodes_find_what_one_finds(
    cluster: Cluster, start: Start, tmp_path: Path, undisturbed: list[Entry]
) -> None:
    driver = start(cluster, new_grid(tmp_path))
    assert driver.end() == 0, "".join(driver.lines)
    assert all(node.trained() for node in cluster.nodes)
    assert_each_epoch_once(driver)
    assert_same(tmp_path, undisturbed)


@pytest.mark.fault("node-lost")
def test_trials_of_a_killed_node_go_on_elsewhere(
    cluster: Cluster, start: Start, tmp_path: Path, undisturbed: list[Entry]
) -> None:
    driver = start(cluster, new_grid(tmp_path))
    number, node = await_epoch_elsewhere(cluster, driver, 3)
    node.kill()
    seconds = seconds_to_go_on(driver, number)
    print(f"node killed: its trial had a new epoch after {seconds:.1f} s")
    assert seconds <= MOST_SECONDS
    assert driver.end() == 0, "".join(driver.lines)
    assert f"its node was lost: {node.address} " in "".join(driver.lines)
    assert_each_epoch_once(driver)
    assert_same(tmp_path, undisturbed)


@pytest.mark.fault("node-lost")
def test_node_that_joins_gets_work(cluster: Cluster, start: Start, tmp_path: Path) -> None:
    driver = start(cluster, new_grid(tmp_path), "--set", "epochs=200")
    driver.wait_for(" epoch 3:")
    node = cluster.add_node()
    assert driver.end() == 0, "".join(driver.lines)
    trained = node.trained()
    cluster.remove(node)
    assert trained
    assert_sound(tmp_path, epochs=200)


@pytest.mark.fault("node-lost")
def test_node_that_hangs_loses_its_trial_and_cannot_spoil_it_when_it_wakes(
    cluster: Cluster, start: Start, tmp_path: Path, undisturbed: list[Entry]
) -> None:
    driver = start(cluster, new_grid(tmp_path))
    number, node = await_epoch_elsewhere(cluster, driver, 3)
    node.send(signal.SIGSTOP)
    try:
        seconds = seconds_to_go_on(driver, number)
    finally:
        node.send(signal.SIGCONT)
    print(f"node hung: its trial had a new epoch after {seconds:.1f} s")
    assert seconds <= MOST_SECONDS
    assert driver.end() == 0, "".join(driver.lines)
    assert_each_epoch_once(driver)
    assert_same(tmp_path, undisturbed)


@contextmanager
def slow(node: Node) -> Iterator[None]:
    """Meanwhile the node stands still four fifths of the time."""
    over = threading.Event()

    def pulse() -> None:
        while not over.is_set():
            node.send(signal.SIGSTOP)
            over.wait(0.8)
            node.send(signal.SIGCONT)
            over.wait(0.2)

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.fault("node-lost")
def test_slow_node_delays_its_own_trial_only(
    cluster: Cluster, start: Start, tmp_path: Path, undisturbed: list[Entry]
) -> None:
    driver = start(cluster, new_grid(tmp_path))
    number, node = await_epoch_elsewhere(cluster, driver, 3)
    with slow(node):
        driver.wait_for(f"trial {number} COMPLETE")
    assert driver.end() == 0, "".join(driver.lines)
    entries = assert_sound(tmp_path, epochs=EPOCHS)
    others = [row["seconds"] for entry in entries if entry.number not in set(node.trained())
              for row in entry.rows]  # fmt: skip
    own = [row["seconds"] for row in entries[number].rows[5:]]
    print(f"seconds of an epoch: {sum(own) / len(own):.2f} on the slow node, "
          f"{sum(others) / len(others):.2f} elsewhere")  # fmt: skip
    assert sum(own) / len(own) > 2 * sum(others) / len(others)
    assert_each_epoch_once(driver)
    assert_same(tmp_path, undisturbed)


@pytest.mark.fault("driver-killed")
def test_driver_that_is_killed_leaves_no_trial_and_two_studies_share_the_cluster(
    cluster: Cluster, start: Start, tmp_path: Path, undisturbed: list[Entry]
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    driver = start(cluster, new_grid(ours))
    driver.wait_for(" epoch 3:")
    at_work = [worker for node in cluster.nodes for worker in node.workers()]
    assert at_work
    driver.kill()
    began = time.monotonic()
    assert_gone(at_work, seconds=20)
    print(f"driver killed: no trial at work after {time.monotonic() - began:.1f} s")

    both = [start(cluster, ours), start(cluster, new_grid(theirs))]
    for driver in both:
        assert driver.end() == 0, "".join(driver.lines)
    assert "goes on after epoch" in "".join(both[0].lines)
    assert_each_epoch_once(both[1])
    for folder in (ours, theirs):
        assert_same(folder, undisturbed)


@pytest.mark.fault("node-lost")
def test_node_that_does_not_see_the_run_directory_is_named(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    hide = f'mount -t tmpfs none {tmp_path} && exec "$@"'
    apart = ["unshare", "--map-root-user", "--mount"]
    require_mounts(apart, tmp_path)
    node = cluster.add_node(before=[*apart, "sh", "-c", hide, "sh"])
    driver = start(cluster, new_grid(tmp_path))
    code = driver.end()
    cluster.remove(node)
    told = "".join(driver.lines)
    assert code == 2, told
    assert f"{node.address} " in told
    assert f"found no {tmp_path / 'runs' / 'deaths'}" in told
    assert not any(f"{other.address} " in told for other in cluster.nodes if other is not node)
    assert "Traceback" not in told
