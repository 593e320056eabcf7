"""Addresses at which no cluster of ours answers: one message each, soon."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from seglib.errors import RunError
from tune.credentials import find_token, place_of_token
from tune.dashboard import DashboardError, check_url, connect, talking


@pytest.fixture(autouse=True)
def _no_token(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def server(code: int, body: str) -> Iterator[str]:
    """A web server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{one.server_port}"
        finally:
            one.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "address",
    ["head:6379", "ray://head:10001", "http://", "http://head:port", "auto", "http://h/x"],
)
def test_address_of_another_kind_is_refused_unasked(address):
    (problem,) = check_url(address)
    assert problem.place == "--address"


def test_name_and_password_in_the_address_are_refused_and_not_repeated():
    (problem,) = check_url("http://me:hidden@head:8265")
    assert "hidden" not in str(problem)


def test_address_where_nobody_listens_is_refused():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(RunError, match=r"--address: found nobody who answers .*refused"):
            connect(f"http://127.0.0.1:{held.getsockname()[1]}")


@pytest.mark.parametrize(
    ("code", "body", "text"),
    [
        (200, "<html>", "something else, which does not answer as a dashboard"),
        (200, "[1]", "something else, which does not answer as a dashboard"),
        (404, "", "something else, which answers with HTTP 404"),
        (200, '{"ray_version": "2.0.0"}', r"Ray: found 2\.0\.0 on the cluster ; wanted 2\.60\.0"),
    ],
)
def test_server_that_is_no_dashboard_of_our_ray_is_refused(code, body, text):
    with server(code, body) as address, pytest.raises(RunError, match=text):
        connect(address)


@pytest.mark.filterwarnings("ignore:ssl=None is deprecated")  # Ray's client
def test_log_that_breaks_off_is_one_message():
    """The library of the log's connection has kinds of error of its own."""
    versions = {"ray_version": importlib.metadata.version("ray"), "version": "4"}

    async def follow() -> None:
        async for _ in client.tail_job_logs("job"):
            pass

    with server(200, json.dumps(versions)) as address:
        client = connect(address)
        with (
            pytest.raises(DashboardError, match=f"{address}: .*Invalid response"),
            talking(address),
        ):
            asyncio.run(follow())


def test_fault_of_our_own_is_no_fault_of_the_cluster():
    with pytest.raises(KeyError), talking("http://head:8265"):
        raise KeyError("job")


def test_listener_that_speaks_no_http_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as one:

        def answer() -> None:
            talk, _ = one.accept()
            with talk:
                talk.recv(1000)
                talk.sendall(b"\0\0\x12\4 not http\n\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RunError, match="does not answer as a dashboard"):
            connect(f"http://127.0.0.1:{one.getsockname()[1]}")
        thread.join()


def test_client_without_the_extra_is_told_its_name():
    code = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from tune.cli import main\n"
        "sys.exit(main(['status', '--address', 'http://127.0.0.1:9']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "ray[default]: found no aiohttp ; wanted segtune's extra cluster" in done.stderr


def test_token_is_looked_for_where_ray_looks(monkeypatch, tmp_path):
    assert find_token() is None
    assert place_of_token() == ""
    usual = tmp_path / ".ray" / "auth_token"
    usual.parent.mkdir()
    usual.touch(0o600)
    usual.write_text("usual\n")
    assert find_token() == "usual"
    assert place_of_token() == "~/.ray/auth_token"
    named = tmp_path / "named"
    named.touch(0o600)
    named.write_text("named")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    assert find_token() == "named"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "said")
    assert find_token() == "said"
    assert place_of_token() == "the variable RAY_AUTH_TOKEN"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert find_token() is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_token_that_others_can_read_is_refused(monkeypatch, tmp_path, mode):
    path = tmp_path / "token"
    path.write_text("secret-token")
    path.chmod(mode)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    with pytest.raises(RunError, match=rf"others can read \(mode 0{mode:o}\)") as caught:
        find_token()
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_token_file_without_a_token_is_refused(monkeypatch, tmp_path, text):
    path = tmp_path / "token"
    if text is not None:
        path.touch(0o600)
        path.write_text(text)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    with pytest.raises(RunError, match=r"empty|No such file"):
        find_token()
