"""Connections to PostgreSQL, each of which holds the lock of the study that it writes to.

The server frees the lock when the connection ends, however the driver ended; and a driver
that was cut off, while another took the study over, gets no connection any more with which
it could write. A pooler in between must not hand connections round (PgBouncer: session mode).
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from seglib.errors import Problem, RunError, SegtuneError, UnwritableError
from tune.urls import hide_password

__all__ = ["Line", "is_postgres"]

SECONDS_TO_CONNECT = 10
_MILLISECONDS_FOR_THE_LOCK = 5000
_MILLISECONDS_FOR_THE_TABLES = 60_000
_NOTICE_A_BROKEN_LINE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SCHEME = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")


def is_postgres(url: str) -> bool:
    """Is it a URL of PostgreSQL, to be reached with psycopg 3?

    Args:
        url: Of a database.

    Returns:
        Whether it is.
    """
    return _SCHEME.match(url) is not None


class Line:
    """Opens connections to PostgreSQL; for a driver each of them holds the study's lock.

    Args:
        url: Of the server.
        study: Whose lock; None takes none.
    """

    def __init__(self, url: str, study: str | None = None) -> None:
        self._url, self._study = url, study
        self._had_it = False

    def open(self) -> Any:
        """A connection for SQLAlchemy."""
        connection = self._connect()
        try:
            if self._study is not None:
                self._hold(connection, self._study)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> Any:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        name = f"segtune {os.getpid()} on {socket.gethostname()}"[:63]
        defaults: dict[str, Any] = {
            "connect_timeout": SECONDS_TO_CONNECT,
            "application_name": name,
            **_NOTICE_A_BROKEN_LINE,
        }
        given = conninfo_to_dict(_SCHEME.sub("postgresql://", self._url))
        return psycopg.connect(**{**defaults, **given})

    @contextmanager
    def making_tables(self) -> Iterator[None]:
        """Let others wait meanwhile: two that begin in a new database would make them at once.

        Yields:
            Nothing.
        """
        with self._connect() as connection:
            connection.autocommit = True
            connection.execute(f"SET lock_timeout = {_MILLISECONDS_FOR_THE_TABLES}")
            connection.execute("SELECT pg_advisory_lock(%s)", (_key("segtune: tables"),))
            yield

    def _hold(self, connection: Any, study: str) -> None:
        """Take the lock. Of a machine that died with it the server hears within a minute."""
        from psycopg.errors import LockNotAvailable

        connection.autocommit = True
        for setting in ("idle = 30", "interval = 10", "count = 3"):
            connection.execute(f"SET tcp_keepalives_{setting}")
        connection.execute(f"SET lock_timeout = {_MILLISECONDS_FOR_THE_LOCK}")
        key = _key(f"segtune/{study}")
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (key,))
        except LockNotAvailable:
            raise self._refusal(study, _name_holder(connection, key)) from None
        connection.execute("SET lock_timeout = 0")
        connection.autocommit = False
        self._had_it = True

    def _refusal(self, study: str, holder: str) -> SegtuneError:
        if self._had_it:
            reason = f"another search took the study {study!r} over ({holder}). This one ends"
            return UnwritableError(hide_password(self._url), reason)
        found = f"a search at work on the study {study!r} there ({holder})"
        hint = "wait for it, or give this study another name"
        problem = Problem("--storage", found, "a study that no other process works on", hint)
        return RunError("command line", [problem])


def _name_holder(connection: Any, key: int) -> str:
    rows = connection.execute(
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE "
        "l.locktype = 'advisory' AND l.granted "
        "AND ((l.classid::bigint << 32) | l.objid::bigint) = %s",
        (key,),
    ).fetchall()
    return rows[0][0] if rows and rows[0][0] else "another process"


def _key(name: str) -> int:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
