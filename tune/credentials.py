"""The token of a cluster: where it is looked for, and that nobody else can read it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from seglib.errors import Problem, RunError

__all__ = ["find_token", "place_of_token", "settle_token"]

_MODE = "RAY_AUTH_MODE"
_TOKEN = "RAY_AUTH_TOKEN"
_FILE = "RAY_AUTH_TOKEN_PATH"
_USUAL = "~/.ray/auth_token"


def find_token() -> str | None:
    """The token that this user has for clusters; looked for where Ray looks, in its order.

    Returns:
        The token; None if there is none, or ``RAY_AUTH_MODE`` asks for none.

    Raises:
        RunError: The file is not there, is empty, or others can read it.
    """
    place = place_of_token()
    if os.environ.get(_MODE, "token").lower() != "token" or not place:
        return None
    if token := os.environ.get(_TOKEN, "").strip():
        return token
    return _read(Path(place).expanduser())


def place_of_token() -> str:
    """Where the token is read from, for messages; looked for where Ray looks, in its order.

    Returns:
        A variable, or a file, which may be missing if it is named; empty when there is none.
    """
    if os.environ.get(_TOKEN, "").strip():
        return f"the variable {_TOKEN}"
    if named := os.environ.get(_FILE):
        return named
    return _USUAL if Path(_USUAL).expanduser().exists() else ""


def settle_token() -> str | None:
    """The same, and have Ray use it in this process.

    Returns:
        The token, or None.

    Raises:
        RunError: The file is not there, is empty, or others can read it.
    """
    token = find_token()
    if token is not None:
        os.environ[_MODE] = "token"
    return token


def _read(path: Path) -> str:
    """As ssh does: a key that others can read is none."""
    try:
        mode, token = stat.S_IMODE(path.stat().st_mode), path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise _refusal(f"{path} ({reason})", "a file with the cluster's token") from None
    if mode & 0o077:
        found = f"{path}, which others can read (mode {mode:04o})"
        raise _refusal(found, "a file that only you can read", f"chmod 600 {path}")
    if not token:
        raise _refusal(f"{path}, which is empty", "a file with the cluster's token")
    return token


def _refusal(found: str, wanted: str, hint: str = "") -> RunError:
    return RunError("token", [Problem("token file", found, wanted, hint)])
