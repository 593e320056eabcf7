"""The ledger in Optuna's own dashboard: really started, and asked as a browser asks."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tune.test_ledger import open_ledger
from tests.tune.test_report import SCORES, fill

pytestmark = pytest.mark.slow

COMMAND = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))


@pytest.fixture
def dashboard(study_path: Path) -> Iterator[str]:
    """Started on the journal of two complete and two stopped trials, as README says."""
    assert COMMAND is not None, "the extra dev has it"
    journal = study_path.parent / "journal.log"
    fill(open_ledger(study_path), SCORES)
    assert journal.is_file()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [COMMAND, str(journal), "--port", str(port), "--server", "wsgiref"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if "Listening on" in line:
                    break
            await_port(server, port)  # it says so a little too early
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def await_port(server: subprocess.Popen[str], port: int) -> None:
    until = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except ConnectionRefusedError:
            continue
        return
    raise AssertionError("it ended, or listens at no port")


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())


def test_optunas_dashboard_shows_the_ledger_and_changes_nothing(
    dashboard: str, study_path: Path
) -> None:
    journal = study_path.parent / "journal.log"
    before = journal.read_bytes()
    (study,) = ask(f"{dashboard}/api/studies")["study_summaries"]
    assert study["study_name"] == "tiny"
    shown = ask(f"{dashboard}/api/studies/{study['study_id']}?after=0")
    assert [trial["state"] for trial in shown["trials"]] == [
        "Complete",
        "Pruned",
        "Complete",
        "Pruned",
    ]
    assert [trial["values"] for trial in shown["trials"] if trial["state"] == "Complete"]
    last = shown["trials"][2]
    assert [point["step"] for point in last["intermediate_values"]] == [1, 2, 3]
    assert "learning_rate" in {param["name"] for param in last["params"]}
    with urllib.request.urlopen(f"{dashboard}/dashboard/", timeout=30) as page:
        assert b"<!DOCTYPE html>" in page.read(2000)
    assert journal.read_bytes() == before
