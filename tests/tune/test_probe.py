from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tune.joined import environment_of_job
from tune.probe import marked, say_unfit, versions_here


def test_same_folder_and_versions_are_fit_and_leave_nothing(tmp_path: Path) -> None:
    with marked([tmp_path]) as marks:
        assert say_unfit(marks, versions_here()) == ""
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_folder_that_only_the_driver_has_is_named(tmp_path: Path) -> None:
    shared = tmp_path / "runs"
    shared.mkdir()
    with marked([shared]) as marks:
        elsewhere = {str(tmp_path / "no-runs"): marks[str(shared)]}
        assert say_unfit(elsewhere, {}) == (
            f"found no {tmp_path}/no-runs, or an empty one, "
            "wanted the same place as here, to write to"
        )


def test_folder_of_the_same_name_on_another_disk_is_not_the_same(tmp_path: Path) -> None:
    shared = tmp_path / "runs"
    shared.mkdir()
    with marked([shared]) as ours:
        shutil.copytree(shared, tmp_path / "copy")
        with marked([tmp_path / "copy"]):  # of another search there
            mixed = {str(tmp_path / "copy"): ours[str(shared)]}
            assert "another folder by the name of" in say_unfit(mixed, {})


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    other = versions_here() | {"torch": "1.0", "ray": "2.0"}
    said = say_unfit({str(tmp_path / "a"): "x", str(tmp_path / "b"): "y"}, other)
    assert said.count("found") == 4
    assert f"found torch {versions_here()['torch']}, wanted torch 1.0" in said


def test_builds_for_other_devices_are_the_same_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cu130")
    assert versions_here()["torch"] == "2.13.0"


def test_same_url_is_fit_and_nothing_is_left_there(tmp_path: Path) -> None:
    with marked([f"file://{tmp_path}"]) as marks:
        assert say_unfit(marks, versions_here()) == ""
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_url_that_means_another_place_on_each_machine_is_told(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    with marked([f"file://{tmp_path}/here"]) as marks:
        there = {f"file://{tmp_path}/there": mark for mark in marks.values()}
        assert f"found another place by the name of file://{tmp_path}/there" in say_unfit(there, {})


def test_url_whose_package_is_missing_is_told_with_what_to_install() -> None:
    said = say_unfit({"nosuch://bucket/runs": "x"}, {})
    assert said.startswith("found nosuch://bucket/runs (")


def test_marks_of_two_searches_at_one_url_do_not_meet(tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    with marked([url]) as first:
        with marked([url]) as second:
            assert say_unfit(first, {}) == say_unfit(second, {}) == ""
        assert say_unfit(first, {}) == ""


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (None, {}),
        ("", {}),
        ("{}", {}),
        ({"runtime_env": None}, {}),
        ({"runtime_env": {"pip": {"packages": ["ray"]}}}, {"pip": {"packages": ["ray"]}}),
    ],
)
def test_what_ray_installs_for_a_job_is_known(
    monkeypatch: pytest.MonkeyPatch, job: object, found: dict[str, object]
) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    if job is not None:
        text = job if isinstance(job, str) else json.dumps(job)
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", text)
    assert environment_of_job() == found
