"""The data change between two starts of a search: it is refused, and said what changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from seglib.data.phantom import write_phantoms
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.data.store import Store
from seglib.errors import DataError, RunError
from tests.conftest import TINY_STUDY
from tune.cli import main
from tune.request import Request
from tune.run_directory import RunDirectory
from tune.study_file import load_study

pytestmark = pytest.mark.fault("edited")


class Search:
    """A search that was begun on a folder with files."""

    def __init__(self, place: Path) -> None:
        self.data, self.cache = place / "data", place / "cache"
        write_phantoms("phantom-brats", self.data, cases=6, seed=0, size=32)
        path = place / "tiny.yaml"
        path.write_text(TINY_STUDY.replace("phantom-brats, cases: 8", "brats"))
        self.study = load_study(path, demo=False)
        self.folder = RunDirectory(place / "tiny")
        self.folder.settle_study(self.study)
        self.start()

    def prepare(self) -> Store:
        spec = DataSpec.model_validate(self.study.data)
        return prepare(spec, self.data, self.cache, workers=1)

    def start(self) -> None:
        store = self.prepare()
        self.folder.settle_splits(store, self.study)
        self.folder.write_environment(store)

    def cases(self) -> list[Path]:
        return sorted(path for path in self.data.iterdir() if path.is_dir())


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path)


def change(path: Path) -> None:
    """Another value in the middle of a volume."""
    volume = nibabel.load(path)
    values = np.asanyarray(volume.dataobj).copy()
    middle = tuple(size // 2 for size in values.shape)
    values[middle] = 1 if values[middle] != 1 else 2
    nibabel.save(nibabel.Nifti1Image(values, volume.affine, volume.header), path)


def test_search_that_is_refused_for_its_data_leaves_the_study_as_it_was(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    before = search.folder.study.read_bytes()
    shutil.rmtree(search.cases()[0])
    place = search.folder.path.parent
    words = ["--space", str(place / "tiny.yaml"), "--data", str(search.data), "--out", str(place)]
    assert main(["run", *words, "--set", "run_cap=9"]) == 2
    assert "holds another study" in capsys.readouterr().err
    assert search.folder.study.read_bytes() == before


def test_same_data_under_another_name_are_the_same(search: Search) -> None:
    search.data = search.data.rename(search.data.with_name("moved"))
    search.start()
    assert len(search.folder.starts()) == 2


def test_each_case_that_changed_is_named(search: Search) -> None:
    first, second, *_, last = search.cases()
    added = last.with_name(last.name.replace("006", "009"))
    shutil.copytree(last, added)
    for file in added.iterdir():
        file.rename(added / file.name.replace(last.name, added.name))
    shutil.rmtree(first)
    change(next(second.glob("*_seg.nii*")))
    change(next(last.glob("*_flair.nii*")))
    with pytest.raises(RunError, match="found other images or masks") as caught:
        search.start()
    said = str(caught.value)
    assert f"added: {added.name}; removed: {first.name}" in said
    assert f"altered: {second.name} (masks), {last.name} (images" in said
    assert "give another name or --out" in said
    assert len(search.folder.starts()) == 1


def test_change_is_refused_where_the_data_before_are_gone(search: Search) -> None:
    shutil.rmtree(search.cases()[0])
    shutil.rmtree(search.cache)
    with pytest.raises(RunError, match="cannot be said, as the data prepared before are gone"):
        search.start()


def test_many_changes_are_counted(search: Search) -> None:
    for case in search.cases():
        change(next(case.glob("*_seg.nii*")))
    with pytest.raises(RunError, match=r"altered: (.+ \(masks\), ){4}.+ \(masks\) and 1 more"):
        search.start()


def test_folder_that_is_gone_is_refused_with_its_name(search: Search, tmp_path: Path) -> None:
    shutil.rmtree(search.data)
    with pytest.raises(DataError, match=r"--data: found no folder .*data ; wanted a folder"):
        Request(tmp_path / "tiny.yaml", search.data, tmp_path).load_to_train()
