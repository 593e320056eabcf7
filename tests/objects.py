"""A real server that speaks S3, for one test: its own process, on loopback, ended with the test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

__all__ = ["SECRET", "serving_objects"]

SECRET = "not-to-be-told-4f2a"
_SECONDS_TO_START = 60.0


@contextmanager
def serving_objects(folder: Path) -> Iterator[Mapping[str, str]]:
    """A server with the bucket ``bucket``; where moto or s3fs lack, the test is skipped.

    With ``SEGTUNE_ALL_TOOLS=1`` it fails instead.

    Args:
        folder: For the server's log.

    Yields:
        Variables of the environment by which s3fs finds it.
    """
    lacking = [name for name in ("moto", "s3fs", "flask") if find_spec(name) is None]
    if lacking:
        reason = f"not installed: {', '.join(lacking)} (the extra dev)"
        if os.environ.get("SEGTUNE_ALL_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = f"http://127.0.0.1:{port}"
    log = folder / "objects.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=file,
            stderr=file,
        )
    try:
        _make_bucket(f"{place}/bucket", server, log)
        yield {
            "AWS_ENDPOINT_URL": place,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.kill()
        server.wait()


def _make_bucket(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _SECONDS_TO_START
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).close()
            return
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
