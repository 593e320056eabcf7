"""Machines with a switch between them, or disks of their own: namespaces of networks and mounts."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["Network", "require_mounts"]


class Network:
    """Namespaces that see nothing but each other, until a cable is pulled out.

    The names are this object's own, and the addresses exist in the namespaces only.

    Args:
        machines: How many.
    """

    def __init__(self, machines: int) -> None:
        _require_means()
        self._name = f"sn{secrets.token_hex(3)}"
        self._made: list[str] = []
        try:
            self._build(machines)
        except BaseException:
            self.close()
            raise

    def address(self, machine: int) -> str:
        """The IP address of a machine, from 0."""
        return f"10.77.0.{machine + 1}"

    def on(self, machine: int) -> list[str]:
        """Words before a command that is to run on a machine."""
        return ["ip", "netns", "exec", f"{self._name}m{machine}"]

    def cut(self, machine: int) -> None:
        """Nothing reaches the machine any more, and nobody is told."""
        _ip("-n", f"{self._name}s", "link", "set", f"p{machine}", "nomaster")

    def mend(self, machine: int) -> None:
        """The cable is in again."""
        _ip("-n", f"{self._name}s", "link", "set", f"p{machine}", "master", "bridge")

    def close(self) -> None:
        """Take all of it away; the cables go with the namespaces."""
        for name in self._made:
            _ip("netns", "del", name)

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    def _build(self, machines: int) -> None:
        switch = f"{self._name}s"
        self._add(switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for machine in range(machines):
            name, port = f"{self._name}m{machine}", f"p{machine}"
            self._add(name)
            _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", name)
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", name, "addr", "add", f"{self.address(machine)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")

    def _add(self, name: str) -> None:
        _ip("netns", "add", name)
        self._made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")


def require_mounts(apart: list[str], folder: Path) -> None:
    """Skip the test where no process may have mounts of its own.

    Args:
        apart: Words before a command that give it a mount namespace.
        folder: On which it is tried.
    """
    command = [*apart, "mount", "-t", "tmpfs", "none", str(folder)]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    if probe.returncode:
        _miss(f"no user namespaces with mounts here: {probe.stderr.strip()}")


def _miss(reason: str) -> None:
    """Skip; where all tools are promised, fail."""
    if os.environ.get("SEGTUNE_ALL_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _ip(*words: str) -> None:
    answer = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"ip {' '.join(words)}: {answer.stderr.strip()}"


def _require_means() -> None:
    """Skip the test where networks cannot be made."""
    if shutil.which("ip") is None:
        reason = "there is no program 'ip' (of iproute2)"
    elif os.geteuid() != 0:
        reason = "only root may make network namespaces"
    else:
        name = f"sn{secrets.token_hex(3)}"
        made = subprocess.run(
            ["ip", "netns", "add", name], capture_output=True, text=True, check=False
        )
        if made.returncode == 0:
            _ip("netns", "del", name)
            return
        reason = f"network namespaces cannot be made here: {made.stderr.strip()}"
    _miss(reason)
