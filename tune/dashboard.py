"""The web address of a cluster, where jobs are taken: reached, let in, of our version of Ray."""

from __future__ import annotations

import http.client
import importlib.metadata
import importlib.util
import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from seglib.errors import Problem, RunError, SegtuneError
from tune.credentials import settle_token

__all__ = ["DashboardError", "check_url", "connect", "has_failed", "talking"]

_SECONDS_TO_ANSWER = 10.0
_PORTS = "its port is 8265 mostly; 6379 is the head's, for segtune run"
_WANTED = "the dashboard of a running cluster, such as http://head:8265"
_NO_TOKEN = "put the cluster's token into ~/.ray/auth_token (mode 0600), or name its file in RAY_AUTH_TOKEN_PATH"  # noqa: E501
_CHATTY = (
    "ray.dashboard.modules.job.sdk",
    "ray.dashboard.modules.dashboard_sdk",
    "ray._private.runtime_env.packaging",
)


class DashboardError(SegtuneError):
    """A cluster that had answered does so no longer, or refuses what it should do."""


def check_url(address: str) -> list[Problem]:
    """What is wrong with the address, before anybody is asked.

    Args:
        address: As given on the command line.

    Returns:
        At most one fault.
    """
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if "@" in parts.netloc:  # it would be shown in the process list
        hint = "a token is read from RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
        return [Problem("--address", "a name or password in the URL", "none", hint)]
    if parts.scheme in ("http", "https") and parts.hostname and port != -1:
        if parts.path.strip("/") or parts.query or parts.fragment:
            return [Problem("--address", address, "no path after host and port")]
        return []
    hint = "submit, logs and stop speak to the dashboard; port 6379 is for segtune run --address"
    return [Problem("--address", address, "http://host:port of the cluster's dashboard", hint)]


def connect(address: str) -> Any:
    """See that a dashboard answers at an address, and that it is ours to use.

    Args:
        address: Such as ``http://head:8265``.

    Returns:
        Ray's own client for jobs.

    Raises:
        RunError: It is no address, nobody answers, the token is wrong, Ray is of another
            version there, or this machine lacks what the client needs.
    """
    if problems := check_url(address):
        raise RunError("command line", problems)
    missing = [name for name in ("ray", "aiohttp", "requests") if not _is_installed(name)]
    if missing:
        hint = "pip install -e '.[cluster]' in segtune's checkout"
        problem = Problem(
            "ray[default]", f"no {', '.join(missing)}", "segtune's extra cluster", hint
        )
        raise RunError("this Python", [problem])
    theirs, ours = _ask_version(address, settle_token()), importlib.metadata.version("ray")
    if theirs != ours:
        hint = f"install ray=={theirs} here, or ray=={ours} on the cluster"
        raise RunError(
            address, [Problem("Ray", f"{theirs} on the cluster", f"{ours}, as here", hint)]
        )
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):  # Ray would take them instead
        os.environ.pop(name, None)
    from ray.job_submission import JobSubmissionClient

    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    with talking(address):
        return JobSubmissionClient(address.rstrip("/"))


@contextmanager
def talking(address: str) -> Iterator[None]:
    """Say in one message that the cluster went away in the middle.

    Args:
        address: Of the dashboard, for the message.

    Yields:
        Nothing.

    Raises:
        DashboardError: It did.
    """
    try:
        yield
    except Exception as error:
        if not has_failed(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DashboardError(f"{address}: {reason}") from None


def has_failed(error: Exception) -> bool:
    """Is it one that Ray's client for jobs raises when the cluster goes, or refuses?

    Args:
        error: Of a call of the client.

    Returns:
        Whether it is; those of `requests` are OSErrors, too.
    """
    from_its_library = any(kind.__module__.startswith("aiohttp.") for kind in type(error).__mro__)
    return from_its_library or isinstance(error, (RuntimeError, OSError))


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _ask_version(address: str, token: str | None) -> str:
    """Ray's client would wait without an end for one who listens and never answers."""
    request = urllib.request.Request(f"{address.rstrip('/')}/api/version")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER) as answer:
            return str(json.loads(answer.read(10_000))["ray_version"])
    except urllib.error.HTTPError as error:
        error.close()
        found, hint = _explain(error.code, has_token=token is not None)
    except (http.client.HTTPException, ValueError, KeyError, TypeError, ConnectionResetError):
        found, hint = "something else, which does not answer as a dashboard", _PORTS
    except OSError as error:
        reason = getattr(error, "reason", error)
        found, hint = (
            f"nobody who answers ({reason})",
            "is `ray dashboard` or an ssh tunnel running?",
        )
    raise RunError(address, [Problem("--address", found, _WANTED, hint)])


def _explain(code: int, *, has_token: bool) -> tuple[str, str]:
    if code == 401 and not has_token:
        return "a cluster that asks for a token, and no token here", _NO_TOKEN
    if code in (401, 403):
        return "a cluster that does not know the token that is used here", _NO_TOKEN
    return f"something else, which answers with HTTP {code}", _PORTS
