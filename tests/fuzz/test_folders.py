"""Data folders whose entries are no files, lead in circles, or have names that nobody can print."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from seglib.data.fingerprint import digest_files
from seglib.data.layouts import find_dataset, find_datasets
from seglib.data.manifest import read_manifest
from seglib.data.place import walk
from seglib.data.prepare import prepare
from seglib.data.readers import read_array
from seglib.data.spec import DataSpec
from seglib.data.splits import Splits
from seglib.data.store import Store
from seglib.errors import DataError, StudyFileError
from tests.fuzz import seeds
from tests.seglib.data.sources import write_pair
from tune.study_file import load_study

pytestmark = pytest.mark.fault("parsers")

PIPE = "a pipe, socket or device where a file should be"


def no_file(kind: str, path: Path) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.symlink_to(path.name)
    else:
        path.symlink_to("nowhere")


@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.nii.gz", "a.dcm", "a"])
@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("pipe", PIPE),
        ("device", PIPE),
        ("socket", PIPE),
        ("folder", "a folder where a file should be"),
        ("circle", "Too many levels of symbolic links"),
        ("nowhere", "no such file"),
    ],
)
def test_what_is_no_file_is_told_at_once(kind: str, found: str, name: str, short: Path) -> None:
    no_file(kind, short / name)
    with pytest.raises(DataError, match=found):
        read_array(short / name)


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A socket's path may have a hundred letters only."""
    return tmp_path_factory.mktemp("s")


@pytest.mark.parametrize("kind", ["pipe", "device", "circle", "nowhere"])
def test_a_data_folder_with_an_entry_that_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a", "b"):
        write_pair(data, name)
    (data / "Image" / "b.png").unlink()
    no_file(kind, data / "Image" / "b.png")
    with pytest.raises(DataError, match=r"b\.png"):
        prepare(DataSpec(layout="pairs", image_size=16), data, tmp_path / "cache")
    with pytest.raises(DataError, match=r"b\.png"):
        digest_files([data / "Image" / "b.png"], tmp_path / "digests.json")


def test_folders_named_like_images_are_no_images(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    (tmp_path / "Image" / "b.png").mkdir()
    assert [item.case for item in find_dataset(DataSpec(layout="pairs"), tmp_path).items] == ["a"]


def test_pipes_in_the_place_of_other_files_are_told_at_once(tmp_path: Path) -> None:
    for name in ("study.yaml", "manifest.csv", "dataset.json", "splits.json"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(StudyFileError, match=PIPE):
        load_study(tmp_path / "study.yaml", demo=False)
    problems = []
    read_manifest(tmp_path / "manifest.csv", tmp_path, tmp_path, problems=problems)
    assert PIPE in str(problems[0])
    with pytest.raises(DataError, match=PIPE):
        Splits.load(tmp_path / "splits.json")
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "imagesTr" / "a_0000.nii").touch()
    (tmp_path / "labelsTr").mkdir()
    with pytest.raises(DataError, match=PIPE):
        find_dataset(DataSpec(layout="nnunet"), tmp_path)


def test_links_in_a_circle_have_an_end(tmp_path: Path) -> None:
    """Forty links to the folder itself, six deep: four thousand million names."""
    write_pair(tmp_path, "a")
    for number in range(40):
        (tmp_path / f"again{number}").symlink_to(".")
        (tmp_path / "Image" / f"up{number}").symlink_to("..")
    assert [here for here, _, _ in walk(tmp_path, 6)] == [
        tmp_path,
        tmp_path / "Image",
        tmp_path / "Mask",
    ]
    (dataset,) = find_datasets(DataSpec(), tmp_path)
    assert len(dataset.items) == 1


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    write_pair(tmp_path / "far", "a")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "far")
    (dataset,) = find_datasets(DataSpec(), tmp_path / "data")
    assert dataset.root == tmp_path / "data" / "linked"


NAMES = {
    b"bytes\xff\xfe": "bytes\\udcff\\udcfe",
    b"line\nend": "line\\nend",
    b"\x1b[2J": "\\x1b[2J",
    b"=cmd|x": "'=cmd|x",
    b"-rf": "'-rf",
    b"back\\slash": "back\\\\slash",
    "turn\u202eed".encode(): "turn\\u202eed",
    "²".encode(): "²",
    b"CON": "CON",
    b"<script>alert(1)": "<script>alert(1)",
}


def test_names_that_nobody_can_print_become_names_that_everything_can_hold(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in NAMES:
        write_pair(data, os.fsdecode(name))
    store = prepare(DataSpec(layout="pairs", image_size=16), data, tmp_path / "cache")
    assert set(store.index["case"]) == set(NAMES.values())
    assert set(Store.open(store.path).index["group"]) == set(NAMES.values())
    "\n".join([*store.index["case"], *store.info.notes]).encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "data"]


def test_a_fault_in_a_file_with_such_a_name_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\x1b[31m\xff.png")
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"\\x1b\[31m\\udcff\.png: found an unreadable") as caught:
        read_array(path)
    str(caught.value.problems[0]).encode("ascii")


def test_a_patient_named_like_a_path_stays_a_name(tmp_path: Path) -> None:
    for number, patient in enumerate(("../../escaped", "/etc/x", "..", "a\\..\\b")):
        path = tmp_path / "data" / f"{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        uid = f"1.2.{number + 1}"
        path.write_bytes(seeds.dicom_slice(PatientID=patient, SeriesInstanceUID=uid))
    dataset = find_dataset(DataSpec(layout="dicom"), tmp_path / "data")
    cases = {item.case for item in dataset.items}
    assert len(cases) == 4
    assert not any("/" in case for case in cases)


@pytest.mark.slow
def test_the_time_for_a_listing_grows_with_it_and_no_faster(tmp_path: Path) -> None:
    seconds = []
    for count in (1_000, 10_000):
        for part, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
            (tmp_path / part).mkdir(exist_ok=True)
            for number in range(count):
                (tmp_path / part / f"case_{number:05d}{ending}.nii.gz").touch()
        (tmp_path / "dataset.json").write_text(
            '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "lung": 1}}'
        )
        start = time.process_time()
        (dataset,) = find_datasets(DataSpec(), tmp_path)
        seconds.append(time.process_time() - start)
        assert len(dataset.items) == count
    assert seconds[1] < 40 * seconds[0]
