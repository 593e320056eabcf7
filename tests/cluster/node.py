"""One node of a cluster that a test starts: its processes, its folders, what it has trained."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["SECONDS_TO_START", "Node"]

SECONDS_TO_START, _SECONDS_TO_DIE = 90.0, 20.0
_MARK = "SEGTUNE_TEST_NODE"
_WITNESS = Path(__file__).parent / "witness"
_PR_SET_PDEATHSIG = 1
_RAY = Path(sys.executable).with_name("ray")

_SPARSE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
}
"""What a node that is started and ended within a test does without."""


def _end_with_this_process() -> None:
    """A test that is itself killed leaves no node behind: Ray's processes end with their first."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Node:
    """`ray start --block` in a session of its own, and all that descends from it.

    Args:
        words: Options of ``ray start``.
        address: IP address of the node.
        folder: Only this node's; its home, temporary files and caches are in it.
        environment: Laid over the test's own.
        before: Words before the command, as ``ip netns exec NAME``.
    """

    def __init__(
        self,
        words: Sequence[str],
        address: str,
        folder: Path,
        environment: Mapping[str, str],
        *,
        before: Sequence[str] = (),
    ) -> None:
        self.address, self.folder = address, folder
        self.cache = folder / "cache"
        self.said = folder / "said.txt"
        self._witnessed = folder / "witnessed.txt"
        self.name = f"{_MARK}={secrets.token_hex(8)}"
        self._pids: set[int] = set()
        for part in ("home", "tmp", "cache", "r"):
            (folder / part).mkdir()
        path = [str(_WITNESS), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "SEGTUNE_NODE_CACHE": str(self.cache),
            "WITNESSED": str(self._witnessed),
            "PYTHONPATH": os.pathsep.join(path),
            _MARK: self.name.partition("=")[2],
        }
        command = [*before, str(_RAY), "start", "--block", *words]
        with self.said.open("w") as said:
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                env={**os.environ, **_SPARSE, **environment, **own}, start_new_session=True,
                preexec_fn=_end_with_this_process,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of `ray start`; also the id of the session."""
        return self._process.pid

    def wait_until_up(self) -> None:
        """Until Ray has said that it runs."""
        until = time.monotonic() + SECONDS_TO_START
        while "Ray runtime started" not in (said := self.said.read_text()):
            assert self._process.poll() is None, f"{self.address} ended:\n{said}"
            assert time.monotonic() < until, f"{self.address} did not start:\n{said}"
            time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """All that live of this node: by descent, by session, by a mark in their environment.

        Ray's workers write over what shows their environment, and what has lost its parent
        is nobody's descendant: each way alone would miss some.
        """
        found = set(self._pids)
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                family = {process.pid, *(parent.pid for parent in process.parents())}
                if (
                    self.pid in family
                    or os.getsid(process.pid) == self.pid
                    or self._is_marked(process.pid)
                ):
                    found.add(process.pid)
        self._pids = {pid for pid in found if self._lives(pid)}
        return [psutil.Process(pid) for pid in self._pids]

    def workers(self) -> list[psutil.Process]:
        """The processes in which Ray runs what it was asked to."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                words = process.cmdline()
                named = words[0].startswith("ray::") and not words[0].rstrip().endswith("Agent")
                if named or any(word.endswith("/default_worker.py") for word in words[1:2]):
                    found.append(process)
        return found

    def trained(self) -> list[int]:
        """Numbers of the trials of which this node has written an epoch, each time anew."""
        said = self._witnessed.read_text() if self._witnessed.exists() else ""
        return [int(word) for word in said.split()]

    def forget(self) -> None:
        """As if it had trained nothing so far."""
        self._witnessed.unlink(missing_ok=True)

    def logs(self) -> str:
        """All that Ray's processes of this node have written."""
        return "\n".join(
            f"== {path}\n{path.read_text(errors='replace')}"
            for path in sorted((self.folder / "r").glob("session_2*/logs/*"))
            if path.is_file()
        )

    def send(self, number: signal.Signals) -> None:
        """A signal to every process of the node."""
        for process in self._descendants():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to all at once, as if the machine had lost its power."""
        until = time.monotonic() + _SECONDS_TO_DIE
        processes = self._descendants()  # quickly found; who has no parent any more comes next
        while processes:
            assert time.monotonic() < until, f"{self.address}: still there: {processes}"
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            processes = self.processes()
        self._process.wait(_SECONDS_TO_DIE)  # nobody else takes note of its end

    def await_end(self, seconds: float) -> None:
        """Its processes end by themselves, all of them, within a time."""
        until = time.monotonic() + seconds
        while processes := self.processes():
            assert time.monotonic() < until, f"{self.address}: still there: {processes}"
            time.sleep(0.2)

    @property
    def is_up(self) -> bool:
        """Has any process of the node outlived what was done to it?"""
        return bool(self.processes())

    def _descendants(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return self.processes()

    def _is_marked(self, pid: int) -> bool:
        return self.name.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")

    def _lives(self, pid: int) -> bool:
        if pid == self.pid and self._process.poll() is not None:
            return False
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
