"""`segtune retrain`: what it asks for, and one retraining from end to end, killed on its way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from rich.console import Console

from seglib.checkpoint import load_checkpoint
from seglib.data.splits import Splits
from seglib.data.store import Store
from seglib.errors import DataError, RunError
from seglib.model import Model
from tests.conftest import TINY_STUDY
from tests.tune.trained_runs import train_run
from tune.card import hash_group
from tune.cli import main
from tune.models import Choice, find_model
from tune.reporting.confirmation import Finding, save_finding
from tune.reporting.notes import SEEN
from tune.request import Request
from tune.retrain import Wish, retrain_best
from tune.run_directory import RunDirectory
from tune.study_file import load_study


@dataclass(frozen=True)
class Folders:
    """A search that has ended, and the networks of its retraining, without a model as yet."""

    run: RunDirectory
    again: RunDirectory

    def retrain(self, *words: str) -> int:
        return main(["retrain", str(self.run.path), "--seeds", "2", *words])

    @property
    def model(self) -> Model:
        return Model.load(self.again.path / "model.pt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Path:
    """Both, trained without Ray."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    words = ("run_cap=1", "epochs=2", "early_terminate.type=none")
    run = train_run(folder / "runs" / "tiny", store, folder / "tiny.yaml", *words)
    words = ("name=tiny-retrain", "seeds=[0, 1]", "folds=all")
    train_run(folder / "runs" / "tiny-retrain", store, run.best, *words)
    return folder / "runs"


@pytest.fixture
def folders(trained: Path, tmp_path: Path) -> Folders:
    """A copy of them to be changed."""
    runs = Path(shutil.copytree(trained, tmp_path / "runs"))
    return Folders(RunDirectory(runs / "tiny"), RunDirectory(runs / "tiny-retrain"))


