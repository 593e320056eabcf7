from __future__ import annotations

import socket
import stat
import time

import pytest

from seglib.errors import RunError
from tune import cluster
from tune.cluster import check_address, find_dead


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
