from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from seglib.errors import RunError
from tune import joined
from tune.joined import Pulse, await_cluster, check_address, find_head


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
    assert time.monotonic() - started < joined._SECONDS_TO_CONNECT


def test_address_where_somebody_listens_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
    check_address("local")
    check_address("auto")


def test_auto_is_what_the_environment_of_a_job_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert find_head("auto") == "127.0.0.1:1"
    assert find_head("10.0.0.1:6379") == "10.0.0.1:6379"
    with pytest.raises(RunError, match=r"found 127\.0\.0\.1:1 \("):
        check_address("auto")


@pytest.mark.parametrize(("mode", "said"), [(0o644, "others can read"), (0o600, "empty")])
def test_token_that_is_none_is_refused_before_the_head_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, said: str
) -> None:
    token = tmp_path / "token"
    token.touch(mode)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    with pytest.raises(RunError, match=f"token file: found {token}, .*{said}"):
        joined.knock("127.0.0.1:1")


@pytest.mark.slow
def test_head_that_answers_is_alive_and_one_that_does_not_is_dead_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert await_cluster(address, seconds=0)
        with Pulse(address) as pulse:
            assert pulse.is_fresh
            assert pulse.feel_now()
            server.close()
            began = time.monotonic()
            assert not pulse.feel_now()
            while not pulse.is_dead:
                assert time.monotonic() - began < 2 * joined.SILENCE_S
                time.sleep(0.1)
            assert not pulse.is_fresh
            assert time.monotonic() - began >= joined.SILENCE_S - 2
    assert not await_cluster(address, seconds=0)


@pytest.mark.slow
def test_head_that_comes_back_is_alive_again() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    with Pulse(f"127.0.0.1:{port}") as pulse:
        server.close()
        until = time.monotonic() + joined.SILENCE_S
        while pulse.is_fresh:
            assert time.monotonic() < until
            time.sleep(0.05)
        with socket.create_server(("127.0.0.1", port)):
            while not pulse.is_fresh:
                assert time.monotonic() < until
                time.sleep(0.05)
        assert not pulse.is_dead