def same_weights(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.slow
@pytest.mark.fault("driver-killed")
def test_killed_retraining_goes_on_and_ends_with_the_networks_of_an_undisturbed_one(
    folders: Folders, trained: Path
) -> None:
    shutil.rmtree(folders.again.path)
    command = [Path(sys.executable).parent / "segtune", "retrain", folders.run.path]
    process = subprocess.Popen(
        [*command, "--seeds", "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert any("epoch 1:" in line for line in process.stdout)
    process.kill()
    process.communicate()
    assert not (folders.again.path / "model.pt").exists()
    assert folders.retrain() == 0
    for one, member in zip(folders.model.card["members"], folders.model.members, strict=True):
        calm = trained / "tiny-retrain" / "trials" / str(one["trial"]) / "checkpoint" / "last.pt"
        state, _ = load_checkpoint(calm)
        assert len(state["rows"]) == one["epoch"] == 2
        assert same_weights(member.weights, state["model"])


@pytest.mark.slow
def test_locked_part_is_in_no_network(folders: Folders) -> None:
    assert folders.retrain() == 0
    splits, patients = Splits.load(folders.run.splits), folders.model.card["patients"]
    named = {"trained": {*splits.train, *splits.val}, "validated": (), "locked": splits.test}
    for part, names in named.items():
        assert patients[part] == sorted(hash_group(name, patients["salt"]) for name in names)


@pytest.mark.slow
def test_model_carries_over_what_the_search_found_and_says_so(folders: Folders) -> None:
    searched = find_model(Choice(folders.run.path), Console(quiet=True))
    assert folders.retrain() == 0
    model, card = folders.model, folders.model.card
    assert model.post.thresholds == searched.post.thresholds
    assert model.post.smallest == searched.post.smallest
    assert model.post.note == f"carried over from the search's networks: {searched.post.note}"
    assert card["kind"] == "retrained"
    assert card["score"]["value"] == searched.card["score"]["value"]
    assert "not of this model" in card["score"]["of"]
    assert SEEN in (folders.again.path / "report.html").read_text()
    assert all("score" not in one for one in card["members"])


@pytest.mark.slow
def test_last_epochs_are_taken_and_the_same_command_writes_nothing_anew(folders: Folders) -> None:
    assert folders.retrain() == 0
    path = folders.again.path / "model.pt"
    before = path.stat().st_mtime_ns
    for one, member in zip(folders.model.card["members"], folders.model.members, strict=True):
        trial = folders.again.path / "trials" / str(one["trial"])
        assert same_weights(
            member.weights, load_checkpoint(trial / "checkpoint" / "last.pt")[0]["model"]
        )
    assert folders.retrain() == 0
    assert path.stat().st_mtime_ns == before
    assert not path.with_name("model.pt.previous").exists()


@pytest.mark.slow
def test_copy_of_best_yaml_elsewhere_trains_too_and_nothing_is_tuned(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copyfile(folders.run.best, tmp_path / "mine.yaml")
    out = str(folders.run.path.parent)
    assert main(["retrain", str(copy), "--seeds", "2", "--out", out]) == 0
    told = capsys.readouterr().out
    assert "masks: not tuned: there is no search" in told
    assert f"next:  segtune predict {folders.again.path / 'model.pt'} INPUT OUT" in told
    assert "THAT IT WAS TRAINED ON" in told
    assert "best: " not in told
    assert set(folders.model.post.thresholds) == {0.5}
    assert folders.model.card["score"] is None


@pytest.mark.slow
def test_network_that_failed_is_left_out_and_named(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folders.again.path / "trials" / "0" / "checkpoint")
    assert folders.retrain() == 0
    assert "trial 0 (seed 0) is not in the model: COMPLETE" in capsys.readouterr().out
    assert [one["trial"] for one in folders.model.card["members"]] == [1]


@pytest.mark.slow
def test_other_data_than_the_search_had_are_refused(folders: Folders) -> None:
    record = json.loads(folders.run.environment.read_text())
    record["starts"][-1]["data"]["key"] = "0" * 20
    folders.run.environment.write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"(?s)data: found other images .*hint: put the data back"):
        retrain_best(Wish(folders.run.path), Console(quiet=True))


@pytest.mark.slow
def test_another_division_is_refused_as_the_locked_part_would_not_be_locked(
    folders: Folders,
) -> None:
    text = folders.run.best.read_text()
    folders.run.best.write_text(text.replace("  seed: 7", "  seed: 8"))
    with pytest.raises(RunError, match=r"splits.json: found another division"):
        retrain_best(Wish(folders.run.path), Console(quiet=True))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What would be trained, and is not."""
    requests: list[Request] = []

    def note(request: Request, *_: object) -> int:
        requests.append(request)
        return 1

    monkeypatch.setattr("tune.retrain.run_search", note)
    return requests


@pytest.fixture
def best(study_path: Path) -> Path:
    """The best recipe of a search on patients, as a file anywhere."""
    gone = ("run_cap", "early", "  learning")
    lines = [line for line in TINY_STUDY.splitlines() if not line.startswith(gone)]
    text = "\n".join(lines).replace("tiny", "tiny-best").replace("random", "grid")
    path = study_path.with_name("best.yaml")
    path.write_text(text.replace("{values: [2, 4]}", "{value: 4}"))
    return path


def test_retraining_is_one_row_under_several_seeds_on_all_but_the_locked_part(
    best: Path, asked: list[Request], tmp_path: Path
) -> None:
    assert retrain_best(Wish(best, out=tmp_path, seeds=4), Console(quiet=True)) == 1
    study = asked[0].load_to_train()
    assert (study.name, study.seeds, study.folds) == ("tiny-retrain", (0, 1, 2, 3), "all")
    assert len(study.rows) == 1
    assert study.split == load_study(best, demo=False).split


def test_images_that_nobody_knows_the_place_of_are_asked_for(
    best: Path, asked: list[Request]
) -> None:
    text = best.read_text().replace("layout: phantom-brats, cases: 8,", "layout: pairs,")
    best.write_text(text)
    with pytest.raises(
        DataError, match="--data: found nothing ; wanted the folder with the images"
    ):
        retrain_best(Wish(best), Console(quiet=True))
    assert asked == []


def test_images_are_sought_where_the_search_had_them(best: Path, tmp_path: Path) -> None:
    text = best.read_text().replace("layout: phantom-brats, cases: 8,", "layout: pairs,")
    best.write_text(text)
    best.with_name("study.yaml").write_text(text)
    images = tmp_path / "images"
    places = Request(best, images).places()
    best.with_name("environment.json").write_text(json.dumps({"starts": [places]}))
    with pytest.raises(DataError, match=f"--data: found no folder {images} ; wanted a folder"):
        retrain_best(Wish(tmp_path), Console(quiet=True))


def test_folder_without_a_best_recipe_is_refused(tmp_path: Path, asked: list[Request]) -> None:
    with pytest.raises(RunError, match=r"(?s)a folder without best.yaml .*its first trial"):
        retrain_best(Wish(tmp_path), Console(quiet=True))
    with pytest.raises(RunError, match="BEST: found nothing there"):
        retrain_best(Wish(tmp_path / "none"), Console(quiet=True))
    (tmp_path / "study.yaml").write_text(TINY_STUDY)
    with pytest.raises(RunError, match="BEST: found a study of several recipes"):
        retrain_best(Wish(tmp_path / "study.yaml"), Console(quiet=True))
    assert asked == []


CONFIRMED = """\
name: tiny-confirm
method: grid
metric: {name: dice, goal: maximize}
data: {layout: phantom-brats, cases: 8, image_size: 32, target: regions}
split: {val: 0.25, test: 0.25}
parameters: {base_filters: {value: 4}, depth: {value: 2}, epochs: {value: 3}}
points:
  - {name: default, base_filters: 2}
  - {name: winner, base_filters: 4}
folds: [0, 1]
"""


def test_confirmed_run_trains_what_the_confirmation_says_to_take(
    best: Path, asked: list[Request], capsys: pytest.CaptureFixture[str]
) -> None:
    run = best.parent
    (run / "study.yaml").write_text(TINY_STUDY)
    (run / "confirm").mkdir()
    (run / "confirm" / "study.yaml").write_text(CONFIRMED)
    nothing: dict[str, tuple[()]] = dict.fromkeys(("recipes", "contests", "notes"), ())
    save_finding(run, Finding(
        search="tiny", study="tiny", phantom=True, patients=6, chosen_by=2, seeds=(0,),
        folds=(0, 1), epochs=(3,), take="default", advice="take the default", at="", **nothing,
    ))  # fmt: skip
    assert retrain_best(Wish(run), Console()) == 1
    assert retrain_best(Wish(best), Console()) == 1
    filters = [one.load().rows[0].values["base_filters"] for one in asked]
    assert filters == [2, 4]
    told = capsys.readouterr().out
    assert "recipe: default, as segtune confirm found" in told
    assert "note: the run was confirmed; segtune retrain" in told


@pytest.mark.parametrize(("folds", "found"), [("all", "what was retrained"), ("[0, 1]", "a conf")])
def test_what_is_no_search_is_refused(
    best: Path, folds: str, found: str, asked: list[Request]
) -> None:
    text = best.read_text()
    best.with_name("study.yaml").write_text(f"{text}\nfolds: {folds}\n")
    with pytest.raises(RunError, match=f"found {found}.*wanted the run directory of the search"):
        retrain_best(Wish(best), Console(quiet=True))
    assert asked == []
