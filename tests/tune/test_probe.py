from __future__ import annotations

import shutil
from pathlib import Path

import pytest

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
            "wanted the same folder as here, to write to"
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
