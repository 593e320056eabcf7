"""Who is let onto a cluster and what runs there: refused clearly, or told which nodes take part."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.driver import Driver
from tests.cluster.nodes import Cluster
from tests.cluster.studies import Start, new_grid
from tests.cluster.test_nodes import require_mounts

pytestmark = pytest.mark.slow

LOOK = """\
import json, sys
from pathlib import Path
from tune.cluster import running_ray
from tune.nodes import free_nodes, living_nodes
from tune.room import Room
with running_ray(sys.argv[1], cpus=1) as pulse:
    import ray
    room = Room(1, 0.5, None, pulse)
    room.look(at_work=0)
    @ray.remote(num_cpus=5, num_gpus=1)
    class Other:
        def environment(self):
            import os
            return dict(os.environ)
    other = Other.remote()
    environment = ray.get(other.environment.remote())
    busy = Room(1, 0.5, None, pulse)
    busy.look(at_work=0)
    print(json.dumps({
        "nodes": [[node.address, node.cpus, node.gpus] for node in living_nodes()],
        "most": room.most(0), "busy": busy.most(0), "heap": environment.get("MALLOC_ARENA_MAX"),
        "on": busy.find_lost(busy.node_of(other._actor_id.hex())),
    }))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without cores, and one node with two GPUs that Ray believes in."""
    with Cluster(head_cpus=0) as cluster:
        cluster.add_node(cpus=6, gpus=2)
        yield cluster


@pytest.mark.parametrize("kind", ["none", "wrong"])
def test_search_without_the_right_token_is_refused_at_once(
    cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    environment = {"HOME": str(tmp_path)}
    if kind == "wrong":
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").touch(0o600)
        (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    began = time.monotonic()
    said = run(cluster, tmp_path, environment=environment, code=2)
    assert time.monotonic() - began < 30
    (line,) = [line for line in said.splitlines() if "--address: found" in line]
    given = "another one, from ~/.ray/auth_token" if kind == "wrong" else "none"
    assert f"{cluster.address}, which wants a token and was given {given}" in line
    assert "RAY_AUTH_TOKEN_PATH" in said
    assert "mode 0600" in said
    assert "Traceback" not in said
    assert "gcs_client" not in said
    assert not (tmp_path / "runs" / "deaths").exists()


def test_token_in_its_usual_place_is_enough(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch(0o600)
    (tmp_path / ".ray" / "auth_token").write_text(cluster.token_file.read_text())
    environment = {"HOME": str(tmp_path)}
    said = run(cluster, tmp_path, "--set", "epochs=1", environment=environment, code=0)
    assert (
        "cluster: 1 of 2 nodes take part, 2 trials at once, each with 1 CPU and 1 GPU: "
        "127.0.0.3 (2); too small: 127.0.0.2 (0 CPUs)"
    ) in said


def test_trial_that_can_never_start_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """However many are to run at once: no number of them makes a node larger."""
    said = run(
        cluster, tmp_path, "--set", "resources.gpus_per_trial=4", "--set",
        "resources.cpus_per_trial=32", "--set", "resources.concurrent=8",
        environment=cluster.environment | {"SEGTUNE_NODE_WAIT_S": "3"}, code=2,
    )  # fmt: skip
    assert said.count("no node has room for a trial yet; waiting up to 3 s for one with 32") == 1
    assert "resources.gpus_per_trial: found 4 GPUs" in said
    assert "resources.cpus_per_trial: found 32 CPUs" in said
    assert "largest node: 6 CPUs, 2 GPUs; 2 nodes: 127.0.0.2 (0 CPUs); 127.0.0.3" in said
    assert "Traceback" not in said


def test_room_is_what_others_leave_and_workers_have_our_settings(cluster: Cluster) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, cluster.address], env=os.environ | cluster.environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "nodes": [["127.0.0.2", 0.0, 0.0], ["127.0.0.3", 6.0, 2.0]],
        "most": 4, "busy": 1, "heap": "1", "on": "",
    }  # fmt: skip


def test_late_node_that_does_not_see_the_run_directory_eats_no_trials(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    hide = f'mount -t tmpfs none {tmp_path} && exec "$@"'
    apart = ["unshare", "--map-root-user", "--mount"]
    require_mounts(apart, tmp_path)
    words = ("--set", "epochs=500", "--set", "resources.gpus_per_trial=0", "--set",
             "resources.cpus_per_trial=3")  # fmt: skip
    driver = start(cluster, new_grid(tmp_path), *words)
    driver.wait_for(" epoch 2:")
    node = cluster.add_node(cpus=3, before=[*apart, "sh", "-c", hide, "sh"])
    began = time.monotonic()
    driver.wait_for(f"node {node.address} gets no trials for 60 min; mend it")
    print(f"node joined: its first trial was looked at after {time.monotonic() - began:.1f} s")
    driver.wait_for("trial 2 starts")  # it waits for another node, though this one is free
    for _ in range(20):
        driver.wait_for(" epoch ")
    driver.send(signal.SIGTERM)
    assert driver.end() == 143, "".join(driver.lines)
    cluster.remove(node)
    told = "".join(driver.lines)
    fault = f"its node is at fault: node {node.address}: found no {tmp_path / 'runs' / 'deaths'}"
    assert told.count(fault) == 1
    assert "FAIL" not in told
    assert "Traceback" not in told


def run(cluster: Cluster, folder: Path, *words: str, environment: dict[str, str], code: int) -> str:
    """A whole search; what it said."""
    words = ("--address", cluster.address, *words)
    driver = Driver(new_grid(folder), *words, environment=environment)
    assert driver.end() == code, "".join(driver.lines)
    return "".join(driver.lines)
