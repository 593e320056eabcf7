from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from seglib.data.prepare import prepare
from seglib.data.store import Store
from seglib.errors import DataError, RunError, StudyFileError
from seglib.files import write_whole
from tune.run_directory import RunDirectory
from tune.study_file import load_study


def test_second_process_is_refused_and_told_who_holds_the_folder(folder: RunDirectory) -> None:
    code = (
        "import sys; from pathlib import Path; from tune.run_directory import RunDirectory\n"
        "with RunDirectory(Path(sys.argv[1])).locked():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(RunError, match=rf"a search at work here \(pid {other.pid} on "):
        folder.locked().__enter__()
    other.send_signal(signal.SIGKILL)  # it has no chance to clean up
    other.communicate()
    with folder.locked():
        assert f"pid {os.getpid()}" in (folder.path / "run.lock").read_text()


def test_folder_that_cannot_be_made_is_a_fault_of_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match=r"--out: found .*tiny \(Not a directory\)"),
        RunDirectory(tmp_path / "file" / "tiny").locked(),
    ):
        pass


def test_study_is_written_as_it_was_resolved(folder: RunDirectory, study_path: Path) -> None:
    study = load_study(study_path, demo=False)
    assert folder.settle_study(study) == []
    assert load_study(folder.study, demo=False) == study


def test_edit_that_keeps_trials_comparable_is_told(begun: RunDirectory, study_path: Path) -> None:
    edited = load_study(study_path, ("run_cap=9", "learning_rate.max=0.1"), demo=False)
    said = begun.settle_study(edited)
    assert any(line.startswith("run_cap changed since the last run: 4 -> 9") for line in said)
    assert any(line.startswith("parameters.learning_rate.max changed") for line in said)
    assert len(said) == 2
    assert load_study(begun.study, demo=False) == edited
    assert begun.settle_study(edited) == []


@pytest.mark.parametrize(
    "override",
    ["image_size=64", "split.val=0.5", "metric.name=iou", "method=bayes", "seed=1"],
)
def test_edit_that_makes_trials_incomparable_is_refused(
    begun: RunDirectory, study_path: Path, override: str
) -> None:
    before = begun.study.read_text()
    with pytest.raises(RunError, match=r"holds another study: 1 problem(.|\n)*another name"):
        begun.settle_study(load_study(study_path, (override,), demo=False))
    assert begun.study.read_text() == before


def test_all_incomparable_parts_are_told_at_once(begun: RunDirectory, study_path: Path) -> None:
    edited = load_study(study_path, ("seed=1", "image_size=64"), demo=False)
    with pytest.raises(RunError, match="2 problems"):
        begun.settle_study(edited)


def test_study_may_still_change_while_nothing_was_started(
    folder: RunDirectory, study_path: Path
) -> None:
    folder.settle_study(load_study(study_path, demo=False))
    edited = load_study(study_path, ("image_size=64",), demo=False)
    assert folder.settle_study(edited) == []
    assert load_study(folder.study, demo=False) == edited


def test_damaged_study_file_is_refused_by_its_name(begun: RunDirectory, study_path: Path) -> None:
    begun.study.write_text("name: [tiny\n")
    with pytest.raises(StudyFileError, match=r"runs/tiny/study\.yaml: 1 problem"):
        begun.settle_study(load_study(study_path, demo=False))


def test_split_is_drawn_once_and_then_kept(
    begun: RunDirectory, store: Store, study_path: Path
) -> None:
    first = begun.splits.read_bytes()
    other_draw = load_study(study_path, ("split.seed=99",), demo=False)
    kept = begun.settle_splits(store, other_draw)
    assert begun.splits.read_bytes() == first
    assert kept.seed != 99


def test_split_of_other_patients_is_refused(
    begun: RunDirectory, store: Store, study_path: Path
) -> None:
    begun.environment.unlink()  # it would have told already that the data are others
    (begun.path / "trials/0").mkdir(parents=True)
    parts = json.loads(begun.splits.read_text())
    parts["train"][0] = "somebody-else"
    begun.splits.write_text(json.dumps(parts))
    with pytest.raises(RunError, match="the data changed"):
        begun.settle_splits(store, load_study(study_path, demo=False))


