"""Where a request's run directories and memory may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from seglib.errors import RunError
from tune.request import Request


@pytest.mark.parametrize(
    ("place", "out", "mirror"),
    [
        (None, "runs", None),
        ("/shared", "/shared", None),
        ("s3://bucket/runs/", "runs", "s3://bucket/runs"),
    ],
)
def test_storage_path_is_a_folder_or_a_url(place: str | None, out: str, mirror: str | None) -> None:
    request = Request(Path("x.yaml")).stored_at(place)
    assert (request.out, request.mirror) == (Path(out), mirror)


def test_two_folders_for_run_directories_are_refused() -> None:
    request = Request(Path("x.yaml"))
    with pytest.raises(RunError, match=r"--out: found mine, and --storage-path /shared"):
        request.stored_at("/shared", Path("mine"))
    assert request.stored_at("mine", Path("./mine")).out == Path("mine")
    copy = Request(Path("x.yaml"), out=Path("mine")).stored_at("s3://bucket/runs", Path("mine"))
    assert (copy.out, copy.mirror) == (Path("mine"), "s3://bucket/runs")


def test_memory_of_one_process_is_no_place() -> None:
    with pytest.raises(RunError, match="seen by one process"):
        Request(Path("x.yaml")).stored_at("memory://runs")


def test_key_in_a_storage_path_is_refused_and_not_repeated() -> None:
    with pytest.raises(RunError, match="AWS_SECRET_ACCESS_KEY") as caught:
        Request(Path("x.yaml")).stored_at("s3://KEY:secret@bucket/runs")
    assert "secret" not in str(caught.value).replace("AWS_SECRET", "")


def test_sqlite_is_refused_with_a_cluster_and_says_why() -> None:
    Request(Path("x.yaml"), storage="sqlite:///x.db").require_storage()
    Request(Path("x.yaml"), storage="postgresql://u@h/d", address="h:1").require_storage()
    with pytest.raises(RunError, match="SQLite locks a file on one machine"):
        Request(Path("x.yaml"), storage="sqlite:///x.db", address="h:1").require_storage()


@pytest.mark.parametrize("url", ["mysql+pymysql://u@h/d", "sqlite:///x.db"])
def test_run_at_a_url_has_a_memory_that_keeps_two_drivers_apart(url: str) -> None:
    Request(Path("x.yaml"), storage=url).require_storage()
    away = Request(Path("x.yaml"), storage=url).stored_at("s3://bucket/runs")
    with pytest.raises(RunError, match=r"with a run directory at a URL(.|\n)*postgresql://USER"):
        away.require_storage()
