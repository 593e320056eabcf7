"""A suite: several studies in one run. Only the last test starts Ray."""

from __future__ import annotations

import csv
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import tune.suite
from seglib.data.phantom import write_phantoms
from seglib.errors import DataError, InvalidInput, RunError, StudyFileError
from tune.cli import main
from tune.interruption import Interruption
from tune.request import Request
from tune.run_directory import RunDirectory
from tune.suite import describe_suite, is_suite, load_suite, run_suite

STUDY = """\
method: grid
data: {layout: pairs, image_size: 16}
split: {val: 0.4, test: 0}
parameters:
  loss: {values: [bce, dice]}
  base_filters: {value: 2}
  depth: {value: 1}
  epochs: {value: 1}
points:
  - {name: a, loss: bce}
  - {name: b, loss: dice}
seeds: [0]
published: {note: found by others, scores: {a: 0.94-0.96}}
tracking: {wandb: off}
demo:
  data: {layout: phantom-xray, cases: 6}
"""
SUITE = """\
name: whole
studies:
  - {space: first.yaml, data: X}
  - {space: second.yaml, data: Y}
"""


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """A suite of two studies, with data for both."""
    (tmp_path / "whole.yaml").write_text(SUITE)
    for name, folder in (("first", "X"), ("second", "Y")):
        (tmp_path / f"{name}.yaml").write_text(STUDY)
        write_phantoms("phantom-xray", tmp_path / "data" / folder, cases=6, seed=0, size=16)
    return Request(tmp_path / "whole.yaml", data=tmp_path / "data", out=tmp_path / "runs")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What would be trained; answers 0 in place of training."""
    seen: list[Request] = []
    monkeypatch.setattr(tune.suite, "run_search", lambda one, *rest: seen.append(one) or 0)
    return seen


def paper() -> Console:
    return Console(file=io.StringIO(), width=120)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def told(request: Request, error: type[InvalidInput]) -> list[str]:
    with pytest.raises(error, match="problem") as caught:
        run_suite(request, paper())
    return [str(problem) for problem in caught.value.problems]


def test_suite_is_told_by_its_studies(request_: Request) -> None:
    assert is_suite(request_.space)
    assert not is_suite(request_.space.with_name("first.yaml"))


def test_studies_run_in_order_in_folders_of_the_suite_on_shared_data(
    request_: Request, asked: list[Request]
) -> None:
    assert run_suite(request_, paper()) == 0
    assert [one.space.name for one in asked] == ["first.yaml", "second.yaml"]
    assert [one.data for one in asked] == [request_.data / "X", request_.data / "Y"]
    assert {one.out for one in asked} == {request_.out / "whole"}
    assert {one.cache for one in asked} == {request_.out / ".cache"}
    stores = [path for path in (request_.out / ".cache" / "stores").iterdir() if path.is_dir()]
    assert len(stores) == 1  # the two folders hold the same images


def test_suite_without_data_runs_the_demos_in_a_folder_of_their_own(
    request_: Request, asked: list[Request]
) -> None:
    suite = load_suite(Request(request_.space, out=request_.out))
    assert suite.folder == request_.out / "whole-demo"
    assert all(study.demo for study in suite.studies)


def test_override_is_laid_over_every_study(request_: Request) -> None:
    suite = load_suite(Request(request_.space, overrides=("seeds=[0, 1]", "epochs=7")))
    assert [(study.seeds, study.horizon) for study in suite.studies] == [((0, 1), 7)] * 2


def test_faults_of_the_suite_are_told_at_once(request_: Request) -> None:
    request_.space.write_text("name: ../up\nstudy: x\nstudies:\n  - {file: a}\n  - first.yaml\n")
    found = told(request_, StudyFileError)
    assert [one.partition(": ")[0] for one in found] == [
        "studies[0].space", "studies[0].file (line 4)", "studies[1] (line 5)", "study (line 2)",
    ]  # fmt: skip


def test_suite_of_nothing_is_refused(request_: Request) -> None:
    request_.space.write_text("studies: []")
    assert told(request_, StudyFileError) == [
        "studies (line 1): found an empty list ; wanted one or more studies"
    ]


def test_name_that_is_no_folders_is_refused(request_: Request) -> None:
    edit(request_.space, "whole", "../up")
    assert (
        "name (line 1): found '../up' ; wanted a folder name" in told(request_, StudyFileError)[0]
    )


def test_faults_of_all_its_files_are_told_at_once(request_: Request) -> None:
    first, second = (request_.space.with_name(f"{name}.yaml") for name in ("first", "second"))
    edit(first, "bce, dice", "bce, dise")
    second.unlink()
    found = told(request_, StudyFileError)
    assert found[0].startswith(f"{first}: parameters.loss.values[1] (line 5): found 'dise'")
    assert found[-1].startswith(f"{second}: file: found no such file ; wanted a study file")


def test_two_studies_of_one_name_are_refused(request_: Request) -> None:
    edit(request_.space, "second.yaml", "first.yaml")
    assert "found the name 'first' again" in told(request_, StudyFileError)[0]


def test_suite_in_a_suite_is_refused(request_: Request) -> None:
    edit(request_.space, "second.yaml", "whole.yaml")
    assert "found a suite of studies ; wanted one study" in told(request_, StudyFileError)[0]


def test_number_of_trials_is_refused_with_a_reason(request_: Request) -> None:
    found = told(Request(request_.space, trials="+3"), StudyFileError)
    assert "--trials: found +3 ; wanted no --trials with a suite\n    hint: every" in found[0]


def test_missing_folders_are_told_at_once(request_: Request, tmp_path: Path) -> None:
    found = told(Request(request_.space, data=tmp_path / "nowhere"), DataError)
    assert [one.rpartition("/")[2] for one in found] == [
        "X ; wanted a folder with images", "Y ; wanted a folder with images",
    ]  # fmt: skip


def test_faults_of_all_data_are_told_before_anything_is_trained(
    request_: Request, asked: list[Request], capsys: pytest.CaptureFixture[str]
) -> None:
    assert request_.data is not None
    next((request_.data / "X" / "Mask").iterdir()).unlink()
    grey = next((request_.data / "Y" / "Mask").iterdir())
    Image.fromarray(np.full((16, 16), 77, np.uint8)).save(grey)
    found = "\n".join(told(request_, DataError))
    assert f"{request_.data / 'X'}: " in found
    assert f"{request_.data / 'Y'}: " in found
    assert "77" in found
    assert asked == []
    words = ["run", "--space", request_.space, "--data", request_.data, "--out", request_.out]
    assert main([str(word) for word in words]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_data_that_cannot_be_divided_is_told_before_anything_is_trained(
    request_: Request, asked: list[Request]
) -> None:
    edit(request_.space.with_name("second.yaml"), "test: 0", "test: 0.7")
    assert "found 6 patients ; wanted more than" in told(request_, DataError)[0]
    assert asked == []


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (RunError("runs/first", []), "error: runs/first"),
        (RuntimeError("a fault of ours"), "RuntimeError: a fault of ours"),
        (None, ""),
    ],
)
def test_study_that_fails_does_not_lose_the_others(
    request_: Request, monkeypatch: pytest.MonkeyPatch, failure: Exception | None, said: str
) -> None:
    asked = []

    def search(one: Request, *rest: object) -> int:
        asked.append(one.space.name)
        if one.space.name == "second.yaml":
            return 0
        if failure is None:
            return 1
        raise failure

    monkeypatch.setattr(tune.suite, "run_search", search)
    assert run_suite(request_, console := paper()) == 1
    assert asked == ["first.yaml", "second.yaml"]
    assert said in text_of(console)
    assert "mean over seeds" in text_of(console)


@pytest.mark.parametrize(("code", "fails"), [(130, False), (143, True)])
def test_interruption_stops_the_suite(
    request_: Request, monkeypatch: pytest.MonkeyPatch, code: int, fails: bool
) -> None:
    asked = []

    def search(one: Request, console: Console, interruption: Interruption) -> int:
        asked.append(one)
        with interruption.listening(), interruption.winding_down():
            os.kill(os.getpid(), code - 128)
        if fails:
            raise OSError("the disk is full")
        return code

    monkeypatch.setattr(tune.suite, "run_search", search)
    assert run_suite(request_, console := paper()) == code
    assert len(asked) == 1
    assert ("the disk is full" in text_of(console)) == fails


def test_second_process_on_the_same_suite_is_refused(request_: Request) -> None:
    with (
        RunDirectory(request_.out / "whole").locked(),
        pytest.raises(RunError, match="a search at work here"),
    ):
        run_suite(request_, paper())


def test_check_describes_every_study_and_writes_nothing(request_: Request, tmp_path: Path) -> None:
    before, console = sorted(tmp_path.rglob("*")), paper()
    describe_suite(request_, console)
    text = text_of(console)
    assert "suite whole: 2 studies, 4 trials" in text
    assert text.count("2 points x 1 seed: 2 trials") == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_check_tells_the_faults_of_all_folders(request_: Request) -> None:
    assert request_.data is not None
    for folder in ("X", "Y"):
        next((request_.data / folder / "Mask").iterdir()).unlink()
    with pytest.raises(DataError, match=r"/X: (.|\n)*/Y: "):
        describe_suite(request_, paper())


def test_fit_takes_one_study(request_: Request, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--space", str(request_.space)]) == 2
    assert "found a suite of studies ; wanted one study" in capsys.readouterr().err


@pytest.mark.slow
def test_whole_suite_is_trained_once_and_shown_in_one_table(
    request_: Request, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["run", "--space", request_.space, "--data", request_.data, "--out", request_.out]
    assert main([str(word) for word in words]) == 0
    with (request_.out / "whole" / "suite.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["study"], row["point"], row["seeds"], row["published"]) for row in rows] == [
        ("first", "a", "1", "0.94-0.96"), ("first", "b", "1", ""),
        ("second", "a", "1", "0.94-0.96"), ("second", "b", "1", ""),
    ]  # fmt: skip
    # the same data, recipes and seeds: two studies of a suite are paired, too
    assert [row["score"] for row in rows[:2]] == [row["score"] for row in rows[2:]]
    assert "published: found by others" in capsys.readouterr().out
    assert "<h1>whole" in (request_.out / "whole" / "report.html").read_text()
    assert not (request_.out / "whole" / "first" / "report.html").exists()
    monkeypatch.setattr("tune.executor.execute", None)  # nothing is left to train
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr().out.count("nothing is left to train") == 2
    shutil.rmtree(request_.out / "whole" / "second")
    assert main(["status", str(request_.out / "whole")]) == 0
    status = capsys.readouterr().out
    assert "first: 2 of 2 trials ended (2 complete)" in status
    assert "not begun: second" in status
