"""A trial that two processes have: who is cut off stops; and one whose files lie at a URL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seglib.checkpoint import load_checkpoint
from seglib.data.splits import Split
from seglib.data.store import Store
from tests.tune.test_trainable import build_config
from tune import remote
from tune.trial import FAILURE, HALT, KIND, NOTE, ROW, run_trial
from tune.trial_files import BEST, CASES, EPOCHS, FINAL, LAST, LEGACY, OWNER
from tune.trial_home import Superseded

SCRIPT = """
import json, sys
from tune.trial import run_trial
def report(sent):
    print(json.dumps(sent), flush=True)
    sys.stdin.readline()
run_trial(json.loads(sys.argv[1]), report)
"""


class Worker:
    """A trial in a process of its own, that goes on after each report only when it is told."""

    def __init__(self, config: dict[str, Any], **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return json.loads(line)

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> tuple[int, str]:
        _, said = self.process.communicate("\n" * 20, timeout=240)
        return self.process.returncode, said


@pytest.fixture
def configure(store: Store, split: Split, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def configure(**more: Any) -> dict[str, Any]:
        knobs = more.pop("knobs", {})
        reported = more.pop("num_reported", 0)
        config = build_config(store, split, tmp_path / "trial", reported, epochs=4, **knobs)
        return {**config, **more}

    return configure


@pytest.fixture
def undisturbed(configure: Callable[..., Any], tmp_path: Path) -> pd.DataFrame:
    run_trial(configure(folder=str(tmp_path / "undisturbed")), lambda sent: None)
    return pd.read_csv(tmp_path / "undisturbed" / EPOCHS)


def assert_same_epochs(file: Path, undisturbed: pd.DataFrame) -> None:
    measured = ["seconds", "peak_memory_mb"]
    pd.testing.assert_frame_equal(
        pd.read_csv(file).drop(columns=measured), undisturbed.drop(columns=measured)
    )


@pytest.mark.slow
@pytest.mark.parametrize("far", [False, True], ids=["folder", "url"])
def test_process_that_was_cut_off_stops_before_it_writes(
    far: bool, configure: Callable[..., Any], undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    place = tmp_path / "far" if far else tmp_path / "trial"
    more = {"url": f"file://{place}", "private": True} if far else {}
    first = Worker(configure(**more), SEGTUNE_NODE_CACHE=str(tmp_path / "node1"))
    assert first.hear()[ROW]["epoch"] == 1
    second = Worker(configure(**more, num_reported=1), SEGTUNE_NODE_CACHE=str(tmp_path / "node2"))
    assert second.hear()[ROW]["epoch"] == 2
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    code, said = first.finish()
    assert code == 1
    assert f"Superseded: taken up by pid {second.process.pid} on" in said
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert second.finish() == (0, "")
    assert_same_epochs(place / EPOCHS, undisturbed)


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SEGTUNE_NODE_CACHE", str(tmp_path / "node"))
    yield tmp_path / "far"
    left = list((tmp_path / "node" / "trials").glob("*"))
    assert left == []


@pytest.mark.slow
def test_trial_killed_on_one_machine_goes_on_on_another_from_the_url(
    configure: Callable[..., Any], undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    more = {"url": f"file://{tmp_path}/far", "private": True, "folder": "/another/machine"}
    first = Worker(configure(**more), SEGTUNE_NODE_CACHE=str(tmp_path / "node1"))
    for epoch in (1, 2):
        assert first.hear()[ROW]["epoch"] == epoch
        if epoch == 1:
            first.go_on()
    first.process.send_signal(signal.SIGKILL)
    first.process.communicate()
    second = Worker(configure(**more, num_reported=1), SEGTUNE_NODE_CACHE=str(tmp_path / "node2"))
    assert second.hear()[ROW]["epoch"] == 2  # which the ledger had not heard of
    assert second.finish() == (0, "")
    place = tmp_path / "far"
    assert_same_epochs(place / EPOCHS, undisturbed)
    for name in (LAST, BEST, CASES, FINAL, LEGACY, OWNER):
        assert (place / name).exists(), name
    best = len(load_checkpoint(place / BEST)[0]["rows"])
    assert set(pd.read_csv(place / CASES)["epoch"]) == {best}


@pytest.mark.slow
def test_files_of_a_dead_process_are_cleared_by_the_next(
    configure: Callable[..., Any], tmp_path: Path, far: Path
) -> None:
    config = configure(url=f"file://{far}", private=True)
    first = Worker(config, SEGTUNE_NODE_CACHE=str(tmp_path / "node"))
    first.hear()
    assert len(list((tmp_path / "node" / "trials").glob("*"))) == 2
    first.process.kill()
    first.process.communicate()
    run_trial(configure(url=f"file://{far}", private=True, num_reported=1), lambda sent: None)


def test_checkpoint_of_another_recipe_is_noticed(configure: Callable[..., Any], far: Path) -> None:
    more = {"url": f"file://{far}", "private": True}
    run_trial(configure(**more), lambda sent: None)
    sent: list[dict[str, Any]] = []
    run_trial(configure(**more, knobs={"learning_rate": 0.02, "depth": 2}), sent.append)
    note = "the checkpoint is of another trial (depth, learning_rate); trained again from epoch 1"
    assert sent[0] == {NOTE: note}
    assert [row[ROW]["epoch"] for row in sent[1:]] == [1, 2, 3, 4]
    assert '"depth":2' in load_checkpoint(far / LAST)[0]["recipe"].replace(" ", "")


@pytest.mark.slow
def test_number_format_that_a_recipe_leaves_open_makes_no_other_trial(
    configure: Callable[..., Any], far: Path
) -> None:
    """A search may have had it decided by each node, or go on where its format is missing."""
    more: dict[str, Any] = {"url": f"file://{far}", "private": True, "auto_precision": True}
    config = configure(**more, knobs={"precision": "auto"})
    run_trial({**config, "recipe": config["recipe"] | {"epochs": 1}}, lambda sent: None)
    sent: list[dict[str, Any]] = []
    run_trial(configure(**more, knobs={"precision": "fp32"}, num_reported=1), sent.append)
    assert [row[ROW]["epoch"] for row in sent] == [2, 3, 4]
    assert json.loads(load_checkpoint(far / LAST)[0]["recipe"])["precision"] == "fp32"
    told: list[dict[str, Any]] = []
    named = {**more, "auto_precision": False}
    run_trial(configure(**named, knobs={"precision": "bf16"}, num_reported=4), told.append)
    assert "another trial (precision)" in told[0][NOTE]


def test_damaged_checkpoint_at_the_url_is_not_believed(
    configure: Callable[..., Any], far: Path
) -> None:
    more = {"url": f"file://{far}", "private": True}
    run_trial(configure(**more), lambda sent: None)
    (far / LAST).write_bytes((far / LAST).read_bytes()[:-100])
    sent: list[dict[str, Any]] = []
    run_trial(configure(**more, num_reported=4), sent.append)
    assert "damaged" in sent[0][NOTE]
    assert len(load_checkpoint(far / LAST)[0]["rows"]) == 4


def test_longer_training_forgets_the_end_of_the_shorter_one_at_the_url(
    configure: Callable[..., Any], far: Path
) -> None:
    more = {"url": f"file://{far}", "private": True}
    run_trial(configure(**more), lambda sent: None)
    longer = configure(**more, num_reported=4)
    longer["recipe"]["epochs"] = 6

    def stop(sent: dict[str, Any]) -> None:
        assert ROW in sent
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        run_trial(longer, stop)
    assert not (far / FINAL).exists()
    assert not (far / LEGACY).exists()


def test_url_that_is_away_halts_the_search_and_blames_no_trial(
    configure: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTUNE_NODE_CACHE", str(tmp_path / "node"))
    monkeypatch.setattr(remote, "PATIENCE_S", 0.3)
    (tmp_path / "file").write_text("in the way")
    sent: list[dict[str, Any]] = []
    run_trial(configure(url=f"file://{tmp_path}/file/trial", private=True), sent.append)
    assert sent[0].keys() == {HALT, KIND}
    assert sent[0][KIND] == "UnwritableError"
    assert "does not answer" in sent[0][HALT]
    assert not any(FAILURE in one for one in sent)


def test_superseded_trial_never_looks_complete(
    configure: Callable[..., Any], tmp_path: Path
) -> None:
    def report(sent: dict[str, Any]) -> None:
        (tmp_path / "trial" / OWNER).write_text("other pid 1 on elsewhere\n")

    with pytest.raises(Superseded, match="pid 1 on elsewhere"):
        run_trial(configure(), report)
    assert len(pd.read_csv(tmp_path / "trial" / EPOCHS)) == 1
