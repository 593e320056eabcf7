from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tune.test_ledger import open_ledger
from tests.tune.test_report import score_row
from tests.tune.wandb_files import read_runs
from tune.ledger import Ledger
from tune.tracking import (
    MOST_SECONDS_AT_EXIT,
    TensorBoardTracker,
    WandbTracker,
    _Background,
    build_trackers,
    choose_wandb_mode,
)

Tracker = WandbTracker | TensorBoardTracker


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def train(ledger: Ledger, trackers: list[Tracker], *scores: float, end: bool = True) -> int:
    order = ledger.ask()
    assert order is not None
    for tracker in trackers:
        tracker.started(order)
    for epoch, score in enumerate(scores, start=order.num_reported + 1):
        ledger.report(order.number, score_row(epoch, score))
        for tracker in trackers:
            tracker.reported(order.number, score_row(epoch, score))
    if end:
        ledger.finish(order.number)
        for tracker in trackers:
            tracker.finished(order.number)
    return order.number


def read_scores(folder: Path, tag: str = "score") -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 6)) for event in events.Scalars(tag)]


def test_tensorboard_shows_every_epoch(study_path: Path, tmp_path: Path) -> None:
    ledger = open_ledger(study_path)
    tracker = TensorBoardTracker(ledger, tmp_path)
    train(ledger, [tracker], 0.1, 0.2, 0.3)
    train(ledger, [tracker], 0.4, end=False)
    # no close: what was reported is on disk, whenever the process dies
    assert read_scores(tmp_path / "tensorboard" / "0") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert read_scores(tmp_path / "tensorboard" / "1") == [(1, 0.4)]
    assert read_scores(tmp_path / "tensorboard" / "0", "dice_TC")[0] == (1, 0.1)
    tracker.close()
    tracker.finished(1)


def test_tensorboard_of_a_continued_trial_has_each_epoch_once(
    study_path: Path, tmp_path: Path
) -> None:
    before = open_ledger(study_path)
    first = TensorBoardTracker(before, tmp_path)
    train(before, [first], 0.1, end=False)
    before.report(0, score_row(2, 0.2))  # the driver died before it could show this one
    first.close()
    after = open_ledger(study_path)
    second = TensorBoardTracker(after, tmp_path)
    assert train(after, [second], 0.3) == 0
    second.close()
    assert read_scores(tmp_path / "tensorboard" / "0") == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_offline_runs_hold_config_history_and_summary(study_path: Path, tmp_path: Path) -> None:
    before = open_ledger(study_path, "project=brain")
    tracker = WandbTracker(before, tmp_path, "offline", {"study": "tiny", "demo": False})
    train(before, [tracker], 0.1, 0.3, 0.2)
    train(before, [tracker], 0.4, end=False)
    before.report(1, score_row(2, 0.5))  # the driver died before it could show this one
    tracker.close()
    after = open_ledger(study_path, "project=brain")
    tracker = WandbTracker(after, tmp_path, "offline", {})
    assert train(after, [tracker], 0.6) == 1
    tracker.close()

    runs = {run.id: run for run in read_runs(tmp_path)}  # the last one written under each id
    assert set(runs) == {f"{after.uid}-0", f"{after.uid}-1"}
    first, second = runs[f"{after.uid}-0"], runs[f"{after.uid}-1"]
    assert (first.name, first.group, first.project) == ("tiny-0", "tiny", "brain")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.config["learning_rate"] == 0.001
    assert first.config["study"] == "tiny"
    assert [row["score"] for row in first.history] == [0.1, 0.3, 0.2]
    assert [row["_step"] for row in first.history] == [1, 2, 3]
    assert first.summary["best_score"] == 0.3
    assert first.summary["last_score"] == 0.2
    assert first.summary["state"] == "COMPLETE"
    assert [(row["_step"], row["score"]) for row in second.history] == [
        (1, 0.4),
        (2, 0.5),
        (3, 0.6),
    ]


