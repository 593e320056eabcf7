"""Nothing is lost: the driver is killed anywhere, and the same command finishes the study."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seglib.data.prepare import prepare
from tests.chaos.deaths import WORKER, Death, lay_out
from tests.chaos.driver import (
    EPOCHS,
    STUDY,
    Driver,
    assert_gone,
    assert_sound,
    entries_of,
    finish,
    new_folder,
    scores_of,
)
from tune.entries import Entry
from tune.executor import Job
from tune.ledger import Ledger
from tune.run_directory import RunDirectory
from tune.study_file import load_study
from tune.trial import FINAL, ROW, run_trial

pytestmark = pytest.mark.slow

TORN = "the last line was cut off in the middle"


def deaths_in_order(chance: random.Random) -> Iterator[Death]:
    """Along a search's life; each leaves something for the next to meet."""
    yield Death("import", "torch")
    yield Death("open", "", nth=chance.randint(1, 30))  # phantoms and whatever comes before
    yield Death("os.rename", ".building")
    yield Death("open", "images.npy", after_bytes=chance.randint(1, 50_000))
    yield Death("os.rename", ".writing")
    yield Death("os.rename", "splits.json")
    yield tear(chance, nth=1)
    yield Death("open", "study.yaml", after_bytes=chance.randint(1, 500))
    yield Death("os.rename", "study.yaml")
    yield Death("open", "environment.json", after_bytes=chance.randint(1, 500))
    yield Death("os.rename", "environment.json")
    yield Death("import", "ray.tune")
    yield Death("subprocess.Popen", "gcs_server")
    yield Death("subprocess.Popen", "raylet")
    yield Death("open", "recipe.yaml", after_bytes=chance.randint(0, 200))
    for _ in range(4):
        yield tear(chance, nth=chance.randint(3, 20))
    yield Death("open", "leaderboard.csv", after_bytes=chance.randint(0, 500))
    yield Death("os.rename", "leaderboard.csv")
    yield tear(chance, nth=chance.randint(3, 8))
    yield Death("os.rename", "best.yaml")


def tear(chance: random.Random, *, nth: int) -> Death:
    return Death("open", "journal.log", nth=nth, after_bytes=chance.randint(1, 60))


@pytest.mark.fault("driver-killed")
def test_driver_killed_anywhere_finds_the_same(tmp_path: Path, undisturbed: list[Entry]) -> None:
    seed = int(os.environ.get("DEATHS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"again with DEATHS_SEED={seed}")
    folder = new_folder(tmp_path)
    finished: list[Entry] = []
    told, num_torn = "", 0
    for number, death in enumerate(deaths_in_order(random.Random(seed))):
        print(death)
        driver = Driver(folder, environment=lay_out(tmp_path / f"death-{number}", [death]))
        killed_by = signal.SIGKILL if death.after_bytes is None else signal.SIGXFSZ
        assert driver.end() == -killed_by, f"{death}\n{''.join(driver.lines)}"
        told += "".join(driver.lines)
        if (folder / "runs" / "deaths" / "journal.log").exists():
            num_torn += is_torn(folder) and death.name == "journal.log"
            finished = assert_kept(finished, entries_of(folder))
    told += "".join(finish(folder).lines)
    entries = assert_sound(folder)
    assert_kept(finished, entries)
    assert [entry.values for entry in entries] == [entry.values for entry in undisturbed]
    assert scores_of(entries) == scores_of(undisturbed)
    assert num_torn
    assert told.count(TORN) == num_torn
    assert not list((folder / "runs" / "deaths").rglob("*.tmp"))
    assert not any(name in told for name in ("Traceback", "Error"))


def is_torn(folder: Path) -> bool:
    content = (folder / "runs" / "deaths" / "journal.log").read_bytes()
    return bool(content) and not content.endswith(b"\n")


def assert_kept(before: list[Entry], now: list[Entry]) -> list[Entry]:
    """What was finished is what it was; what is finished now."""
    by_number = {entry.number: entry for entry in now}
    assert len(by_number) == len(now)
    for entry in before:
        assert by_number[entry.number] == entry
    return [entry for entry in now if entry.state not in ("WAITING", "RUNNING")]


@pytest.mark.fault("driver-killed")
@pytest.mark.fault("worker-killed")
def test_worker_killed_while_it_writes_is_replaced_and_the_driver_leaves_nothing_behind(
    tmp_path: Path, undisturbed: list[Entry]
) -> None:
    chance = random.Random(7)
    scratch = tempfile.mkdtemp(prefix="t", dir="/tmp")  # short, for the paths of Ray's sockets
    folder = new_folder(tmp_path)
    deaths = lay_out(
        tmp_path / "deaths",
        [
            Death("open", "last.pt", chance.randint(1, 4), chance.randint(1, 20_000), WORKER),
            Death("open", "epochs.csv", chance.randint(5, 7), chance.randint(1, 300), WORKER),
            Death("os.rename", "last.pt.previous", chance.randint(2, 8), process=WORKER),
        ],
    )
    first = Driver(folder, environment={**deaths, "TMPDIR": scratch})
    first.wait_for("trial 0 COMPLETE")
    first.wait_for("trial 2 epoch 3:")
    left_behind = first.kill()
    assert not list(Path(deaths["LETHAL"]).iterdir())
    before = {entry.number: entry for entry in entries_of(folder)}
    assert before[0].state == "COMPLETE"
    assert before[2].state == "RUNNING"
    assert_gone(left_behind, seconds=15)
    assert not list(Path(scratch).glob("segtune-*"))
    shutil.rmtree(scratch)

    told = "".join(finish(folder).lines)
    assert "trial 0 starts" not in told
    assert "trial 0 epoch" not in told
    assert "trial 2 starts (goes on after epoch" in told
    assert "trial 2 epoch 1:" not in told
    entries = assert_sound(folder)
    assert entries[0] == before[0]
    assert scores_of(entries) == scores_of(undisturbed)
    assert not list((folder / "runs" / "deaths").rglob("*.tmp"))


@pytest.mark.fault("driver-killed")
def test_trial_that_died_after_its_last_epoch_ends_complete_without_another(tmp_path: Path) -> None:
    (tmp_path / "deaths.yaml").write_text(STUDY.replace("run_cap: 4", "run_cap: 1"))
    study = load_study(tmp_path / "deaths.yaml", demo=False)
    folder = RunDirectory(tmp_path / "runs" / "deaths")
    folder.settle_study(study)
    store = prepare(study.data, None, tmp_path / "runs" / ".cache")
    ledger = Ledger(study, folder.settle_storage(None))
    split = folder.settle_splits(store, study).search_part()
    folder.write_environment(store)
    order = ledger.ask()
    assert order is not None

    def die_after_the_last(sent: dict[str, Any]) -> None:
        ledger.report(order.number, sent[ROW])
        if sent[ROW]["epoch"] == EPOCHS:
            raise SystemExit

    with pytest.raises(SystemExit):
        run_trial(Job(folder.path, store.path, split).config(order, ledger), die_after_the_last)
    assert not (folder.path / "trials" / "0" / FINAL).exists()
    told = "".join(finish(tmp_path).lines)
    assert f"trial 0 starts (goes on after epoch {EPOCHS})" in told
    assert "trial 0 epoch" not in told
    assert_sound(tmp_path, trials=1)
    assert (folder.path / "trials" / "0" / FINAL).exists()
