from __future__ import annotations

import json
import re
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest

from tune import cluster
from tune.cluster import find_dead, running_ray


def test_only_the_owner_can_read_the_token() -> None:
    path = cluster._token_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) == 64
    assert cluster._token_file() == path


def test_where_no_ray_was_started_none_has_died() -> None:
    assert find_dead() == ""


def test_what_a_job_sets_for_its_workers_is_not_set_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = cluster._environment_of_workers()["env_vars"]
    assert {"MALLOC_ARENA_MAX", "NO_ALBUMENTATIONS_UPDATE", "RAY_USAGE_STATS_ENABLED"} <= set(
        wanted
    )
    assert not [name for name in wanted if "TOKEN" in name or "KEY" in name or "PASS" in name]
    job = {"runtime_env": {"working_dir": "gcs://a.zip", "env_vars": {"MALLOC_ARENA_MAX": "4"}}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    ours = cluster._environment_of_workers()
    assert ours == {"env_vars": {k: v for k, v in wanted.items() if k != "MALLOC_ARENA_MAX"}}
    from ray.runtime_env.runtime_env import _merge_runtime_env

    merged = _merge_runtime_env(job["runtime_env"], ours)
    assert merged is not None  # None is Ray's refusal
    assert merged["env_vars"] == wanted | {"MALLOC_ARENA_MAX": "4"}


@pytest.mark.slow
def test_ray_of_our_own_has_no_process_that_we_do_not_need() -> None:
    """Names of processes are Ray's inner ones: this fails when an upgrade changes them."""
    began = psutil.Process().children(recursive=True)
    with running_ray("local", cpus=1, workers=2):
        import ray

        @ray.remote
        def list_imported() -> bool:
            return {"torch", "tune.trainable", "albumentations"} <= set(sys.modules)

        assert ray.get(list_imported.remote())
        started = set(psutil.Process().children(recursive=True)) - set(began)
        names = sorted(re.sub("ray::.*", "worker", _name(one)) for one in started)
        assert [name for name in names if name != "python"] == [
            "cat", "cat", "gcs_server", "raylet", "worker", "worker",
        ]  # fmt: skip
    give_up_at = time.monotonic() + 30
    while left := [one for one in started if _name(one) not in ("", "python")]:
        assert time.monotonic() < give_up_at, left


def _name(process: psutil.Process) -> str:
    """What a process was started as; empty once it has ended."""
    try:
        return Path(process.cmdline()[0]).name
    except psutil.Error:
        return ""
