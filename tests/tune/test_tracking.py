from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tests.tune.test_ledger import open_ledger
from tests.tune.test_report import score_row
from tests.tune.wandb_files import read_runs
from tune.ledger import Ledger
from tune.tracking import TensorBoardTracker, build_trackers, choose_wandb_mode
from tune.wandb_client import Background
from tune.wandb_tracker import WandbTracker

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


def test_tensorboard_compares_recipes(study_path: Path, tmp_path: Path) -> None:
    ledger = open_ledger(study_path)
    tracker = TensorBoardTracker(ledger, tmp_path)
    train(ledger, [tracker], 0.1, 0.3, 0.2)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "0"))
    events.Reload()
    told = events.PluginTagToContent("hparams")
    assert "_hparams_/session_start_info" in told
    start = HParamsPluginData.FromString(told["_hparams_/session_start_info"])
    knobs = start.session_start_info.hparams
    assert knobs["learning_rate"].number_value == 0.001
    assert knobs["base_filters"].number_value == 4
    assert read_scores(tmp_path / "tensorboard" / "0", "best_dice") == [(2, 0.3)]


def num_writing() -> int:
    """Threads that write an event file each; those of other tests are none of them."""
    return sum("EventLogger" in type(one).__name__ for one in threading.enumerate())


def test_tensorboard_of_a_trial_that_died_leaves_no_file_open(
    study_path: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(study_path)
    tracker = TensorBoardTracker(ledger, tmp_path)
    order = ledger.ask()
    assert order is not None
    for _ in range(3):
        tracker.started(order)
    assert num_writing() == 1
    tracker.close()
    assert num_writing() == 0


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


@pytest.mark.slow
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


def test_key_of_wandb_login_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(os.environ["NETRC"]).write_text("machine api.wandb.ai login user password x\n")
    assert choose_wandb_mode("auto") == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.lab.example:8080")
    assert choose_wandb_mode("auto") == "offline"
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


@pytest.mark.fault("tracking")
def test_fault_of_a_view_ends_the_view_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    background = Background("the view")
    background.submit(lambda: done.append(1))
    background.submit(lambda: done.append(1 // 0))
    background.submit(lambda: done.append(2))
    assert background.close(5)
    assert done == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "the view stopped (ZeroDivisionError: integer division or modulo by zero); "
        "the search goes on without it"
    ]


@pytest.mark.fault("tracking")
def test_slow_view_delays_nobody_for_longer_than_allowed(caplog: pytest.LogCaptureFixture) -> None:
    held = threading.Event()
    background = Background("the view")
    started = time.monotonic()
    background.submit(lambda: held.wait(30) and None)
    assert time.monotonic() - started < 1
    assert not background.close(0.05)
    held.set()
    with caplog.at_level(logging.WARNING):
        background.submit(lambda: None)
    assert caplog.records == []
