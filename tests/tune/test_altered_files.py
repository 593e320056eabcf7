"""Files of a run directory that were altered or lost between two starts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import DataError, RunError
from tests.tune.test_trainable import build_config
from tune.run_directory import RunDirectory
from tune.study_file import load_study
from tune.trial import run_trial


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-len(content) // 3] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.fault("corruption")
@pytest.mark.parametrize("damage", [flip_a_bit, empty])
def test_altered_split_is_refused_and_deleted_it_comes_back_the_same(
    begun: RunDirectory,
    store: Store,
    study_path: Path,
    damage: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    study, before = load_study(study_path, demo=False), begun.splits.read_bytes()
    damage(begun.splits)
    with pytest.raises(
        RunError, match=r"splits\.json: 1 problem\n.* wanted [0-9a-f]{64}\n.*delete"
    ):
        begun.settle_splits(store, study)
    begun.splits.unlink()
    begun.settle_splits(store, study)
    assert begun.splits.read_bytes() == before
    assert "splits.json was missing; the same split was drawn again" in caplog.text


@pytest.mark.fault("corruption")
def test_lost_split_is_never_replaced_by_another(
    begun: RunDirectory, store: Store, study_path: Path
) -> None:
    begun.splits.unlink()
    with pytest.raises(RunError, match=r"splits\.json: found no such file"):
        begun.settle_splits(store, load_study(study_path, ("split.seed=99",), demo=False))
    begun.environment.unlink()
    (begun.path / "trials" / "0").mkdir(parents=True)
    with pytest.raises(RunError, match=r"splits\.json: found no such file"):
        begun.settle_splits(store, load_study(study_path, demo=False))
    assert not begun.splits.exists()


def test_unreadable_split_of_an_older_version_is_refused(
    begun: RunDirectory, store: Store, study_path: Path
) -> None:
    starts = json.loads(begun.environment.read_text())
    del starts["starts"][0]["splits"]
    begun.environment.write_text(json.dumps(starts))
    begun.splits.write_text('{"train": [')
    with pytest.raises(DataError, match="unreadable file"):
        begun.settle_splits(store, load_study(study_path, demo=False))


@pytest.mark.fault("corruption")
def test_altered_study_is_refused_until_its_seal_is_taken_off(
    begun: RunDirectory, study_path: Path
) -> None:
    study = load_study(study_path, demo=False)
    text = begun.study.read_text().replace("run_cap: 4", "run_cap: 5")
    begun.study.write_text(text)
    with pytest.raises(RunError, match=r"study\.yaml: 1 problem\n  sha256: found .*; wanted "):
        begun.settle_study(study)
    assert begun.study.read_text() == text
    begun.study.write_text(text.partition("\n")[2])
    assert begun.settle_study(study) == ["run_cap changed since the last run: 5 -> 4"]
    assert begun.settle_study(study) == []


@pytest.mark.fault("corruption")
@pytest.mark.parametrize("recorded", [True, False])
def test_lost_study_is_not_written_anew_where_a_search_was_begun(
    begun: RunDirectory, study_path: Path, recorded: bool
) -> None:
    (begun.path / "trials" / "0").mkdir(parents=True)
    begun.study.unlink()
    if not recorded:
        begun.environment.unlink()
    with pytest.raises(RunError, match=r"study\.yaml: found no such file ; wanted the study that"):
        begun.settle_study(load_study(study_path, ("metric.name=iou",), demo=False))


@pytest.mark.fault("corruption")
def test_lost_record_of_starts_hides_no_other_study(
    begun: RunDirectory, store: Store, study_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (begun.path / "trials" / "0").mkdir(parents=True)
    begun.environment.unlink()
    with pytest.raises(RunError, match="holds another study"):
        begun.settle_study(load_study(study_path, ("metric.name=iou",), demo=False))
    begun.write_environment(store)
    assert "environment.json was missing: nobody can tell" in caplog.text


WATCHED = """
import json, pickle, sys
from pathlib import Path
from seglib.data.store import Store
from seglib.errors import SegtuneError
from tune.run_directory import RunDirectory
from tune.run_view import view_run
from tune.study_file import load_study
from tune.trial import run_trial

config, run, mark = json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
store, folder = Path(config["store"]), RunDirectory(run)
study, whole = load_study(run / "study.yaml", demo=False), Store.open(store)

class Attack:
    def __reduce__(self):
        return (open, (str(mark), "w"))

attack, found = pickle.dumps(Attack()), []
sys.addaudithook(lambda event, what: event == "pickle.find_class" and found.append(what))
pickle.loads(pickle.dumps(Path))
assert found, "the hook sees nothing"

readers = [
    lambda: Store.open(store),
    lambda: folder.settle_study(study),
    lambda: folder.settle_storage(None),
    lambda: folder.settle_splits(whole, study),
    lambda: view_run(run),
    lambda: run_trial(config, lambda sent: None),
]
attacked = [file for top in (run, store) for file in top.rglob("*") if file.is_file()]
for file in attacked:
    before = file.read_bytes()
    file.write_bytes(attack)
    found.clear()
    for read in readers:
        try:
            read()
        except SegtuneError:
            pass
    assert not found, (file, found)
    assert not mark.exists(), file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(before)
print(*(file.name for file in attacked))
"""


@pytest.mark.slow
@pytest.mark.fault("corruption")
def test_no_pickle_is_read_from_a_run_directory_or_a_store(
    begun: RunDirectory, store: Store, split: Split, tmp_path: Path
) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store.path, copy)
    config = build_config(store, split, begun.path / "trials" / "0", epochs=2)
    config["store"] = str(copy)
    run_trial(config, lambda sent: None)
    words = [json.dumps(config), str(begun.path), str(tmp_path / "mark")]
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    attacked = ended.stdout.split()
    assert {"last.pt", "last.pt.previous", "best.pt", "journal.log", "images.npy"} <= {*attacked}
    assert {"study.yaml", "splits.json", "environment.json", "store.json"} <= {*attacked}
