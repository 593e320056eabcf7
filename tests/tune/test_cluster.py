from __future__ import annotations

import re
import socket
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest

from seglib.errors import RunError
from tune import cluster
from tune.cluster import check_address, find_dead, running_ray


@pytest.mark.parametrize(
    "address", ["nonsense", "ray://head:10001", ":6379", "head:", "head:port", "127.0.0.1:99999999"]
)
def test_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(RunError, match="--address: found"):
        check_address(address)


def test_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can be there
        port = held.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(RunError, match=rf"127\.0\.0\.1:{port} \(.*refused"):
            check_address(f"127.0.0.1:{port}")
    assert time.monotonic() - started < cluster._SECONDS_TO_CONNECT


def test_address_where_somebody_listens_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
    check_address("local")
    check_address("auto")


def test_only_the_owner_can_read_the_token() -> None:
    path = cluster._token_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) == 64
    assert cluster._token_file() == path


def test_where_no_ray_was_started_none_has_died() -> None:
    assert find_dead() == ""


@pytest.mark.slow
def test_ray_of_our_own_has_no_process_that_we_do_not_need() -> None:
    """Names of processes are Ray's inner ones: this fails when an upgrade changes them."""
    began = psutil.Process().children(recursive=True)
    with running_ray("local", cpus=1, workers=2):
        import ray

        @ray.remote
        def list_imported() -> bool:
            return {"torch", "tune.trainable", "albumentations"} <= set(sys.modules)

        assert ray.get(list_imported.remote())
        started = set(psutil.Process().children(recursive=True)) - set(began)
        names = sorted(re.sub("ray::.*", "worker", _name(one)) for one in started)
        assert [name for name in names if name != "python"] == [
            "cat", "cat", "gcs_server", "raylet", "worker", "worker",
        ]  # fmt: skip
    give_up_at = time.monotonic() + 30
    while left := [one for one in started if _name(one) not in ("", "python")]:
        assert time.monotonic() < give_up_at, left


def _name(process: psutil.Process) -> str:
    """What a process was started as; empty once it has ended."""
    try:
        return Path(process.cmdline()[0]).name
    except psutil.Error:
        return ""
