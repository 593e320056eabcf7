"""cluster.yaml, held against the checks that `ray up` itself makes. Nothing is started."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture
def cluster() -> Any:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def test_ray_accepts_the_file(cluster):
    validate_config(prepare_config(cluster))
    assert cluster["cluster_name"] == "segtune"


def test_ray_refuses_an_unknown_key(cluster):
    broken = copy.deepcopy(cluster) | {"setup_comands": []}
    with pytest.raises(ValidationError, match="setup_comands"):
        validate_config(prepare_config(broken))


def test_every_key_is_as_we_wrote_it_after_defaults(cluster):
    """A misplaced key would silently fall back to Ray's own start commands."""
    prepared = prepare_config(cluster)
    assert all(prepared[key] == cluster[key] for key in STARTS)


@pytest.mark.parametrize("key", STARTS)
def test_ray_starts_only_with_a_token(cluster, key):
    *before, start = cluster[key]
    assert "test -s ~/.ray/auth_token" in before[0]
    assert "RAY_AUTH_MODE=token" in start


def test_machines_get_the_pinned_project(cluster):
    assert cluster["file_mounts"]["~/segtune"] == "."
    assert any("pip install" in step and "~/segtune" in step for step in cluster["setup_commands"])
