"""Searches as jobs of a real cluster: sent, seen, stopped, sent again. One head for all tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import tune
from tests.cluster.commands import SEGTUNE, TINY, assert_nowhere, job_of, segtune
from tests.cluster.nodes import Cluster
from tests.postgres import CutLine
from tune.entries import Entry, read_entries
from tune.run_lock import hold, is_held, owner_of
from tune.storage import view_storage

pytestmark = pytest.mark.slow

Ask = Callable[..., str]

SECRETS = {"WANDB_API_KEY": "f00d" * 10, "PGPASSWORD": "planted-pg-password"}


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    with Cluster(dashboard=True, head_cpus=2, environment=SECRETS) as cluster:
        yield cluster


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def ask(head: Cluster, tmp_path: Path) -> Ask:
    """`segtune` on a client; that Ray is looked for elsewhere by default must not matter."""
    environment = head.environment | {"RAY_ADDRESS": "127.0.0.1:1"}

    def ask(command: str, *words: object, code: int = 0, **more: str) -> str:
        address = ("--address", head.dashboard_url)
        return segtune(
            command, *address, *words, environment=environment | more, code=code, folder=tmp_path
        )

    return ask


def entries_of(run: Path) -> list[Entry]:
    journal = run / "journal.log"
    return read_entries(run.name, view_storage(journal)) if journal.exists() else []


def wait_until(condition: Callable[[], bool], seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def altered_source(folder: Path) -> Path:
    """A copy of the project whose code and pins are others."""
    root = Path(tune.__file__).parents[1]
    for name in ("seglib", "tune"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_studies_share_a_cluster_and_each_is_sent_once(ask, study, tmp_path):
    out = tmp_path / "shared"
    first = job_of(ask("submit", "--space", study, "--out", out, "--set", "epochs=12"))
    second = job_of(ask("submit", "--space", study, "--out", out / "b", "--set", "name=other"))
    again = ask("submit", "--space", study, "--out", out, code=2)
    assert f"job: found {first}, at work on it since" in again

    said = ask("logs", first, "--follow")
    assert "trial 1 COMPLETE" in said
    assert f"{first}: SUCCEEDED" in said
    ask("logs", second, "--follow")
    for run, epochs in ((out / "tiny", 12), (out / "b" / "other", 3)):
        assert [len(entry.rows) for entry in entries_of(run)] == [epochs, epochs]
    table = ask("status")
    assert re.search(rf"{first} +SUCCEEDED .* 0 +best: trial", table)
    assert re.search(rf"{second} +SUCCEEDED .* 0 +best: trial", table)
    assert f"run directory: {out / 'tiny'}" in ask("status", first)


def test_job_outlives_its_clients_is_stopped_in_order_and_goes_on(ask, head, study, tmp_path):
    run = tmp_path / "shared" / "tiny"
    words = ("--space", study, "--out", run.parent, "--set", "epochs=400", "--trials", "1")
    job = job_of(ask("submit", *words))
    follower = subprocess.Popen(
        [SEGTUNE, "logs", "--address", head.dashboard_url, job, "--follow"],
        stdout=subprocess.PIPE, text=True, env=os.environ | head.environment,
    )  # fmt: skip
    assert follower.stdout is not None
    assert any("epoch 2:" in line for line in follower.stdout)
    follower.kill()
    follower.communicate()
    assert re.search(rf"{job} +RUNNING .* trial 0 epoch", ask("status"))

    owner = int(owner_of(run).split()[1])
    os.kill(owner, signal.SIGSTOP)
    stopping = subprocess.Popen(
        [SEGTUNE, "stop", "--address", head.dashboard_url, job],
        stdout=subprocess.PIPE, text=True, env=os.environ | head.environment,
    )  # fmt: skip
    with pytest.raises(subprocess.TimeoutExpired):  # Ray itself would have killed it after 3 s
        stopping.wait(timeout=6)
    os.kill(owner, signal.SIGCONT)
    said, _ = stopping.communicate(timeout=60)
    assert stopping.returncode == 0
    assert "what is trained so far is kept" in said
    assert "interrupted: the same command goes on from here" in ask("logs", job)
    assert not is_held(run)
    (entry,) = entries_of(run)
    done = len(entry.rows)
    assert 2 <= done < 400
    assert "had ended before (STOPPED)" in ask("stop", job)

    words = (*words[:4], "--set", f"epochs={done + 2}", *words[6:])
    job = job_of(ask("submit", *words))
    assert "trial 0 epoch 1:" not in ask("logs", job, "--follow")
    (entry,) = entries_of(run)
    assert [row["epoch"] for row in entry.rows[:done]] == list(range(1, done + 1))


def test_log_of_a_cluster_that_is_cut_off_ends_with_one_message(ask, head, study, tmp_path):
    words = ("--space", study, "--out", tmp_path / "shared", "--set", "epochs=400")
    job = job_of(ask("submit", *words, "--trials", "1"))
    line = CutLine(int(head.dashboard_url.rpartition(":")[2]), head.dashboard_url[7:].split(":")[0])
    follower = subprocess.Popen(
        [SEGTUNE, "logs", "--address", f"http://127.0.0.1:{line.port}", job, "--follow"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | head.environment,
    )  # fmt: skip
    assert follower.stdout is not None
    assert any("epoch 2:" in text for text in follower.stdout)
    line.close()
    line.hang()
    _, said = follower.communicate(timeout=60)
    assert follower.returncode == 1
    assert f"error: http://127.0.0.1:{line.port}: " in said
    assert "Traceback" not in said
    ask("stop", job)


def test_job_runs_the_source_that_was_sent(ask, study, tmp_path):
    source = altered_source(tmp_path / "source")
    announcement = source / "tune" / "announcement.py"
    announcement.write_text(announcement.read_text().replace("run directory: ", "sent to: "))
    trial = source / "tune" / "trial.py"
    trial.write_text(trial.read_text() + "\nfrom pathlib import Path as _P\n"
                     f"_P({str(tmp_path / 'seen')!r}).write_text(__file__)\n")  # fmt: skip
    (source / ".env").write_text("SECRET=planted")
    words = ("--space", study, "--out", tmp_path / "shared", "--trials", "1")
    job = job_of(ask("submit", *words, PYTHONPATH=str(source)))
    said = ask("logs", job, "--follow")
    assert f"sent to: {tmp_path / 'shared' / 'tiny'}" in said
    ran = (tmp_path / "seen").read_text()
    assert "_ray_pkg_" in ran, "the workers have it, too"
    assert not list(Path(ran).parents[1].rglob(".*"))


def test_other_versions_on_the_cluster_are_refused_each_by_name(ask, study, tmp_path):
    source = altered_source(tmp_path / "source")
    about = source / "segtune-0.1.0.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(
        "Metadata-Version: 2.4\nName: segtune\nVersion: 0.1.0\nRequires-Dist: numpy==1.0.0\n"
        'Requires-Dist: torch==2.13.0\nRequires-Dist: not-there==7; extra == "cluster"\n'
        'Requires-Dist: nor-this==7; extra == "dev"\n\nLong text\n'
    )
    job = job_of(
        ask("submit", "--space", study, "--out", tmp_path / "shared", PYTHONPATH=str(source))
    )
    said = ask("logs", job, "--follow", code=1)
    assert re.search(r"numpy: found 2\.\S+ ; wanted 1\.0\.0", said)
    assert "not-there: found not installed ; wanted 7\n      hint: install the project" in said
    assert "2 problems" in said
    assert re.search(rf"{job} .* 2 +numpy: found", ask("status"))


def test_jobs_of_one_study_at_two_urls_keep_their_copies_apart(ask, head, study, tmp_path):
    jobs = []
    for name, epochs in (("a", 3), ("b", 4)):
        words = ("--storage-path", f"file://{tmp_path}/{name}", "--set", f"epochs={epochs}")
        said = ask("submit", "--space", study, *words, "--trials", "1")
        place = re.search(r"^working copy: (jobs/\w+) in \$SEGTUNE_NODE_CACHE", said, re.MULTILINE)
        assert place is not None
        jobs.append((job_of(said), head.head.cache / place[1] / "tiny", tmp_path / name / "tiny"))
    for (job, copy, far), epochs in zip(jobs, (3, 4), strict=True):
        ask("logs", job, "--follow")
        for run in (copy, far):
            assert [len(entry.rows) for entry in entries_of(run)] == [epochs]
        assert (far / "trials" / "0" / "checkpoint" / "last.pt").exists()


def test_search_at_work_outside_of_jobs_is_told_by_its_lock(ask, study, tmp_path):
    run = tmp_path / "shared" / "tiny"
    with hold(run):
        job = job_of(ask("submit", "--space", study, "--out", run.parent))
        assert f"a search at work here (pid {os.getpid()} on " in ask(
            "logs", job, "--follow", code=1
        )
        assert re.search(rf"{job} .* 2 +run\.lock: found a search at work here", ask("status"))


def test_suite_is_sent_with_all_files_that_it_names(ask, tmp_path):
    (tmp_path / "inner").mkdir()
    for name in ("one", "two"):
        text = TINY.replace("name: tiny", f"name: {name}").replace("run_cap: 2", "run_cap: 1")
        (tmp_path / "inner" / f"{name}.yaml").write_text(text)
    suite = tmp_path / "both.yaml"
    suite.write_text(
        "name: both\nstudies:\n  - {space: inner/one.yaml}\n  - {space: inner/two.yaml}\n"
    )
    job = job_of(ask("submit", "--space", suite, "--out", tmp_path / "shared"))
    assert "study 2 of 2: two" in ask("logs", job, "--follow")
    for name in ("one", "two"):
        assert len(entries_of(tmp_path / "shared" / "both" / name)) == 1


def test_what_is_no_job_is_refused(ask):
    for command in ("logs", "stop", "status"):
        assert "JOB: found nonsense ; wanted a job of this cluster" in ask(
            command, "nonsense", code=2
        )


def test_nothing_of_jobs_is_left_but_their_runs_and_no_secret_is_in_what_is_told(
    ask, head, study, tmp_path
):
    """Looks at the head after all the jobs above, and at one with a key for W&B around it."""
    words = ("--space", study, "--out", tmp_path / "shared", "--set", "epochs=400")
    job = job_of(ask("submit", *words, "--set", "tracking.wandb=offline"))
    run = tmp_path / "shared" / "tiny"
    wait_until(lambda: bool(list(run.rglob("epochs.csv"))))
    owner = psutil.Process(int(owner_of(run).split()[1]))
    assert owner.environ()["WANDB_API_KEY"] == SECRETS["WANDB_API_KEY"]
    assert owner.environ()["RAY_USAGE_STATS_ENABLED"] == "0"
    shown = "\n".join("\n".join(one.cmdline()) for one in head.head.processes())
    assert "tune.job_entry" in shown
    ask("stop", job)
    request = urllib.request.Request(f"{head.dashboard_url}/api/jobs/")
    request.add_header("Authorization", f"Bearer {head.token_file.read_text()}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = answer.read().decode()
    assert job in told
    folders = [tmp_path / "shared", head.head.folder / "r"]
    secrets = [*SECRETS.values(), head.token_file.read_text()]
    assert_nowhere(secrets, folders, shown + told + ask("logs", job))

    wait_until(lambda: not list((head.head.folder / "tmp").glob("segtune-*")))
    assert not owner.is_running()
    usage = list(head.folder.rglob("usage_stats.json"))
    assert not [path for path in usage if json.loads(path.read_text()).get("usage_stats_enabled")]
