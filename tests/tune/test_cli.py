from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tune.run
from seglib.data.store import Store
from tests.tune.test_ledger import play
from tune.cli import main
from tune.ledger import Ledger
from tune.run_directory import RunDirectory
from tune.study_file import load_study
from tune.study_schema import schema

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command line that must be refused; gives what it said on stderr."""

    def refused(*words: str | Path) -> str:
        assert main([str(word) for word in words]) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    return refused


@pytest.fixture
def run_dir(study_path: Path, store: Store) -> RunDirectory:
    """``runs/tiny``, where one trial was trained and the others were not."""
    study = load_study(study_path, demo=False)
    folder = RunDirectory(study_path.parent / "runs" / "tiny")
    folder.settle_study(study)
    folder.settle_splits(store, study)
    ledger = Ledger(study, folder.settle_storage(None))
    order = ledger.ask()
    assert order is not None
    play(ledger, order, [0.1, 0.2, 0.3])
    folder.write_environment(store)
    return folder


def test_missing_study_file(refused: Refused) -> None:
    assert "none.yaml: 1 problem\n  file: found no such file" in refused(
        "run", "--space", "none.yaml"
    )


def test_all_faults_of_a_file_are_told_at_once(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "method: bayesian\n"
        "data: {layout: phantom-brats, image_size: huge}\n"
        "parameters:\n"
        "  learning_rate: {min: 1, max: 0}\n"
        "  batchsize: {value: 8}\n"
        "run_cap: -1\n"
    )
    said = refused("run", "--space", path)
    assert "bad.yaml: 5 problems" in said
    for place in ("method (line 1)", "data.image_size (line 2)", "learning_rate", "run_cap"):
        assert place in said
    assert "did you mean 'batch_size'?" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "--data: found no folder nowhere"),
        (["--data", __file__], "--data: found a file"),
        (["--trials", "abc"], "--trials: found abc ; wanted a whole number above 0, or +N"),
        (["--trials", "0"], "--trials: found 0"),
        (["--trials", "+"], "--trials: found + "),
        (["--trials", "²"], "--trials: found ²"),
        (["--set", "nonsense=1"], "--set nonsense: found an unknown key"),
        (["--out", __file__], "--out: found"),
        (["--address", "127.0.0.1:1"], "--address: found 127.0.0.1:1"),
        (["--storage", "nonsense"], "--storage: found nonsense"),
        (["--storage", "postgresql+psycopg2://u:p@127.0.0.1:1/x"], "--storage: found postgresql"),
        (["--nonsense"], "No such option: --nonsense"),
        (["surplus"], "unexpected extra argument"),
    ],
)
def test_wrong_option_is_refused_by_its_name(
    refused: Refused, study_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(study_path.parent)
    if "--data" in words:  # phantoms take no data, so the study has to be about patients
        words = [*words, "--set", "layout=brats"]
    assert said in refused("run", "--space", study_path, *words)


def test_more_trials_than_an_open_end_is_refused(refused: Refused, study_path: Path) -> None:
    open_end = ("--set", "run_cap=null", "--set", "budget.epochs=10")
    said = refused("run", "--space", study_path, "--trials", "+2", *open_end)
    assert "--trials: found +2 ; wanted a plain number" in said


def test_folder_without_images_is_refused(refused: Refused, study_path: Path) -> None:
    empty = study_path.parent / "empty"
    empty.mkdir()
    out = study_path.parent / "runs"
    words = ("--space", study_path, "--data", empty, "--out", out, "--set", "layout=brats")
    assert "found an empty folder" in refused("run", *words)


def test_study_of_the_same_name_on_other_data_is_refused(
    refused: Refused, run_dir: RunDirectory, study_path: Path
) -> None:
    words = ("--space", study_path, "--out", run_dir.path.parent, "--set", "image_size=64")
    said = refused("run", *words)
    assert "tiny holds another study: 1 problem\n  data.image_size: found 64 ; wanted 32" in said


def test_run_directory_in_use_is_refused(
    refused: Refused, run_dir: RunDirectory, study_path: Path
) -> None:
    with run_dir.locked():
        said = refused("run", "--space", study_path, "--out", run_dir.path.parent)
    assert "run.lock: found a search at work here (pid " in said


def test_more_gpus_than_there_are_are_refused(refused: Refused, study_path: Path) -> None:
    wish = f"resources.gpus_per_trial={torch.cuda.device_count() + 1}"
    said = refused("run", "--space", study_path, "--out", study_path.parent / "o", "--set", wish)
    assert "resources.gpus_per_trial: found" in said
    assert not (study_path.parent / "o").exists()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("journal.log", None, "journal.log: 1 problem\n  line 3: found 'garbage'"),
        ("splits.json", '{"train":', "splits.json: 1 problem\n  sha256: found "),
        ("study.yaml", "name: [", "study.yaml: 1 problem"),
        ("environment.json", "{", "environment.json: 1 problem"),
    ],
)
def test_damaged_file_of_a_run_is_named_and_left_alone(
    refused: Refused,
    run_dir: RunDirectory,
    study_path: Path,
    name: str,
    text: str | None,
    said: str,
) -> None:
    path = run_dir.path / name
    lines = path.read_text().splitlines()
    path.write_text(text or "\n".join([*lines[:2], "garbage", *lines[3:]]) + "\n")
    before = path.read_bytes()
    assert said in refused("run", "--space", study_path, "--out", run_dir.path.parent)
    assert path.read_bytes() == before
    if name in ("journal.log", "study.yaml"):
        assert said in refused("status", run_dir.path)


def test_status_of_nothing_is_refused(refused: Refused, tmp_path: Path) -> None:
    assert "found no such folder" in refused("status", tmp_path / "nowhere")


def test_status_shows_the_trials(run_dir: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(run_dir.path)]) == 0
    assert "tiny: 1 of 4 trials ended (1 complete)" in capsys.readouterr().out


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert "Usage: segtune" in shown.out + shown.err


@pytest.mark.parametrize("command", ["run", "check", "data", "status", "schema"])
def test_help_explains_every_option_in_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Usage: segtune {command}")
    assert max(len(line) for line in lines) <= 80
    for line in lines:
        if line.startswith("  --"):
            assert len(line.split("  ")) > 2, f"{line} says nothing"


def test_a_model_in_the_place_of_images_is_told_to_come_first(
    refused: Refused, run_dir: RunDirectory, tmp_path: Path
) -> None:
    (tmp_path / "m.pt").touch()
    for source in (run_dir.path, tmp_path / "m.pt"):
        said = refused("predict", tmp_path, source, tmp_path / "out")
        assert "MODEL comes first" in said
        assert refused("evaluate", tmp_path, source) == said


def test_a_file_is_no_run_to_confirm(refused: Refused, study_path: Path) -> None:
    wanted = "RUN: found a file ; wanted a run directory, such as runs/NAME"
    assert wanted in refused("confirm", study_path)


def test_missing_option_is_named(refused: Refused) -> None:
    assert "Missing option '--space'" in refused("run")


def test_check_option_starts_nothing(
    study_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["run", "--check"], ["check"]):
        assert main([*words, "--space", str(study_path), "--out", str(tmp_path / "runs")]) == 0
        assert "search:         random, maximize dice, 4 trials" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_interrupt_is_130_without_a_traceback(
    study_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tune.cli.run_search", interrupted)
    assert main(["run", "--space", str(study_path)]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_file_runs_by_itself_from_anywhere(study_path: Path, tmp_path: Path) -> None:
    script = Path(tune.run.__file__)
    for folder in (tmp_path, script.parent, script.parent.parent):
        answer = subprocess.run(
            [sys.executable, str(script), "--space", str(study_path), "--check"],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        assert (answer.returncode, answer.stderr) == (0, "")
        assert "search:         random" in answer.stdout


def test_sweep_without_data_is_checked_but_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("method: random\nparameters: {learning_rate: {min: 0.001, max: 0.01}}\n")
    assert main(["check", "--space", str(sweep)]) == 0
    assert "to be given with --data (auto)" in capsys.readouterr().out
    for command in ("run", "fit"):
        assert main([command, "--space", str(sweep), "--out", str(tmp_path / "out")]) == 2
        assert "--data: found nothing ; wanted a folder with images" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
