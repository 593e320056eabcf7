"""A real PostgreSQL for one test: on loopback, with a password, ended with the test."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

__all__ = ["CutLine", "Postgres", "running_postgres", "serving_postgres"]

USER = "segtune"
_SECONDS_TO_START = 60.0
_SECONDS_TO_STOP = 20.0


class Postgres:
    """A server with a data directory of its own; it may be stopped and started again.

    Args:
        home: A short path, that the server's user can enter.
        log: File of what the server says.
        fsync: Whether what it was told survives a power cut. Without it is quicker.
    """

    def __init__(self, home: Path, log: Path, *, fsync: bool) -> None:
        self.home, self.log, self.fsync = home, log, fsync
        self.password = secrets.token_hex(12)
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._as_user = _as_other_user(home)
        self._make()

    @property
    def url(self) -> str:
        """With the password in it: for the environment, never for a command line."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def bare_url(self) -> str:
        """Without the password: for a command line."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server, and return when it takes connections."""
        command = [
            *(*self._as_user, _program("postgres"), "-D", str(self.home / "data")),
            *("-p", str(self.port), "-k", str(self.home)),
            *("-c", "listen_addresses=127.0.0.1", "-c", f"fsync={'on' if self.fsync else 'off'}"),
            *("-c", "shared_buffers=16MB", "-c", "max_connections=40"),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home)
        until = time.monotonic() + _SECONDS_TO_START
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it; SIGINT closes all connections, SIGQUIT is as if it crashed."""
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """Say something in SQL; the rows of the answer, if it has any."""
        return self.run_in(self.url, statement)

    @staticmethod
    def run_in(url: str, statement: str) -> list[tuple[object, ...]]:
        """The same, in one of its databases."""
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> tuple[str, str]:
        """An empty one; its URL with the password, and without."""
        name = f"d{secrets.token_hex(4)}"
        self.run(f"CREATE DATABASE {name}")
        return tuple(url.removesuffix("postgres") + name for url in (self.url, self.bare_url))

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make(self) -> None:
        password = self.home / "password"
        password.write_text(self.password)
        if self._as_user:
            shutil.chown(password, _other_user())
        command = [
            *(*self._as_user, _program("initdb"), "-D", str(self.home / "data"), "-U", USER),
            *("--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--no-locale"),
            *("-E", "UTF8"),
        ]
        with self.log.open("ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, cwd=self.home, check=False)
        assert done.returncode == 0, self.log.read_text()
        password.unlink()


class CutLine:
    """Passes bytes on to a server; once told to, swallows the answer to the next COMMIT, or hangs.

    Args:
        port: Of the server.
        host: Its address, on loopback.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.skip: int | None = None
        self.num_cut, self._is_cutting = 0, False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._kept: set[socket.socket] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._pairs.append((client, server))
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        try:
            while data := source.recv(65536):
                if not asks and self._is_cutting:  # the answer: it is done there, unheard
                    self._is_cutting, self.num_cut = False, self.num_cut + 1
                    break
                if asks and self.skip is not None and b"COMMIT" in data:
                    self._is_cutting = self.skip == 0
                    self.skip = self.skip - 1 if self.skip else None
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for one in {source, sink} - self._kept:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def hang(self) -> None:
        """Break all lines for the clients; the server sees them open, and hears nothing more."""
        self._kept |= {server for _, server in self._pairs}
        for client, _ in self._pairs:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Let the server hear of the lines that hang, as it does by itself after a while."""
        for one in self._kept:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        """Take no more clients."""
        self.end()
        self._listener.close()


@contextmanager
def serving_postgres(folder: Path, *, fsync: bool = True) -> Iterator[Postgres]:
    """A server that runs; where PostgreSQL is not installed, the test is skipped.

    With ``SEGTUNE_ALL_TOOLS=1`` it fails instead.

    Args:
        folder: For the server's log.
        fsync: See :class:`Postgres`.

    Yields:
        The server.
    """
    _require_tools()
    # a test's own folder is closed to other users, and root may not run a server
    home = Path(tempfile.mkdtemp(prefix="segtune-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(home, _other_user())
        server = Postgres(home, folder / "postgres.log", fsync=fsync)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home)


@contextmanager
def running_postgres(folder: Path, *, fsync: bool = True) -> Iterator[str]:
    """The same, for who needs only the URL, with the password in it.

    Args:
        folder: For the server's log.
        fsync: See :class:`Postgres`.

    Yields:
        The URL of an empty database.
    """
    with serving_postgres(folder, fsync=fsync) as server:
        yield server.url


def _require_tools() -> None:
    lacking = [name for name in ("initdb", "postgres") if not _program(name)]
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        lacking.append("setpriv, without which root cannot run PostgreSQL")
    if not lacking:
        return
    reason = f"not installed: {', '.join(lacking)} (Debian: apt install postgresql)"
    if os.environ.get("SEGTUNE_ALL_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _program(name: str) -> str:
    """Path of one of PostgreSQL's programs; Debian does not put all of them on the path."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: one.parent.name)
    places = [os.environ.get("PATH", ""), *map(str, reversed(homes))]
    return shutil.which(name, path=os.pathsep.join(places)) or ""


def _as_other_user(home: Path) -> list[str]:
    """Words before a command, as PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(_other_user())
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, "env", f"HOME={home}"]


def _other_user() -> str:
    known = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
