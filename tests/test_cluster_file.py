"""The files for `ray up`, held against the checks that it makes itself. Nothing is started."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from jsonschema import ValidationError
from ray.autoscaler._private.providers import _get_default_config
from ray.autoscaler._private.util import prepare_config, validate_config

from seglib.allocator import ONE_HEAP
from tests.cluster.nodes import WATCHFUL

ROOT = Path(__file__).parents[1]
FILES = ("cluster.yaml", "docs/cluster/local.yaml")
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")
PLACEHOLDER = "CHANGE-ME"


@pytest.fixture(params=FILES)
def text(request: pytest.FixtureRequest) -> str:
    return (ROOT / request.param).read_text(encoding="utf-8")


@pytest.fixture
def cluster(text: str) -> Any:
    return yaml.safe_load(text)


@pytest.fixture
def cloud() -> Any:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def test_ray_accepts_the_file(cluster):
    validate_config(prepare_config(copy.deepcopy(cluster)))
    assert cluster["cluster_name"] == "segtune"


def test_ray_refuses_an_unknown_key(cluster):
    broken = copy.deepcopy(cluster) | {"setup_comands": []}
    with pytest.raises(ValidationError, match="setup_comands"):
        validate_config(prepare_config(broken))


def test_nothing_of_rays_own_takes_the_place_of_what_we_wrote(cluster):
    """Ray's start, setup and default machines would be wrong here, and it would not say so."""
    prepared = prepare_config(copy.deepcopy(cluster))
    merged = {"head_setup_commands", "worker_setup_commands", "available_node_types"}
    ours = {key: value for key, value in cluster.items() if key not in merged}
    assert {key: prepared[key] for key in ours} == ours
    extra = cluster.get("head_setup_commands", [])
    assert prepared["head_setup_commands"] == cluster["setup_commands"] + extra
    assert prepared["worker_setup_commands"] == cluster["setup_commands"]
    defaults = _get_default_config(cluster["provider"])
    assert all(not defaults[key] for key in set(prepared) - set(cluster) - merged - {
        "max_workers", "upscaling_speed", "idle_timeout_minutes", "head_node_type", "no_restart"
    })  # fmt: skip


@pytest.mark.parametrize("key", STARTS)
def test_ray_starts_only_with_a_token_and_tells_nobody(cluster, key):
    first, *between, last = cluster[key]
    assert "chmod 600 ~/.ray/auth_token && test -s ~/.ray/auth_token" in first
    start = next(command for command in (*between, last) if "ray start" in command)
    assert "RAY_AUTH_MODE=token" in start
    assert "RAY_USAGE_STATS_ENABLED=0" in start
    assert all(f"{name}={value} " in start for name, value in ONE_HEAP.items())
    assert "SEGTUNE_NODE_CACHE=" in start


def test_head_has_the_dashboard_and_soon_misses_a_silent_node(cluster):
    start = " ".join(cluster["head_start_ray_commands"])
    assert all(f"{name}={value} " in start for name, value in WATCHFUL.items())
    assert "--dashboard-host=127.0.0.1 --dashboard-port=8265" in start
    assert "--autoscaling-config=" in start


def test_machines_get_the_pinned_project(cluster):
    assert cluster["file_mounts"]["~/segtune"] == "."
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    (install,) = [step for step in cluster["setup_commands"] if "--require-hashes" in step]
    assert install.endswith('else $pip -e ".[cluster,s3]"; fi')
    named = re.findall(r"-r (\S+\.lock)", install)
    assert len(named) == 2
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.parametrize("key", ["setup_commands", *STARTS])
def test_shellcheck_finds_nothing_in_the_commands(cluster, key):
    script = "#!/bin/bash\n" + "\n".join(f"( {command} )" for command in cluster[key])
    shellcheck = Path(sys.executable).with_name("shellcheck")
    own = "--exclude=SC2164,SC2086,SC2097,SC2098"  # each is a shell of its own; words are meant
    found = subprocess.run([shellcheck, own, "-"], input=script, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_head_gets_what_its_autoscaler_needs(cloud):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(pin.startswith("boto3==") for pin in extras["optional-dependencies"]["aws"])
    assert 'segtune[aws,cluster,s3]"' in cloud["head_setup_commands"][-1]


def test_on_machines_of_others_nobody_elses_ray_is_ended():
    """`ray stop` ends every Ray of the user, and is only for machines that are the cluster's."""
    own = yaml.safe_load((ROOT / "docs/cluster/local.yaml").read_text(encoding="utf-8"))
    steps = [step for key in STARTS for step in own[key]]
    assert not any("ray stop" in step for step in steps)
    folders = {match for step in steps for match in re.findall(r"--temp-dir=(\S+?)[\"\s]", step)}
    assert folders == {"/tmp/segtune-$USER/ray"}


def test_what_is_to_be_filled_in_is_marked(text, cluster):
    told = {line.split("#")[0].strip() for line in text.splitlines() if PLACEHOLDER in line}
    assert len(told) >= 3
    own = {"region", "availability_zone", "head_ip", "worker_ips"}
    marked = " ".join(told)
    assert all(f"{key}:" in marked for key in own & cluster["provider"].keys())


def test_every_machine_is_one_that_amazon_could_start(cloud):
    """Against Amazon's own description of the call, which comes with its library."""
    shape = (
        botocore.session.get_session()
        .get_service_model("ec2")
        .operation_model("RunInstances")
        .input_shape
    )
    kinds = {"MarketType": shape.members["InstanceMarketOptions"].members["MarketType"].enum,
             "InstanceType": shape.members["InstanceType"].enum}  # fmt: skip
    for kind in cloud["available_node_types"].values():
        call = {"MinCount": 1, "MaxCount": 1, **kind["node_config"]}
        report = ParamValidator().validate(call, shape)
        assert not report.has_errors(), report.generate_report()
        assert call["InstanceType"] in kinds["InstanceType"]
        market = call.get("InstanceMarketOptions", {"MarketType": "spot"})
        assert market["MarketType"] in kinds["MarketType"]
    wrong = {"MinCount": 1, "MaxCount": 1, "InstanceMarketOption": {}}
    assert ParamValidator().validate(wrong, shape).has_errors()


def test_trials_run_on_gpu_machines_that_come_and_go(cloud):
    kinds = cloud["available_node_types"]
    head, gpu, spot = (kinds[name] for name in ("head", "gpu", "gpu_spot"))
    assert cloud["head_node_type"] == "head"
    assert (head["resources"], head["max_workers"]) == ({"CPU": 0}, 0)
    assert gpu["max_workers"] > gpu["min_workers"] >= 1
    assert spot["min_workers"] == 0 < spot["max_workers"] <= cloud["max_workers"]
    assert "InstanceMarketOptions" not in gpu["node_config"]
    assert spot["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert cloud["idle_timeout_minutes"] > 0


def test_shared_storage_is_mounted_before_ray_starts_anywhere(cloud):
    steps = cloud["setup_commands"]
    assert any("mountpoint -q /shared || sudo mount" in step for step in steps)
