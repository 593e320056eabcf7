"""URLs of places, such as databases and buckets: what of them may be shown, and what may be said.

A command line can be read by every user of the machine, and W&B writes it down: a URL
with a password in it is taken from the environment only.
"""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import unquote

from seglib.errors import Problem, RunError

__all__ = [
    "POSTGRES",
    "choose_ledger",
    "digest_of",
    "hide_password",
    "is_postgres",
    "is_url",
    "name_of",
    "refuse_password",
    "scrub",
]

LEDGER = "SEGTUNE_STORAGE"
POSTGRES = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
"""Before a URL of PostgreSQL that psycopg 3 is to reach."""

_OWNER = re.compile(r"//([^/@:?#]*):([^@]*(?:@[^/@]*(?=@))*)@")
_QUERY = re.compile(
    r"(?i)([?&](?:[^=&#]*(?:password|passwd|token|secret|access_key)[^=&#]*|key)=)([^&#]*)"
)


def is_url(text: str) -> bool:
    """Is it a URL, and no path?

    Args:
        text: What was given.

    Returns:
        Whether it has a scheme.
    """
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text) is not None


def is_postgres(url: str) -> bool:
    """Is it a URL of PostgreSQL, to be reached with psycopg 3?

    Args:
        url: Of a database.

    Returns:
        Whether it is.
    """
    return POSTGRES.match(url) is not None


def digest_of(url: str) -> str:
    """A name for a folder that belongs to a URL.

    Args:
        url: Of a place; its password makes no difference.

    Returns:
        Twelve letters.
    """
    return hashlib.sha256(name_of(url.rstrip("/")).encode()).hexdigest()[:12]


def hide_password(url: str) -> str:
    """A URL that may be shown and written down.

    Args:
        url: Perhaps with a password before the ``@``, or with a key behind the ``?``.

    Returns:
        The same with ``***`` in place of them.
    """
    return _QUERY.sub(r"\1***", _OWNER.sub(r"//\1:***@", url))


def name_of(url: str) -> str:
    """The same place has the same name, with a password or without.

    Args:
        url: Of a place.

    Returns:
        The URL without any password.
    """
    return hide_password(url).replace(":***@", "@")


def scrub(text: str, url: str) -> str:
    """Take a URL's secrets out of what somebody said of it.

    Args:
        text: A message of a driver, perhaps.
        url: What it was given.

    Returns:
        The text with ``***`` in place of them.
    """
    text = text.replace(url, hide_password(url))
    found = [match[2] for one in (_OWNER, _QUERY) for match in one.finditer(url)]
    secrets = {form for one in found for form in (one, unquote(one)) if form}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def choose_ledger(given: str | None) -> str | None:
    """The ledger's database: what was said, else what ``SEGTUNE_STORAGE`` says.

    Args:
        given: The value of ``--storage``.

    Returns:
        The URL; None for the journal file.

    Raises:
        RunError: A password was said on the command line.
    """
    if given is None:
        return os.environ.get(LEDGER) or None
    refuse_password("--storage", given, f"~/.pgpass (mode 0600), PGPASSWORD, or {LEDGER}=URL")
    return given


def refuse_password(option: str, url: str, instead: str) -> None:
    """A secret in an option is one no longer.

    Args:
        option: Its name.
        url: Its value.
        instead: Where the secret may lie.

    Raises:
        RunError: There is one in it.
    """
    if hide_password(url) == url:
        return
    found = f"{hide_password(url)}, a password that every user of this machine can read"
    hint = f"it belongs in {instead}; change it if others use this machine"
    raise RunError("command line", [Problem(option, found, "a URL without it", hint)])
