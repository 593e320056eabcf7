"""Nodes on their way, and places that a node does not see: found before anything is trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seglib.checkpoint import load_checkpoint
from tests.cluster.nodes import Cluster
from tests.cluster.studies import Start, new_grid
from tests.cluster.test_nodes import require_mounts
from tune.trial_files import LAST

pytestmark = pytest.mark.slow

ASKED = """\
import sys
from tune.cluster import running_ray
with running_ray(sys.argv[1], cpus=1):
    from ray._private.ray_constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
    from ray.experimental.internal_kv import _internal_kv_get
    print((_internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL) or b"").decode())
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without cores, as after `ray up`."""
    with Cluster(head_cpus=0) as cluster:
        yield cluster


def test_autoscaler_is_asked_for_a_node_that_fits_until_a_signal_ends_the_wait(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    driver = start(cluster, new_grid(tmp_path), "--set", "resources.cpus_per_trial=7")
    driver.wait_for("waiting up to 10 min for one with 7 CPUs and 1 GPU or 7 CPUs (largest node")
    assert asked_for(cluster) == [{"CPU": 7, "GPU": 1.0}, {"CPU": 7}]
    driver.send(signal.SIGINT)
    assert driver.end() == 130, "".join(driver.lines)
    assert asked_for(cluster) == []
    assert "Traceback" not in "".join(driver.lines)
    assert [file.name for file in (tmp_path / "runs" / "deaths").iterdir()] == ["run.lock"]


def test_node_on_its_way_is_waited_for_and_decides_what_trials_get(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    """As after `ray up`, which returns while the workers still install."""
    words = ("--set", "resources.cpus_per_trial=7", "--set", "resources.concurrent=2", "--set",
             "epochs=1")  # fmt: skip
    driver = start(cluster, new_grid(tmp_path), *words)
    driver.wait_for("no node has room for a trial yet")
    node = cluster.add_node(cpus=7)
    code = driver.end()
    cluster.remove(node)
    said = "".join(driver.lines)
    assert code == 0, said
    assert f"1 trials at once, each with 7 CPUs: {node.address} (1); too small: " in said
    assert "no node has a GPU: trials run on CPUs" in said
    (begun,) = json.loads((tmp_path / "runs" / "deaths" / "environment.json").read_text())["starts"]
    assert [(one["address"], one["cpus"]) for one in begun["nodes"]] == [(node.address, 7)]
    assert begun["nodes"][0]["processor"]
    state, _ = load_checkpoint(tmp_path / "runs" / "deaths" / "trials" / "0" / LAST)
    assert json.loads(state["recipe"])["precision"] == begun["auto_precision"]


def test_url_that_nodes_do_not_see_is_refused_before_anything_is_trained(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    """file:// is another disk on each machine, here by a mount of the node's own."""
    hide = f'mount -t tmpfs none {tmp_path} && exec "$@"'
    apart = ["unshare", "--map-root-user", "--mount"]
    require_mounts(apart, tmp_path)
    node = cluster.add_node(cpus=1, before=[*apart, "sh", "-c", hide, "sh"])
    far = f"file://{tmp_path}/far"
    driver = start(cluster, new_grid(tmp_path), "--storage-path", far)
    code = driver.end()
    cluster.remove(node)
    said = "".join(driver.lines)
    assert code == 2, said
    assert f"{node.address} " in said
    assert f"another place by the name of {far}/deaths" in said
    assert "Traceback" not in said
    assert not [*(tmp_path / "far" / "deaths").glob(".mark*")]


def asked_for(cluster: Cluster) -> object:
    """What an autoscaler of the cluster would be asked for now."""
    done = subprocess.run(
        [sys.executable, "-c", ASKED, cluster.address], env=os.environ | cluster.environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
