"""The head dies, and the cluster with it: the driver says so, and another cluster goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos.driver import Driver
from tests.cluster.nodes import Cluster
from tests.cluster.studies import Start, assert_same, new_grid
from tune.entries import Entry

pytestmark = [pytest.mark.slow, pytest.mark.fault("head-lost")]

MOST_SECONDS_TO_SAY_SO = 90.0


def test_study_of_a_dead_head_goes_on_on_another_cluster(
    start: Start, tmp_path: Path, undisturbed: list[Entry]
) -> None:
    impatient = {"RAY_gcs_rpc_server_reconnect_timeout_s": "15"}  # of its nodes; else a minute
    with Cluster(workers=1, environment=impatient) as dying:
        driver = start(dying, new_grid(tmp_path))
        driver.wait_for(" epoch 3:")
        dying.head.kill()
        began = time.monotonic()
        code = driver.end()
        print(f"head killed: the driver ended after {time.monotonic() - began:.1f} s")
        assert code == 1, "".join(driver.lines)
        assert time.monotonic() - began < MOST_SECONDS_TO_SAY_SO
        assert_said_once(driver, dying)
        dying.nodes[1].await_end(60)
        print(f"head killed: the other node ended after {time.monotonic() - began:.1f} s")

    with Cluster(workers=1) as living:
        driver = start(living, tmp_path)
        assert driver.end() == 0, "".join(driver.lines)
    assert "goes on after epoch" in "".join(driver.lines)
    assert_same(tmp_path, undisturbed)


def assert_said_once(driver: Driver, cluster: Cluster) -> None:
    """One message names the head and the way on, and nothing of Ray's inner life is told."""
    told = "".join(driver.lines)
    (message,) = [line for line in driver.lines if line.startswith("error:")]
    assert cluster.address in message
    assert "the same command goes on" in message
    assert "Traceback" not in told
    assert "raylet" not in told
