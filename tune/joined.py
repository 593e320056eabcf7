"""A cluster that others started: is it there, does it let us in, does it still answer?"""

from __future__ import annotations

import importlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from seglib.errors import Problem, RunError
from tune.credentials import place_of_token, settle_token
from tune.own_ray import take_up_environment

__all__ = [
    "Pulse",
    "answers",
    "await_cluster",
    "check_address",
    "environment_of_job",
    "find_head",
    "knock",
    "wrong_address",
]

SECONDS_TO_COME_BACK: Final = 60.0
"""So long a search waits for a cluster whose head has died."""

SILENCE_S: Final = 10.0
"""A head that has not answered for so long is dead. Ray waits for six times as long."""

_SECONDS_TO_CONNECT = 5.0
_MILLISECONDS_TO_ANSWER = 2000
_SECONDS_BETWEEN = 1.0
_LONGEST_LOOK_S = 4.0
_SECONDS_TO_LEAVE = 45.0  # Ray ends the process after 60, with pages of C++


def find_head(address: str) -> str:
    """Where the head is, for ``auto``: as ``RAY_ADDRESS`` says within a job, else on this machine.

    Args:
        address: ``host:port``, or ``auto``.

    Returns:
        ``host:port``.

    Raises:
        RunError: Nothing says where, and no Ray runs here.
    """
    if address != "auto":
        return address
    if named := os.environ.get("RAY_ADDRESS", "").strip():
        return named
    services: Any = importlib.import_module("ray._private.services")
    try:
        return str(services.get_ray_address_from_environment("auto", None))
    except ConnectionError:
        hint = "set RAY_ADDRESS to host:port of its head, or give --address host:port"
        raise wrong_address("auto, and no Ray on this machine", "a cluster", hint) from None


def environment_of_job() -> dict[str, Any]:
    """What Ray prepares for this process and its workers, within a Ray job; else nothing."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    return dict(job.get("runtime_env") or {})


def check_address(address: str) -> None:
    """See that somebody listens at a cluster's address: Ray itself would try for minutes.

    Args:
        address: ``local``, ``auto`` or ``host:port``.

    Raises:
        RunError: It is not an address, or nobody answers there.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "").strip() or address
    if address in ("local", "auto"):
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in address or not port.isdecimal():
        hint = "port 6379 is Ray's own; ray:// is not supported, submit the search as a job instead"
        raise wrong_address(address, "local, auto or host:port", hint)
    try:
        _touch(address, _SECONDS_TO_CONNECT)
    except (OSError, OverflowError) as error:
        raise wrong_address(f"{address} ({error})", "the address of a running cluster") from None


def wrong_address(found: str, wanted: str, hint: str = "") -> RunError:
    """What is wrong with ``--address``, as an error."""
    return RunError("command line", [Problem("--address", found, wanted, hint)])


def knock(address: str) -> None:
    """Ask the head one question: Ray itself would repeat a refusal for twenty seconds.

    A token that lies where Ray looks for it is used, whether or not ``RAY_AUTH_MODE`` says so.

    Args:
        address: ``host:port`` where somebody listens.

    Raises:
        RunError: It wants a token that we have not, others can read ours, or it does not
            speak as Ray's head does.
    """
    settle_token()
    token = place_of_token()
    take_up_environment()
    raylet: Any = importlib.import_module("ray._raylet")  # compiled, without types
    exceptions: Any = importlib.import_module("ray.exceptions")
    try:
        with _silent_stderr():
            raylet.InnerGcsClient.standalone(address, None, _MILLISECONDS_TO_ANSWER)
    except exceptions.AuthenticationError:
        raise _refused(address, token) from None
    except exceptions.RayError as error:
        found = f"{address} ({str(error).splitlines()[0]})"
        hint = "8265 is the dashboard's port mostly: that one is for segtune submit"
        raise wrong_address(found, "the port of a cluster's head, 6379 mostly", hint) from None


def _refused(address: str, token: str) -> RunError:
    found = f"{address}, which wants a token and was given "
    found += f"another one, from {token}" if token else "none"
    hint = (
        "copy ~/.ray/auth_token of the cluster's head to ~/.ray/auth_token here, mode 0600, "
        "or let RAY_AUTH_TOKEN_PATH name the file"
    )
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        hint += f"; RAY_AUTH_MODE is {os.environ['RAY_AUTH_MODE']!r} here, and must be 'token'"
    return wrong_address(found, "the token of this cluster", hint)


def await_cluster(address: str, seconds: float = SECONDS_TO_COME_BACK) -> bool:
    """Wait for the head of a cluster that was there before.

    Args:
        address: As given on the command line.
        seconds: How long.

    Returns:
        Is it there again?
    """
    until = time.monotonic() + seconds
    while True:
        try:
            check_address(address)
            return True
        except RunError:
            if time.monotonic() >= until:
                return False
        time.sleep(_SECONDS_BETWEEN)


class Pulse:
    """Asks a cluster's head, in a thread, whether it takes connections.

    A call of Ray's that waits for a dead head cannot be ended, and Ray then ends the whole
    process: before that, the thread ends it with one sentence. What is on disk is whole.

    Args:
        address: ``host:port`` of the head.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._silent_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feel, daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *why: object) -> None:
        self._over.set()
        self._thread.join(_LONGEST_LOOK_S)

    @property
    def is_fresh(self) -> bool:
        """Did the head answer the last time?"""
        return self._silent_s == 0

    @property
    def is_dead(self) -> bool:
        """Has the head been silent for too long?"""
        return self._silent_s >= SILENCE_S

    def feel_now(self) -> bool:
        """Does the head answer this very moment?"""
        return answers(self.address)

    def _feel(self) -> None:
        """Only silence that was heard is counted: not the sleep of the whole machine."""
        while not self._over.is_set():
            began = time.monotonic()
            answers = self.feel_now()
            self._over.wait(_SECONDS_BETWEEN)
            passed = min(time.monotonic() - began, _LONGEST_LOOK_S)
            self._silent_s = 0.0 if answers else self._silent_s + passed
            if self._silent_s >= _SECONDS_TO_LEAVE:
                self._leave()

    def _leave(self) -> None:
        text = f"error: the head of the cluster at {self.address} died, and Ray waits for it "
        text += "without an end; the same command goes on, also on another cluster\n"
        with suppress(OSError):
            os.write(2, text.encode())
        os._exit(1)


def answers(address: str) -> bool:
    """Does somebody take connections there, within a second?"""
    try:
        _touch(address, _SECONDS_BETWEEN)
    except OSError:
        return False
    return True


def _touch(address: str, seconds: float) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), seconds).close()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Ray's C++ says beside its error what the error says."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
