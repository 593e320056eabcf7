"""Models of a run's checkpoints; the networks are trained here, without Ray."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

from seglib.checkpoint import load_checkpoint
from seglib.data.splits import Splits
from seglib.data.store import Store
from seglib.errors import RunError
from seglib.model import Model
from tests.conftest import TINY_STUDY
from tests.tune.trained_runs import train_run
from tune.card import hash_group
from tune.models import Choice, find_model
from tune.run_directory import RunDirectory

FOLDS = (
    *("name=tiny-confirm", "method=grid", "run_cap=null", "learning_rate=5e-3", "base_filters=4"),
    *("epochs=1", "early_terminate.type=none", "folds=[0, 1, 2]", "split.folds=3"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, store: Store) -> RunDirectory:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    words = ("run_cap=2", "epochs=2", "early_terminate.type=none", "learning_rate.min=3e-3")
    run = train_run(folder / "runs" / "tiny", store, folder / "tiny.yaml", *words)
    train_run(run.path / "confirm", store, folder / "tiny.yaml", *FOLDS)
    return run


@pytest.fixture
def run(trained: RunDirectory, tmp_path: Path) -> RunDirectory:
    """A copy of it to be changed."""
    return RunDirectory(Path(shutil.copytree(trained.path, tmp_path / "runs" / "tiny")))


@pytest.fixture
def find():
    def find(source: Path, **words) -> tuple[Model, str]:
        with Console(record=True, width=200, file=None) as console:
            model = find_model(Choice(source, **words), console)
        return model, console.export_text()

    return find


def best_trial(run: RunDirectory) -> int:
    first = run.leaderboard.read_text().splitlines()[1]
    return int(first.split(",")[0])


@pytest.mark.slow
def test_best_of_a_run_is_the_first_of_its_leaderboard(run, find) -> None:
    number = best_trial(run)
    model, said = find(run.path)
    state, _ = load_checkpoint(run.path / "trials" / str(number) / "checkpoint" / "best.pt")
    (member,) = model.members
    assert all(torch.equal(member.weights[name], state["model"][name]) for name in state["model"])
    assert f"model: trial {number} of tiny, epoch {len(state['rows'])} of 2" in said
    assert "not tuned on 2 validation cases: fewer than 3 patients" in model.post.note
    assert set(model.post.thresholds) == {0.5}
    assert model.card["score"]["value"] == state["rows"][-1]["score"]
    assert json.loads(json.dumps(dict(model.card))) == model.card


@pytest.mark.slow
def test_model_is_kept_and_made_again_when_a_checkpoint_changes(run, find, monkeypatch) -> None:
    first, _ = find(run.path)
    kept = run.path / "models" / f"trial-{best_trial(run)}.pt"
    assert Model.load(kept).card == first.card

    def fail(*_):
        raise AssertionError("tuned again")

    monkeypatch.setattr("tune.models.tune_post", fail)
    again, _ = find(run.path)
    assert again.post == first.post
    checkpoint = run.path / "trials" / str(best_trial(run)) / "checkpoint"
    (checkpoint / "best.pt").unlink()
    other = next(run.path.glob("trials/*/checkpoint/best.pt"))
    shutil.copyfile(other, checkpoint / "best.pt")
    with pytest.raises(AssertionError, match="tuned again"):
        find(run.path)


@pytest.mark.slow
def test_damaged_copy_of_a_model_is_made_again(run, find) -> None:
    first, _ = find(run.path)
    (kept,) = (run.path / "models").glob("*.pt")
    kept.write_bytes(kept.read_bytes()[:-100])
    assert find(run.path)[0].post == first.post
    assert Model.load(kept).card == first.card
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


@pytest.mark.slow
def test_best_without_a_checkpoint_is_passed_over_and_named(run, find) -> None:
    number = best_trial(run)
    shutil.rmtree(run.path / "trials" / str(number) / "checkpoint")
    model, said = find(run.path)
    assert f"trial {number} scored better, but has no checkpoint any more" in said
    assert model.card["members"][0]["trial"] != number


@pytest.mark.slow
def test_top_k_are_together_and_more_than_there_are_is_refused(run, find) -> None:
    model, _ = find(run.path, top=2)
    assert len(model.members) == 2
    assert len({one["trial"] for one in model.card["members"]}) == 2
    with pytest.raises(RunError, match=r"--top: found 2 in .* wanted 9"):
        find(run.path, top=9)


@pytest.mark.slow
def test_card_names_the_parts_of_the_split_by_hash(run, find) -> None:
    patients, splits = find(run.path)[0].card["patients"], Splits.load(run.splits)
    for part, names in (("trained", splits.train), ("validated", splits.val),
                        ("locked", splits.test)):  # fmt: skip
        assert patients[part] == sorted(hash_group(name, patients["salt"]) for name in names)


@pytest.mark.slow
def test_without_prepared_data_the_model_is_the_same_but_not_tuned(run, find, store) -> None:
    tuned, _ = find(run.path)
    shutil.rmtree(run.path / "models")
    record = json.loads(run.environment.read_text())
    record["starts"][-1]["cache"] = str(run.path / "nowhere")
    run.environment.write_text(json.dumps(record))
    plain, said = find(run.path)
    assert plain.inputs == tuned.inputs
    assert set(plain.post.thresholds) == {0.5}
    assert "not tuned: the prepared data are gone" in said


@pytest.mark.slow
def test_folds_of_a_confirmation_are_tuned_on_patients_new_to_each(run, find) -> None:
    model, _ = find(run.path, folds=True)
    assert [one["fold"] for one in model.card["members"]] == [0, 1, 2]
    assert [one["epoch"] for one in model.card["members"]] == [1, 1, 1]
    assert "tuned on 6 validation cases" in model.post.note  # all but the locked two
    assert model.card["score"]["patients"] == 6
    mixed, _ = find(run.path / "confirm", top=2)  # who validated the one has trained the other
    assert "not tuned: no patients are left" in mixed.post.note
    of_folder, _ = find(run.path / "confirm")
    assert of_folder.card == model.card
    shutil.rmtree(run.path / "confirm" / "trials" / "1" / "checkpoint")
    with pytest.raises(RunError, match="no network of fold 1 ; wanted one of each fold"):
        find(run.path, folds=True)
    shutil.rmtree(run.path / "confirm")
    with pytest.raises(RunError, match="found a run that was not confirmed"):
        find(run.path, folds=True)


def test_study_file_and_cut_file_are_told_apart(find, tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(b"PK")
    with pytest.raises(RunError, match=r"cut.pt: found a damaged checkpoint"):
        find(tmp_path / "cut.pt")
    study = tmp_path / "study.yaml"
    study.write_text(TINY_STUDY)
    with pytest.raises(RunError, match=f"found a file that is no model .*(?s:.*){tmp_path}"):
        find(study)


@pytest.mark.slow
def test_trial_and_checkpoint_and_file_are_models_of_one_network(run, find) -> None:
    trial = run.path / "trials" / "1"
    of_trial, _ = find(trial)
    of_best, _ = find(trial / "checkpoint" / "best.pt")
    of_last, _ = find(trial / "checkpoint" / "last.pt")
    of_file, _ = find(run.path / "models" / "trial-1.pt")
    assert of_trial.card == of_best.card == of_file.card
    assert of_last.card["members"][0]["epoch"] == 2
    with pytest.raises(RunError, match=r"(?s)--top: found 2 ; wanted a run .*--folds: found given"):
        find(run.path / "models" / "trial-1.pt", top=2, folds=True)
    moved = shutil.copyfile(trial / "checkpoint" / "best.pt", run.path.parent / "best.pt")
    with pytest.raises(RunError, match="a checkpoint outside of trials/NUMBER/checkpoint"):
        find(moved)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "nothing there ; wanted a model.pt, a run directory"),
        (lambda path: path.mkdir(), "a folder without study.yaml"),
        (lambda path: path.write_text("no model"), "a file that is no model"),
    ],
)
def test_what_is_no_model_is_refused(make, said, tmp_path, find) -> None:
    make(tmp_path / "x")
    with pytest.raises(RunError, match=said):
        find(tmp_path / "x")


def test_run_without_an_epoch_has_no_model(begun, find) -> None:
    with pytest.raises(RunError, match="checkpoints: found no trial has ended an epoch yet"):
        find(begun.path)


def test_suite_is_asked_which_of_its_runs(begun, find) -> None:
    with pytest.raises(RunError, match="one of those in it: tiny"):
        find(begun.path.parent)
