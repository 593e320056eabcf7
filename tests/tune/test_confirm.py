"""A small search confirmed for real: killed, gone on with, opened twice. Starts Ray."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from seglib.data.splits import Splits
from tests.conftest import TINY_STUDY
from tune.cli import main
from tune.entries import read_entries
from tune.reporting.confirmation import load_finding, load_openings
from tune.run_directory import RunDirectory
from tune.storage import view_storage

COMMAND = "import sys; from tune.cli import main; sys.exit(main(sys.argv[1:]))"
WORDS = ("--top", "1", "--seeds", "2", "--folds", "2")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The run directory of a search of two trials."""
    folder = tmp_path_factory.mktemp("confirm")
    text = TINY_STUDY.replace("run_cap: 4", "run_cap: 2").replace("min: 1e-4", "min: 3e-3")
    (folder / "tiny.yaml").write_text(
        text.replace("early_terminate: {type: asha, min_iter: 1, eta: 2}\n", "")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        assert (
            main(["run", "--space", str(folder / "tiny.yaml"), "--out", str(folder / "runs")]) == 0
        )
        yield folder / "runs" / "tiny"


def kill_when_under_way(run: Path) -> None:
    """The same command in a process of its own, killed when the second training has ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "confirm", str(run), *WORDS],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if re.match(r"trial \d+ COMPLETE", line):
            break
    process.kill()
    process.communicate()
    assert any("COMPLETE" in line for line in said), "".join(said)


@pytest.mark.slow
@pytest.mark.fault("driver-killed")
def test_confirmation_survives_its_death_and_opens_the_test_part_as_often_as_it_says(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory(searched / "confirm")
    kill_when_under_way(searched)
    before = {e.number: e for e in _entries(run) if e.state == "COMPLETE"}
    assert before
    assert load_finding(searched) is None

    assert main(["confirm", str(searched), *WORDS]) == 0
    assert "best: " not in capsys.readouterr().out  # a winner by its best epochs is none here
    entries = _entries(run)
    assert [e.state for e in entries] == ["COMPLETE"] * 8
    assert {n: entries[n] for n in before} == before  # nothing was trained twice
    assert all(len(e.rows) == 3 for e in entries)  # none was stopped early
    splits, test = Splits.load(run.splits), set(Splits.load(searched / "splits.json").test)
    assert set(splits.test) == test
    for entry in entries:
        assert isinstance(entry.fold, int)
        final = pd.read_csv(run.path / "trials" / str(entry.number) / "final.csv", dtype=str)
        assert set(final["case"]) == set(splits.folds[entry.fold])
    finding = load_finding(searched)
    assert finding is not None
    assert (finding.patients, finding.seeds, finding.folds) == (6, (0, 1), (0, 1))
    assert finding.contests[0].unseen is not None
    assert finding.contests[0].unseen.patients == 6 - finding.chosen_by == 4
    assert finding.take in ("default", "winner", "runner-up 2")
    page = (searched / "report.html").read_text()
    assert "The locked test part was not opened." in page
    assert not load_openings(searched)
    capsys.readouterr()
    _open_twice(searched, run, test, capsys)


def _open_twice(
    searched: Path, run: RunDirectory, test: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["confirm", str(searched), *WORDS, "--open-test"]) == 0
    (opening,) = load_openings(searched)
    assert (opening.patients, opening.num_networks, opening.done) == (len(test), 8, True)
    for number in range(8):
        scored = pd.read_csv(run.path / "test" / f"{number}.csv", dtype=str)
        assert set(scored["case"]) == test
    assert "were locked away for a test until" in (searched / "report.html").read_text()
    # what is not said is as it was begun, and the same networks again are the same opening
    assert main(["confirm", str(searched), "--open-test"]) == 0
    assert load_openings(searched) == (opening,)
    assert "opened 2 times" not in capsys.readouterr().out

    # of other networks it is another opening, and that is said from then on
    fewer = ("--top", "1", "--seeds", "1", "--folds", "2")
    assert main(["confirm", str(searched), *fewer, "--open-test"]) == 0
    assert len(load_openings(searched)) == 2
    assert "The test part was opened 2 times" in capsys.readouterr().out
    assert main(["confirm", str(searched), *WORDS]) == 0
    assert "The test part was opened 2 times" in capsys.readouterr().out
    for folder in (searched, run.path):
        assert "The test part was opened 2 times" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_faults_are_told_before_anything_is_trained(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "tiny"
    shutil.copytree(searched, copy, ignore=shutil.ignore_patterns("confirm", "*.pt"))
    for name in ("confirmation.json", "test_openings.json"):
        (copy / name).unlink(missing_ok=True)
    splits = json.loads((copy / "splits.json").read_text())
    (copy / "splits.json").write_text(json.dumps({**splits, "test": []}))
    for words, said in (
        ((str(copy), "--open-test"), "no locked test part in this run"),
        ((str(copy), "--folds", "7"), "at most 6, the number of groups outside the test part"),
        ((str(copy / "trials"),), "no study.yaml"),
    ):
        assert main(["confirm", *words]) == 2
        assert said in capsys.readouterr().err
    assert not (copy / "confirm").exists()
    if (searched / "confirm").exists():
        assert main(["confirm", str(searched), "--folds", "3"]) == 2
        assert "2, as the confirmation here was begun" in capsys.readouterr().err
        assert main(["confirm", str(searched / "confirm")]) == 2
        assert "a confirmation" in capsys.readouterr().err


def _entries(run: RunDirectory) -> list:
    return read_entries("tiny-confirm", view_storage(run.journal))
