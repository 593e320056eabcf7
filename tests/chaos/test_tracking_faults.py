"""A W&B server that fails in every way: no trial waits, the end is near, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.driver import STUDY, Driver, assert_gone, assert_sound, new_folder
from tests.chaos.wandb_server import serving
from tests.conftest import TINY_STUDY
from tests.tune.wandb_files import read_runs
from tune.wandb_tracker import MOST_SECONDS_AT_EXIT

pytestmark = [pytest.mark.slow, pytest.mark.fault("tracking")]

OPEN = 20

TELL = """
import json, sys, time
from pathlib import Path
from tests.tune.test_ledger import open_ledger
from tests.tune.test_report import score_row
from tune.wandb_tracker import WandbTracker

path, count = Path(sys.argv[1]), int(sys.argv[2])
ledger = open_ledger(path, f"run_cap={count}")
tracker = WandbTracker(ledger, path.parent, "online", {})
longest = 0.0

def tell(job):
    global longest
    started = time.monotonic()
    job()
    longest = max(longest, time.monotonic() - started)

orders = [ledger.ask() for _ in range(count)]
for order in orders:
    tell(lambda: tracker.started(order))
for epoch in (1, 2, 3):
    for order in orders:
        row = score_row(epoch, 0.1 * epoch)
        ledger.report(order.number, row)
        tell(lambda: tracker.reported(order.number, row))
for order in orders[:2]:
    ledger.finish(order.number)
    tell(lambda: tracker.finished(order.number))
started = time.monotonic()
tracker.close()
print(json.dumps({"uid": ledger.uid, "longest": longest, "end": time.monotonic() - started}))
"""


@dataclass(frozen=True)
class Told:
    """What became of a search whose runs were told to a server."""

    uid: str
    longest: float
    end: float
    said: str


def tell(folder: Path, url: str, count: int = OPEN) -> Told:
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    answer = subprocess.run(
        [sys.executable, "-c", TELL, str(folder / "tiny.yaml"), str(count)],
        env=at(url) | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=folder, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return Told(**json.loads(answer.stdout), said=answer.stderr)


def at(url: str) -> dict[str, str]:
    """An environment in which W&B is somewhere else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    return kept | {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": url}


@contextmanager
def closed_port() -> Iterator[str]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def assert_whole(folder: Path, told: Told, count: int = OPEN) -> None:
    """Every trial has an offline run with all its rows, which W&B can send later."""
    runs = read_runs(folder)
    assert sorted(run.id for run in runs) == sorted(f"{told.uid}-{n}" for n in range(count))
    for run in runs:
        assert [(row["_step"], row["score"]) for row in run.history] == [
            *((1, 0.1), (2, 0.2), (3, pytest.approx(0.3)))
        ]
        assert run.exit_code == 0
    ended = {run.id for run in runs if run.summary.get("state") == "COMPLETE"}
    assert ended == {f"{told.uid}-0", f"{told.uid}-1"}
    with serving("well") as server:
        sync(folder, server.url)
        assert {name: len(rows) for name, rows in server.history.items()} == {
            run.id: 3 for run in runs
        }


def sync(folder: Path, url: str) -> None:
    """What the user is told to do."""
    wandb = shutil.which("wandb", path=str(Path(sys.executable).parent))
    assert wandb is not None
    places = [str(path) for path in folder.glob("wandb/offline-run-*")]
    command = [wandb, "sync", *places]
    subprocess.run(command, env=at(url), cwd=folder, capture_output=True, check=True)


def assert_prompt(told: Told) -> None:
    assert told.longest < 2  # an enqueued call takes microseconds; the limit is for busy machines
    assert told.end <= MOST_SECONDS_AT_EXIT + 2


def test_healthy_server_gets_every_row(tmp_path: Path) -> None:
    with serving("well") as server:
        told = tell(tmp_path, server.url, 3)
    assert told.said == ""
    assert_prompt(told)
    assert set(server.history) == {f"{told.uid}-{number}" for number in range(3)}
    for rows in server.history.values():
        assert [row["_step"] for row in rows] == [1, 2, 3]
    assert read_runs(tmp_path) == []


def test_server_that_refuses_connections(tmp_path: Path) -> None:
    with closed_port() as url:
        told = tell(tmp_path, url)
    assert_prompt(told)
    assert_whole(tmp_path, told)
    assert "does not answer" in told.said
    assert f"wandb sync {tmp_path / 'wandb'}/offline-run-*" in told.said


def test_server_that_swallows_everything(tmp_path: Path) -> None:
    with serving("mute") as server:
        told = tell(tmp_path, server.url)
    assert_prompt(told)
    assert_whole(tmp_path, told)
    assert "does not answer" in told.said


def test_server_that_refuses_the_key(tmp_path: Path) -> None:
    with serving("key") as server:
        told = tell(tmp_path, server.url)
    assert_prompt(told)
    assert_whole(tmp_path, told)
    assert "401" in told.said


def test_server_that_dies_under_all_runs(tmp_path: Path) -> None:
    with serving("well", lives=OPEN) as server:
        told = tell(tmp_path, server.url)
        assert len(server.begun) == OPEN
    assert_prompt(told)
    assert_whole(tmp_path, told)
    assert "runs are written offline from now on" in told.said


def test_killed_driver_goes_on_with_the_same_runs(tmp_path: Path) -> None:
    study = STUDY.replace("run_cap: 4", "run_cap: 2").replace("{value: 12}", "{value: 6}")
    folder = new_folder(tmp_path, study.replace("wandb: off", "wandb: online"))
    with closed_port() as url:
        first = Driver(folder, environment=at(url))
        first.wait_for("trial 1 epoch 3:")
        left_behind = first.kill()
        second = Driver(folder, environment=at(url))
        assert second.end() == 0, "".join(second.lines)
    entries = assert_sound(folder, trials=2, epochs=6)
    runs = read_runs(folder / "runs" / "deaths")
    # oldest first; the killed may be empty
    last = {run.id: run for run in runs if run.id and not run.id.endswith("-summary")}
    assert any(run.id.endswith("-summary") and run.exit_code == 0 for run in runs)
    assert len({name.rpartition("-")[0] for name in last}) == 1  # one study
    assert sorted(name.rpartition("-")[2] for name in last) == ["0", "1"]
    told = last[max(last)]  # trial 0 had ended before the death, and need not be told again
    assert [row["score"] for row in told.history] == [row["score"] for row in entries[1].rows]
    assert told.exit_code == 0
    assert_gone(left_behind, seconds=150)