def test_other_pixels_of_the_same_patients_are_refused(
    begun: RunDirectory, study_path: Path, tmp_path: Path
) -> None:
    spec = load_study(study_path, ("data.seed=1",), demo=False).data
    other = prepare(spec, None, tmp_path / "other")
    with pytest.raises(RunError, match="found other images or masks"):
        begun.settle_splits(other, load_study(study_path, demo=False))


def test_environment_keeps_every_start(begun: RunDirectory, store: Store) -> None:
    begun.write_environment(store)
    starts = json.loads(begun.environment.read_text())["starts"]
    assert len(starts) == 2
    assert (starts[1]["data"]["key"], starts[1]["data"]["phantom"]) == (store.key, True)
    assert starts[1]["versions"]["torch"]
    assert starts[1]["storage"] == "journal.log"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"starts": [1]}', "\x00\x01"])
def test_damaged_environment_is_refused(begun: RunDirectory, store: Store, text: str) -> None:
    begun.environment.write_text(text)
    with pytest.raises(RunError, match=r"environment\.json: 1 problem"):
        begun.write_environment(store)


def test_search_has_one_memory(begun: RunDirectory) -> None:
    with pytest.raises(RunError, match=r"--storage: found sqlite:///x\.db ; wanted journal\.log"):
        begun.settle_storage("sqlite:///x.db")


def test_password_of_the_database_is_not_written_down(folder: RunDirectory, store: Store) -> None:
    folder.write_environment(store, "postgresql://me:secret@host/db")
    assert folder.storage_name() == "postgresql://me@host/db"
    assert "secret" not in folder.environment.read_text()


def test_lost_journal_is_refused_where_trials_are(begun: RunDirectory) -> None:
    (begun.path / "trials" / "0").mkdir(parents=True)
    begun.journal.unlink()
    with pytest.raises(RunError, match=r"journal\.log: found no such file"):
        begun.settle_storage(None)
    assert not begun.journal.exists()


def test_failed_write_leaves_the_file_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    write_whole(path, "before")
    monkeypatch.setattr(Path, "replace", lambda *args: (_ for _ in ()).throw(OSError("died")))
    with pytest.raises(OSError, match="died"):
        write_whole(path, "after")
    assert path.read_text() == "before"


def test_file_is_written_into_a_new_folder(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "file.txt", "päth\n")
    assert (tmp_path / "new" / "file.txt").read_text(encoding="utf-8") == "päth\n"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["file.txt"]


def test_part_without_any_class_is_refused_before_any_trial(
    tmp_path: Path, store: Store, study_path: Path
) -> None:
    index = store.index.copy()
    columns = [f"px_{name}" for name in store.target.classes]
    index.loc[index["group"] != index["group"].iloc[0], columns] = 0
    folder = RunDirectory(tmp_path / "run")
    study = load_study(study_path, demo=False)
    with pytest.raises(DataError, match=r"split, (train|val) part: found no slice with any class"):
        folder.settle_splits(replace(store, index=index), study)
    assert not folder.splits.exists()


def test_setting_that_comes_or_goes_is_told_in_words(begun: RunDirectory, study_path: Path) -> None:
    more = load_study(study_path, ("parameters.dropout={values: [0.1, 0.2]}",), demo=False)
    said = "parameters.dropout.values is new since the last run: [0.1, 0.2]"
    assert said in begun.settle_study(more)
    said = "parameters.dropout.values is gone since the last run, it was [0.1, 0.2]"
    assert said in begun.settle_study(load_study(study_path, demo=False))


def test_study_that_could_not_be_read_back_is_refused_before_it_is_written(
    folder: RunDirectory, study_path: Path
) -> None:
    text = study_path.read_text()
    study_path.write_text(f"{text}description: &long '{'x' * 70_000}'\nproject: *long\n")
    study = load_study(study_path, demo=False)
    with pytest.raises(StudyFileError, match=r"bytes when all its aliases are written out"):
        folder.settle_study(study)
    assert not folder.study.exists()