@pytest.mark.parametrize(
    ("wish", "environment", "mode"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": "x"}, "online"),
        ("online", {}, "online"),
        ("offline", {"WANDB_API_KEY": "x"}, "offline"),
        ("auto", {"WANDB_API_KEY": "x", "WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, None),
        ("off", {"WANDB_MODE": "online"}, None),
    ],
)
def test_online_needs_a_key_and_the_environment_has_the_last_word(
    wish: str, environment: dict[str, str], mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert choose_wandb_mode(wish) == mode


def test_key_of_wandb_login_is_found(tmp_path: Path) -> None:
    Path(os.environ["NETRC"]).write_text("machine api.wandb.ai login user password x\n")
    assert choose_wandb_mode("auto") == "online"
    Path(os.environ["NETRC"]).write_text("machine\n")
    assert choose_wandb_mode("auto") == "offline"


@pytest.mark.parametrize(
    ("tracking", "kinds"),
    [
        ("{wandb: off}", []),
        ("{wandb: off, tensorboard: true}", [TensorBoardTracker]),
        ("{wandb: offline, tensorboard: true}", [WandbTracker, TensorBoardTracker]),
    ],
)
def test_study_says_which_views_there_are(
    tracking: str, kinds: list[type], study_path: Path, tmp_path: Path
) -> None:
    trackers = build_trackers(open_ledger(study_path, f"tracking={tracking}"), tmp_path)
    assert [type(tracker) for tracker in trackers] == kinds
    for tracker in trackers:
        tracker.close()


def test_fault_of_a_view_ends_the_view_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    background = _Background("the view")
    background.submit(lambda: done.append(1))
    background.submit(lambda: done.append(1 // 0))
    background.submit(lambda: done.append(2))
    assert background.close(5)
    assert done == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "the view stopped (ZeroDivisionError: integer division or modulo by zero); "
        "the search goes on without it"
    ]


def test_slow_view_delays_nobody_for_longer_than_allowed(caplog: pytest.LogCaptureFixture) -> None:
    held = threading.Event()
    background = _Background("the view")
    started = time.monotonic()
    background.submit(lambda: held.wait(30) and None)
    assert time.monotonic() - started < 1
    assert not background.close(0.05)
    held.set()
    with caplog.at_level(logging.WARNING):
        background.submit(lambda: None)
    assert caplog.records == []


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections, answers the first question and then never again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if connection.recv(4) == b"GET ":
                    connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


TELL = """
import sys, time
from pathlib import Path
from tests.tune.test_ledger import open_ledger
from tests.tune.test_tracking import train
from tune import tracking
path = Path(sys.argv[1])
ledger = open_ledger(path)
tracking.MOST_SECONDS_AT_EXIT = float(sys.argv[2])
tracker = tracking.WandbTracker(ledger, path.parent, "online", {})
started = time.monotonic()
train(ledger, [tracker], 0.1, 0.2, 0.3)
assert time.monotonic() - started < 2
tracker.close()
"""


def tell(path: Path, url: str, seconds: float) -> tuple[float, str]:
    environment = os.environ | {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": url}
    started = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", TELL, str(path), str(seconds)],
        env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return time.monotonic() - started, answer.stderr


@pytest.mark.slow
def test_hanging_server_holds_up_the_exit_no_longer_than_allowed(
    study_path: Path, silent_server: str
) -> None:
    took, said = tell(study_path, silent_server, 3)
    assert took < 3 + 12  # starting Python and W&B, and ending both
    assert "did not finish in 3 s; `wandb sync` can send" in said
    assert MOST_SECONDS_AT_EXIT == 30


@pytest.mark.slow
def test_dead_server_makes_the_runs_offline(study_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        _, said = tell(study_path, f"http://127.0.0.1:{held.getsockname()[1]}", 30)
    assert "does not answer" in said
    assert [len(run.history) for run in read_runs(study_path.parent)] == [3]
