"""Files that are cut, altered, emptied or replaced between a death and the next start."""

from __future__ import annotations

import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seglib.checkpoint import load_checkpoint, previous_of
from seglib.data.splits import Split
from seglib.data.store import Store
from tests.chaos.driver import Driver, assert_sound, entries_of, finish, new_folder, scores_of
from tests.tune.test_trainable import MEASURED, build_config
from tune.cli import main
from tune.entries import Entry
from tune.trial import BEST, CASES, EPOCHS, FINAL, HALT, LAST, NOTE, NOTES, ROW, run_trial

pytestmark = [pytest.mark.slow, pytest.mark.fault("corruption")]

GARBAGE = bytes(range(256)) * 20


def flip_a_bit(file: Path) -> None:
    """In the middle of what it holds; a checkpoint has gaps in which a bit means nothing."""
    content = bytearray(file.read_bytes())
    place = len(content) // 2
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            largest = max(archive.infolist(), key=lambda info: info.file_size)
        name, extra = struct.unpack_from("<HH", content, largest.header_offset + 26)
        place = largest.header_offset + 30 + name + extra + largest.file_size // 2
    content[place] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def replace(file: Path) -> None:
    file.write_bytes(GARBAGE)


DAMAGES = [flip_a_bit, cut, empty, replace]
Damage = Callable[[Path], None]


class Stopped(BaseException):
    """What Ray does to a trial that it ends."""


class Bench:
    """A trial of three epochs, the second of which is the best, run in this process."""

    def __init__(self, store: Store, split: Split, folder: Path) -> None:
        self.store, self.split, self.folder = store, split, folder
        self.said: list[str] = []
        self.rows: list[str] = []

    def run(self, *, known: int = 0, stop: int = 0) -> list[str]:
        """Train, or go on; the rows that were reported, as text: NaN is not equal to itself."""
        rows: list[str] = []

        def report(sent: dict[str, Any]) -> None:
            if NOTE in sent:
                self.said.append(sent[NOTE])
                return
            rows.append(repr({k: v for k, v in sent[ROW].items() if k not in MEASURED}))
            if len(rows) == stop:
                raise Stopped

        config = build_config(self.store, self.split, self.folder, known)
        with pytest.raises(Stopped) if stop else nullcontext():
            run_trial(config, report)
        return rows

    def assert_same(self, other: Bench) -> None:
        """All that lasts of both trials is equal, and what was said is written down."""
        for name in (CASES, FINAL):
            assert (self.folder / name).read_bytes() == (other.folder / name).read_bytes()
        tables = [
            pd.read_csv(one.folder / EPOCHS).drop(columns=[*MEASURED]) for one in (self, other)
        ]
        pd.testing.assert_frame_equal(*tables)
        mine, wanted = (load_checkpoint(one.folder / LAST)[0]["model"] for one in (self, other))
        assert all(mine[name].equal(wanted[name]) for name in wanted)
        notes = self.folder / NOTES
        assert (notes.read_text().splitlines() if notes.exists() else []) == self.said
        assert not list(self.folder.rglob("*.tmp"))


@pytest.fixture
def bench(store: Store, split: Split, tmp_path: Path) -> Bench:
    return Bench(store, split, tmp_path / "trial")


