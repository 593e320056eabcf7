"""A Ray cluster of several nodes on one machine: each has its own processes, address, folders."""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.cluster.node import SECONDS_TO_START, Node

__all__ = ["WATCHFUL", "Cluster", "Node", "free_ports"]

_STORE_BYTES = 80 * 2**20

WATCHFUL = {
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "4",
}
"""As in cluster.yaml and docs/cluster: by Ray's own, a silent node is missed after a minute."""


class Cluster:
    """A head and workers, each in processes of its own; nothing of it is left after `close`.

    Nodes see each other's loopback addresses and the machine's disk, but have no folder in
    common that a test does not give them.

    Args:
        workers: Nodes beside the head, all started at once.
        cpus: Of each worker.
        head_cpus: Of the head; 0 keeps trials off it.
        dashboard: With the server for Jobs, at ``dashboard_url``.
        environment: Of every node, laid over the test's own.
        head_address: IP address of the head; not 127.0.0.1, which Ray would replace.
        before: Words before the head's command, as ``ip netns exec NAME``.
    """

    def __init__(
        self,
        workers: int = 0,
        *,
        cpus: int = 1,
        head_cpus: int = 1,
        dashboard: bool = False,
        environment: Mapping[str, str] | None = None,
        head_address: str = "127.0.0.2",
        before: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sc", dir="/tmp"))  # short: Ray's sockets
        self.token_file = self.folder / "token"
        self.token_file.touch(0o600)
        self.token_file.write_text(secrets.token_hex(32))
        self._given = WATCHFUL | dict(environment or {})
        self.nodes: list[Node] = []
        self._count = 0
        local = not before
        ports = free_ports(3, head_address if local else "127.0.0.1")
        self.address = f"{head_address}:{ports[0]}"
        self.dashboard_url = f"http://127.0.0.1:{ports[2]}" if dashboard else ""
        try:
            self.head = self._start(
                ["--head", f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}",
                 f"--include-dashboard={str(dashboard).lower()}", "--no-monitor",
                 "--dashboard-host=127.0.0.1", f"--dashboard-port={ports[2]}"],
                head_address, cpus=head_cpus, before=before,
            )  # fmt: skip
            if local:
                self._wait_for_port(head_address, ports[0])
            else:
                self.head.wait_until_up()
            started = [self._join(cpus=cpus) for _ in range(workers)]
            for node in (self.head, *started):
                node.wait_until_up()
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """What a driver needs beside the address, and folders that no node shares."""
        for part in ("home", "tmp"):
            (self.folder / "driver" / part).mkdir(parents=True, exist_ok=True)
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            "RAY_USAGE_STATS_ENABLED": "0",
            "HOME": str(self.folder / "driver" / "home"),
            "TMPDIR": str(self.folder / "driver" / "tmp"),
        }

    def add_node(
        self,
        *,
        cpus: int = 1,
        gpus: int | None = None,
        address: str = "",
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> Node:
        """Start one more worker, and wait until it has joined.

        Args:
            cpus: Trials' share of it.
            gpus: As many as it says that it has.
            address: IP address; one of the loopback's if not given.
            environment: Laid over that of the cluster.
            before: Words before the command.
        """
        node = self._join(
            cpus=cpus, gpus=gpus, address=address, environment=environment, before=before
        )
        node.wait_until_up()
        return node

    def remove(self, node: Node) -> None:
        """End a node that was added, and forget it."""
        node.kill()
        self.nodes.remove(node)

    def where(self, number: int) -> Node:
        """The node that has a trial; it must be one alone."""
        (node,) = [one for one in self.nodes if number in one.trained()]
        return node

    def close(self) -> None:
        """End every process of every node, by its id; none may be left, no folder either."""
        for node in reversed(self.nodes):
            node.kill()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    def _join(self, *, address: str = "", cpus: int = 1, **options: Any) -> Node:
        address = address or f"127.0.0.{self._count + 2}"
        return self._start([f"--address={self.address}"], address, cpus=cpus, **options)

    def _start(
        self,
        words: Sequence[str],
        address: str,
        *,
        cpus: int,
        gpus: int | None = None,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> Node:
        folder = self.folder / f"n{self._count}"
        self._count += 1
        folder.mkdir()
        (agent,) = free_ports(1, "127.0.0.1" if before else address)
        options = [
            f"--node-ip-address={address}", f"--num-cpus={cpus}", f"--temp-dir={folder / 'r'}",
            f"--object-store-memory={_STORE_BYTES}", "--include-log-monitor=false",
            "--disable-usage-stats", f"--dashboard-agent-listen-port={agent}",
            *([] if gpus is None else [f"--num-gpus={gpus}"]),
        ]  # fmt: skip
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_file)}
        node = Node(
            [*words, *options],
            address,
            folder,
            {**self._given, **(environment or {}), **token},
            before=before,
        )
        self.nodes.append(node)
        return node

    def _wait_for_port(self, address: str, port: int) -> None:
        until = time.monotonic() + SECONDS_TO_START
        while True:
            with suppress(OSError):
                socket.create_connection((address, port), 1.0).close()
                return
            assert time.monotonic() < until, self.head.said.read_text()
            assert self.head.is_up, self.head.said.read_text()
            time.sleep(0.05)


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens at, each another one."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind((address, 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports
