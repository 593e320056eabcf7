"""A run directory at a URL: nodes keep files to themselves; a dead node's trial goes on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cluster.nodes import Cluster
from tests.cluster.studies import (
    EPOCHS,
    TRIALS,
    Start,
    assert_same,
    await_epoch_elsewhere,
    new_grid,
    seconds_to_go_on,
)
from tune.entries import Entry

pytestmark = pytest.mark.slow


def test_trial_of_a_dead_node_goes_on_from_the_url(
    cluster: Cluster, start: Start, tmp_path: Path, undisturbed: list[Entry]
) -> None:
    far = tmp_path / "far" / "deaths"
    driver = start(cluster, new_grid(tmp_path), "--storage-path", f"file://{far.parent}")
    number, node = await_epoch_elsewhere(cluster, driver, 3)
    node.kill()
    seconds_to_go_on(driver, number)
    assert driver.end() == 0, "".join(driver.lines)
    assert_same(tmp_path, undisturbed)
    assert "trained again from epoch 1" not in "".join(driver.lines)

    (key,) = [path.name for path in (far.parent / ".cache" / "stores").iterdir()]
    for one in cluster.nodes:
        if one.is_up and one.trained():
            assert (one.cache / "stores" / key / "images.npy").exists()
            assert not list((one.cache / "trials").glob("*"))
    run = tmp_path / "runs" / "deaths"
    assert not list(run.rglob("*.pt"))
    for trial in range(TRIALS):
        assert len(pd.read_csv(far / "trials" / str(trial) / "epochs.csv")) == EPOCHS
        assert (far / "trials" / str(trial) / "checkpoint" / "last.pt").exists()
        for name in ("cases.csv", "final.csv", "legacy.csv"):
            assert (run / "trials" / str(trial) / name).exists(), name
