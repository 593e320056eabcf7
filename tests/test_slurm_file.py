"""The script for Slurm: read by bash and ShellCheck, and run by a real Slurm where there is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seglib.allocator import ONE_HEAP
from tests.cluster.nodes import WATCHFUL
from tests.conftest import TINY_STUDY

STUDY = "\n".join(
    "run_cap: 2" if line.startswith("run_cap") else line
    for line in TINY_STUDY.splitlines()
    if not line.startswith("early_terminate")
)

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs/cluster/slurm.sbatch"
LAB = ROOT / "tests/slurm_lab.sh"
NEEDED = ("slurmctld", "slurmd", "sbatch", "munged", "unshare", "ip")
SECONDS = 240


@pytest.mark.parametrize("path", [SCRIPT, LAB], ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path):
    subprocess.run(["bash", "-n", path], check=True)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([shellcheck, path], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_job_hears_of_its_time_limit_and_outlives_its_nodes():
    asked = re.findall(r"^#SBATCH (.+)$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    assert {"--requeue", "--no-kill", "--open-mode=append", "--ntasks-per-node=1"} <= set(asked)
    (signal,) = [one for one in asked if one.startswith("--signal=")]
    assert signal.startswith("--signal=B:USR1@")
    assert int(signal.rpartition("@")[2]) >= 90


def test_cluster_is_closed_quiet_and_ends_nobody_elses_ray():
    text = SCRIPT.read_text(encoding="utf-8")
    commands = "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines())
    assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in commands
    assert "umask 077" in commands
    assert "RAY_USAGE_STATS_ENABLED=0" in commands
    assert all(f"{name}={value}" in commands for name, value in (ONE_HEAP | WATCHFUL).items())
    assert "--include-dashboard=false" in commands
    assert "ray stop" not in commands
    assert "pkill" not in commands


@pytest.mark.slow
def test_real_slurm_starts_two_nodes_and_the_search_on_them(tmp_path):
    missing = [name for name in NEEDED if shutil.which(name, path=_path()) is None]
    if missing or os.geteuid():
        if os.environ.get("SEGTUNE_ALL_TOOLS") == "1":
            pytest.fail(f"not root, or not installed: {missing}")
        pytest.skip(f"needs root and slurm-wlm, munge, iproute2; missing here: {missing or 'root'}")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "tiny.yaml").write_text(STUDY)
    kinds = ("mount", "pid", "net", "uts", "ipc")
    lab = ["unshare", *(f"--{kind}" for kind in kinds), "--fork", "--kill-child", "--mount-proc"]
    words = ["--space", "tiny.yaml", "--storage-path", "/run/lab/work/runs"]
    environment = {"PATH": _path(), "SEGTUNE_VENV": sys.prefix, "USER": "root"}
    done = subprocess.run(
        [*lab, LAB, tmp_path, str(SECONDS), SCRIPT, *words],
        env=environment, capture_output=True, text=True, timeout=SECONDS + 60,
    )  # fmt: skip
    logs = {path.name: path.read_text() for path in (tmp_path / "work").glob("*.log")}
    assert done.returncode == 0, (done.stderr, logs)
    assert "JobState=COMPLETED" in (tmp_path / "state").read_text(), logs
    log = logs["segtune-1.log"]
    assert "2 of 2 nodes" in log
    assert "trial 0 COMPLETE" in log
    assert (tmp_path / "work/runs/tiny/leaderboard.csv").is_file()
    assert (tmp_path / "left").read_text() == ""


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"
