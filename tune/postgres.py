"""Connections to PostgreSQL, each of which holds the lock of the study that it writes to.

The server frees the lock when the connection ends, however the driver ended; and a driver
that was cut off, while another took the study over, gets no connection any more with which
it could write. A pooler in between must not hand connections round (PgBouncer: session mode).

Of a line that broke the server may hear only after a minute, and until then the old connection
has the lock. So each driver's connections have a name of their own, and it ends the old one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from seglib.errors import Problem, RunError, SegtuneError, UnwritableError
from tune.urls import POSTGRES, hide_password

__all__ = ["Line"]

SECONDS_TO_CONNECT = 10
_MILLISECONDS_FOR_THE_LOCK = 5000
_SECONDS_FOR_THE_OLD_LINE = 75.0
"""By then the server has heard of a broken line by itself, see :meth:`Line._hold`."""
_MILLISECONDS_FOR_THE_TABLES = 60_000
_NOTICE_A_BROKEN_LINE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_HOLDERS = (
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' "
    "AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND ((l.classid::bigint << 32) | l.objid::bigint) = %s"
)


class Line:
    """Opens connections to PostgreSQL; for a driver each of them holds the study's lock.

    Args:
        url: Of the server.
        study: Whose lock; None takes none.
    """

    def __init__(self, url: str, study: str | None = None) -> None:
        self._url, self._study = url, study
        self._had_it = False
        mark = secrets.token_hex(4)  # before the host, as the server cuts long names
        self._name = f"segtune {os.getpid()} {mark} on {socket.gethostname()}"[:63]

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

        defaults: dict[str, Any] = {"connect_timeout": SECONDS_TO_CONNECT, **_NOTICE_A_BROKEN_LINE}
        given = conninfo_to_dict(POSTGRES.sub("postgresql://", self._url))
        return psycopg.connect(**{**defaults, **given, "application_name": self._name})

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
        connection.autocommit = True
        for setting in ("idle = 30", "interval = 10", "count = 3"):
            connection.execute(f"SET tcp_keepalives_{setting}")
        connection.execute(f"SET lock_timeout = {_MILLISECONDS_FOR_THE_LOCK}")
        key = _key(f"segtune/{study}")
        until = time.monotonic() + _SECONDS_FOR_THE_OLD_LINE
        while not self._try_to_lock(connection, key):
            holder, idle_s = _find_holder(connection, key)
            if not (self._had_it and holder in ("", self._name)) or time.monotonic() >= until:
                raise self._refusal(study, holder, idle_s)
        connection.execute("SET lock_timeout = 0")
        connection.autocommit = False
        self._had_it = True

    def _try_to_lock(self, connection: Any, key: int) -> bool:
        from psycopg.errors import InsufficientPrivilege, LockNotAvailable

        if self._had_it:  # there is one line at a time: another one of this name is a dead one
            with suppress(InsufficientPrivilege):  # then it is waited for
                connection.execute(
                    f"SELECT pg_terminate_backend(pid) {_HOLDERS} AND a.application_name = %s",
                    (key, self._name),
                )
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (key,))
        except LockNotAvailable:
            return False
        return True

    def _refusal(self, study: str, holder: str, idle_s: float | None) -> SegtuneError:
        holder = holder or "another process"
        if self._had_it:
            reason = f"another search took the study {study!r} over ({holder}). This one ends"
            return UnwritableError(hide_password(self._url), reason)
        silent = "" if idle_s is None else f", silent for {idle_s:.0f} s"
        found = f"a search at work on the study {study!r} there ({holder}{silent})"
        hint = "wait for it, or give this study another name; of one whose machine died the "
        hint += "server hears within two minutes, then the same command goes on"
        problem = Problem("--storage", found, "a study that no other process works on", hint)
        return RunError("command line", [problem])


def _find_holder(connection: Any, key: int) -> tuple[str, float | None]:
    """Name of the connection that has a lock, and how long it has asked for nothing."""
    rows = connection.execute(
        "SELECT a.application_name, extract(epoch FROM clock_timestamp() - a.state_change)::float "
        f"{_HOLDERS}",
        (key,),
    ).fetchall()
    return rows[0] if rows else ("", None)


def _key(name: str) -> int:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