@pytest.fixture(scope="module")
def wanted(store: Store, split: Split, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The same, left in peace."""
    bench = Bench(store, split, tmp_path_factory.mktemp("peace") / "trial")
    bench.rows = bench.run()
    return bench


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_last_checkpoint_costs_one_epoch_and_is_said(
    bench: Bench, wanted: Bench, damage: Damage
) -> None:
    bench.run(stop=2)
    damage(bench.folder / LAST)
    assert bench.run(known=2) == wanted.rows[1:]
    assert "last.pt: found a damaged checkpoint" in bench.said[0]
    assert "went on from the one before" in bench.said[0]
    bench.assert_same(wanted)


@pytest.mark.parametrize("damage", DAMAGES)
def test_two_damaged_checkpoints_mean_the_same_trial_again_and_it_is_said(
    bench: Bench, wanted: Bench, damage: Damage
) -> None:
    bench.run(stop=2)
    for path in (bench.folder / LAST, previous_of(bench.folder / LAST)):
        damage(path)
    assert bench.run(known=2) == wanted.rows
    (said,) = bench.said
    assert said.count("found a damaged checkpoint") == 2
    assert said.endswith("trained again from epoch 1")
    bench.assert_same(wanted)


def test_lost_checkpoints_mean_the_same_trial_again_and_it_is_said(
    bench: Bench, wanted: Bench
) -> None:
    bench.run(stop=2)
    shutil.rmtree(bench.folder / "checkpoint")
    assert bench.run(known=2) == wanted.rows
    assert bench.said == ["there is no checkpoint any more; trained again from epoch 1"]
    bench.assert_same(wanted)


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_damaged_tables_are_written_anew_from_the_checkpoint(
    bench: Bench, wanted: Bench, damage: Damage
) -> None:
    bench.run(stop=3)
    for name in (EPOCHS, CASES):
        damage(bench.folder / name)
    assert bench.run(known=3) == []
    bench.assert_same(wanted)


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_damaged_best_checkpoint_is_said_and_not_kept(
    bench: Bench, wanted: Bench, damage: Damage
) -> None:
    bench.run()
    assert not (bench.folder / BEST).samefile(bench.folder / LAST)
    damage(bench.folder / BEST)
    bench.run(known=3)
    (said,) = bench.said
    assert said.startswith("best.pt: found damaged or missing")
    assert not (bench.folder / BEST).exists()
    bench.assert_same(wanted)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.parquet", "store.json"])
def test_store_that_is_cut_under_a_search_halts_it_and_blames_no_trial(
    store: Store, split: Split, tmp_path: Path, name: str
) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store.path, copy)
    cut(copy / name)
    sent: list[dict[str, Any]] = []
    config = build_config(store, split, tmp_path / "trial") | {"store": str(copy)}
    run_trial(config, sent.append)
    (said,) = sent
    assert "the same command prepares it anew" in said[HALT]
    assert name in said[HALT]


RUN = Path("runs", "deaths")


def refused(folder: Path, capsys: pytest.CaptureFixture[str], name: str, damage: Damage) -> str:
    """The command with one file damaged, which is put back after it; what it said."""
    file = folder / RUN / name
    before = file.read_bytes()
    if damage is Path.unlink:
        file.unlink()
    else:
        damage(file)
    damaged = file.read_bytes() if file.exists() else None
    words = ["--space", str(folder / "deaths.yaml"), "--out", str(folder / "runs")]
    assert main(["run", *words]) == 2
    assert (file.read_bytes() if file.exists() else None) == damaged  # nothing is written over it
    file.write_bytes(before)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "hint: " in told
    assert name in told
    return told


def damage_a_middle_line(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = lines[len(lines) // 2].replace(b'"', b"'", 1)
    journal.write_bytes(b"".join(lines))


@pytest.mark.timeout(1200)
def test_search_whose_files_are_damaged_is_refused_or_goes_on_to_the_same_end(
    tmp_path: Path, undisturbed: list[Entry], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_folder(tmp_path)
    driver = Driver(folder)
    driver.wait_for("trial 1 epoch 4:")
    driver.kill()
    before = entries_of(folder)

    for name, damages in {
        "study.yaml": (flip_a_bit, replace, Path.unlink),
        "splits.json": (flip_a_bit, cut),
        "environment.json": (cut,),
        "journal.log": (Path.unlink,),
    }.items():
        for damage in damages:
            refused(folder, capsys, name, damage)
    told = refused(folder, capsys, "journal.log", damage_a_middle_line)
    assert "line " in told
    assert entries_of(folder) == before

    (folder / RUN / "splits.json").unlink()
    (store,) = (folder / "runs" / ".cache" / "stores").glob("*/images.npy")
    flip_a_bit(store)
    checkpoint = folder / RUN / "trials" / "1" / LAST
    replace(checkpoint)
    cut(previous_of(checkpoint))
    replace(folder / RUN / "trials" / "1" / EPOCHS)

    told = "".join(finish(folder).lines)
    assert "splits.json was missing; the same split was drawn again" in told
    assert "made anew from the source: images.npy: found changed content" in told
    assert "trial 1: last.pt: found a damaged checkpoint" in told
    assert "trained again from epoch 1" in told
    assert "trial 1 epoch 1:" not in told  # known, and not told twice
    entries = assert_sound(folder)
    assert entries[1].rows[:4] == before[1].rows[:4]
    assert scores_of(entries) == scores_of(undisturbed)
