"""Nobody gets in without the cluster's token, by any door, on any Ray that we start.

Each door is tried with the right token, too: else one that is shut to all would pass.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.driver import Driver, new_folder
from tests.cluster.commands import assert_nowhere, segtune
from tests.cluster.nodes import Cluster

pytestmark = pytest.mark.slow

SECRETS = {"WANDB_API_KEY": "f00d" * 10, "PGPASSWORD": "planted-pg-password"}
KINDS = ("right", "wrong", "none")
KNOCK = """\
import logging, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
    print("GOT IN:", ray.cluster_resources().get("CPU"))
except Exception as error:
    print("REFUSED:", type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    """As cluster.yaml starts it: `ray start --head`, a token, and a dashboard."""
    with Cluster(dashboard=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A search with a Ray of its own, at work on its second epoch, with secrets around it."""
    folder = new_folder(tmp_path_factory.mktemp("local"))
    words = ("--set", "epochs=500", "--set", "tracking.wandb=offline")
    driver = Driver(folder, *words, environment=SECRETS | {"RAY_AUTH_TOKEN": "someone-elses"})
    try:
        driver.wait_for(" epoch 2:")
        yield driver
    finally:
        if driver.process.poll() is None:
            driver.kill()


def guest(folder: Path, kind: str, right: str) -> dict[str, str]:
    """The environment of a second process on the same machine."""
    token = {"right": right, "wrong": "0" * 64}.get(kind)
    path = folder / "token"
    if token is not None:
        path.touch(0o600)
        path.write_text(token)
    mode = {"RAY_AUTH_MODE": "disabled" if token is None else "token"}
    named = {"RAY_AUTH_TOKEN_PATH": str(path)} if token is not None else {}
    return {"HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0"} | mode | named


class Knock:
    """A second process that tries Ray's own way in."""

    def __init__(self, address: str, environment: dict[str, str]) -> None:
        plain = {name: value for name, value in os.environ.items() if "RAY" not in name}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", KNOCK, address],
            env=plain | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def assert_answered(self, kind: str) -> None:
        """It is let in with the right token, and with no other."""
        said, _ = self._process.communicate(timeout=150)
        assert ("GOT IN: " in said) is (kind == "right"), said
        assert ("REFUSED: " in said) is (kind != "right"), said


@pytest.fixture(scope="module")
def knocks(head: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Knock]:
    """All at once: Ray tries again for half a minute before it says that it was refused."""
    servers = [one for one in head.head.processes() if "ray.util.client.server" in one.cmdline()]
    client = f"ray://{head.address.partition(':')[0]}:{own_option(servers, '--port=')}"
    token = head.token_file.read_text()
    return {
        f"{door} {kind}": Knock(address, guest(tmp_path_factory.mktemp("guest"), kind, token))
        for door, address in (("control", head.address), ("client", client))
        for kind in KINDS
    }


def own_option(processes: list[psutil.Process], name: str) -> str:
    for process in processes:
        for word in process.cmdline():
            if word.startswith(name):
                return word.removeprefix(name)
    raise AssertionError(name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/api/version", "/api/jobs/", "/api/cluster_status"])
def test_dashboard_and_jobs_ask_for_the_token(head, path, kind):
    request = urllib.request.Request(head.dashboard_url + path)
    if kind != "none":
        token = head.token_file.read_text() if kind == "right" else "0" * 64
        request.add_header("Authorization", f"Bearer {token}")
    if kind == "right":
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
        return
    with pytest.raises(urllib.error.HTTPError, match=r"Unauthorized|Forbidden") as caught:
        urllib.request.urlopen(request, timeout=30)
    caught.value.close()


def test_job_of_a_stranger_is_not_run(head, tmp_path):
    body = json.dumps({"entrypoint": f"touch {tmp_path / 'ran'}"}).encode()
    request = urllib.request.Request(head.dashboard_url + "/api/jobs/", body, method="POST")
    request.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError, match="Unauthorized") as caught:
        urllib.request.urlopen(request, timeout=30)
    caught.value.close()
    assert not (tmp_path / "ran").exists()


def test_commands_say_which_token_is_wanted(head, tmp_path):
    ask = ("status", "--address", head.dashboard_url)
    right = head.token_file.read_text()
    for kind, text in (
        ("none", "a cluster that asks for a token, and no token here"),
        ("wrong", "a cluster that does not know the token that is used here"),
        ("right", "no jobs of segtune on this cluster"),
    ):
        (tmp_path / kind).mkdir()
        environment = guest(tmp_path / kind, kind, right)
        said = segtune(*ask, environment=environment, code=0 if kind == "right" else 2)
        assert text in said
        assert right not in said
    (tmp_path / "right" / "token").chmod(0o644)
    said = segtune(*ask, environment=environment, code=2)
    assert "which others can read (mode 0644)" in said
    assert "hint: chmod 600" in said


def test_ray_of_a_local_search_asks_for_the_token(local, tmp_path):
    (token,) = token_files(local)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    (control,) = [one for one in local.children() if one.name() == "gcs_server"]
    (port,) = {at.laddr.port for at in control.net_connections() if at.status == "LISTEN"}
    begun = {}
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        environment = guest(tmp_path / kind, kind, token.read_text())
        begun[kind] = Knock(f"127.0.0.1:{port}", environment)
    for kind, one in begun.items():
        one.assert_answered(kind)


def test_no_secret_is_written_or_shown_by_a_local_search(local):
    (token,) = token_files(local)
    secrets = [*SECRETS.values(), token.read_text(), "someone-elses"]
    processes = [psutil.Process(local.process.pid), *local.children()]
    assert len(processes) > 4
    shown = "\n".join("\n".join(one.cmdline()) for one in processes)
    run = Path(psutil.Process(local.process.pid).cwd()) / "runs"
    assert list(run.rglob("config.yaml")) or list(run.rglob("*.wandb"))
    assert_nowhere(secrets, [run, token.parent / "ray"], shown + "".join(local.lines))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("door", ["control", "client"])
def test_control_process_and_client_server_ask_for_the_token(knocks, door, kind):
    knocks[f"{door} {kind}"].assert_answered(kind)


def token_files(driver: Driver) -> list[Path]:
    """Of the Ray that a driver has started: where its processes were told to look for it."""
    environment = psutil.Process(driver.process.pid).children()[-1].environ()
    return [Path(environment["RAY_AUTH_TOKEN_PATH"])]
