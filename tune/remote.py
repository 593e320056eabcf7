"""A folder at a URL: files go there whole, and one that is away for a moment is waited for."""

from __future__ import annotations

import errno
import posixpath
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from seglib.errors import Problem, RunError, UnwritableError
from seglib.files import replacing
from tune.urls import hide_password, scrub

__all__ = ["PATIENCE_S", "Remote"]

PATIENCE_S = 60.0
"""So long a place may be away before a search ends; each try may take as long as its library
waits for an answer."""

_WHOLE = {"abfs", "abfss", "az", "gcs", "gs", "oss", "s3", "s3a"}
"""Where an object appears whole or not at all. Elsewhere a file gets another name first."""
_WITHOUT_KEYS = {"NoCredentialsError", "PartialCredentialsError"}
_KEYS = "~/.aws, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role; for a job on the head"
_OF_THIS_DISK = {errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.EROFS}
_EXTRA = "pip install -e '.[s3]' in segtune's checkout, or pip install s3fs"

Result = TypeVar("Result")


class Remote:
    """A folder at a URL, by the library fsspec. Names in it are relative, with ``/``.

    Keys and passwords come from where the filesystem's library looks for them, such as
    ``AWS_SECRET_ACCESS_KEY`` or ``AWS_ENDPOINT_URL``: each machine has its own.

    Args:
        url: Of the folder; it need not be there.
        patience_s: How long it may be away; None for :data:`PATIENCE_S`.

    Raises:
        RunError: No filesystem has such URLs, or its package is not installed.
    """

    def __init__(self, url: str, patience_s: float | None = None) -> None:
        self.url = url.rstrip("/")
        self._patience_s = patience_s
        self._fs, root = _open(self.url)
        self._root = root.rstrip("/")
        protocol = self._fs.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_whole = bool(names & _WHOLE)
        self._gone: UnwritableError | None = None

    @property
    def is_gone(self) -> bool:
        """Was it waited for in vain?"""
        return self._gone is not None

    def put(self, file: Path, name: str) -> None:
        """Put a file there, whole.

        Args:
            file: On this machine.
            name: There.
        """
        self._patiently(name, lambda: self._place(name, lambda to: self._fs.put_file(file, to)))

    def write(self, name: str, content: bytes, look: Callable[[], None] = lambda: None) -> None:
        """Write a small file there, whole.

        Args:
            name: There.
            content: All of it.
            look: Called before each try; what it raises ends them.
        """

        def act() -> None:
            look()
            self._place(name, lambda to: self._fs.pipe_file(to, content))

        self._patiently(name, act)

    def copy(self, name: str, other: str) -> None:
        """Copy a file there, without it passing through here.

        Args:
            name: The file.
            other: Its copy.
        """
        source = self._path(name)
        self._patiently(other, lambda: self._place(other, lambda to: self._fs.cp_file(source, to)))

    def get(self, name: str, file: Path) -> bool:
        """Fetch a file, whole.

        Args:
            name: There.
            file: Here; its folder is made if needed.

        Returns:
            Whether it is there.
        """

        def act() -> None:
            with replacing(file) as copy:
                try:
                    self._fs.get_file(self._path(name), str(copy))
                except OSError as error:
                    if isinstance(error, FileNotFoundError) or error.errno in _OF_THIS_DISK:
                        raise
                    raise ConnectionError(_first_line(error)) from None

        return self._if_there(name, act) is not _NOTHING

    def read(self, name: str) -> bytes | None:
        """Read a small file.

        Args:
            name: There.

        Returns:
            All of it; None if it is not there.
        """
        found = self._if_there(name, lambda: bytes(self._fs.cat_file(self._path(name))))
        return found if isinstance(found, bytes) else None

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if it is not there.

        Args:
            name: There.

        Returns:
            Its size now.
        """
        found = self._if_there(name, lambda: int(self._fs.info(self._path(name))["size"] or 0))
        return found if isinstance(found, int) else None

    def modified_at(self, name: str) -> float | None:
        """When a file was written last, if the place can say so.

        Args:
            name: There.

        Returns:
            Seconds since 1970.
        """

        def act() -> float | None:
            try:
                return float(self._fs.modified(self._path(name)).timestamp())
            except NotImplementedError:
                return None

        found = self._if_there(name, act)
        return found if isinstance(found, float) else None

    def sizes(self, folder: str = "") -> Mapping[str, int]:
        """Name, within the folder, and bytes of all files below it.

        Args:
            folder: There; it may be missing.

        Returns:
            Nothing of a folder that is not there.
        """
        place = self._path(folder)

        def act() -> dict[str, int]:
            found = self._fs.find(place, detail=True)
            return {path[len(place) + 1 :]: int(info["size"] or 0) for path, info in found.items()}

        found = self._if_there(folder, act)
        return found if isinstance(found, dict) else {}

    def remove(self, name: str) -> None:
        """Remove a file or a folder, if it is there.

        Args:
            name: There.
        """
        self._if_there(name, lambda: self._fs.rm(self._path(name), recursive=True))

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name) if name else self._root

    def _place(self, name: str, act: Callable[[str], object]) -> None:
        path = self._path(name)
        if self._is_whole:
            act(path)
            return
        self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
        other = f"{path}.{secrets.token_hex(4)}.tmp"
        try:
            act(other)
            self._fs.mv(other, path)
        except BaseException:
            if self._fs.exists(other):
                self._fs.rm_file(other)
            raise

    def _if_there(self, name: str, act: Callable[[], Result]) -> Result | object:
        def look() -> Result | object:
            try:
                return act()
            except FileNotFoundError:
                return _NOTHING

        return self._patiently(name, look)

    def _patiently(self, name: str, act: Callable[[], Result]) -> Result:
        patience_s = PATIENCE_S if self._patience_s is None else self._patience_s
        if self._gone is not None:  # once is enough: whoever asks would wait as long
            raise self._gone
        until, pause_s = time.monotonic() + patience_s, 0.25
        while True:
            try:
                return act()
            except UnwritableError:  # of this machine's disk
                raise
            except Exception as error:  # each library has kinds of its own
                if type(error).__name__ in _WITHOUT_KEYS:  # nothing is away
                    raise _refusal(f"{hide_password(self.url)} ({error})", _KEYS) from None
                if time.monotonic() + pause_s >= until:
                    place = hide_password(posixpath.join(self.url, name))
                    reason = f"{type(error).__name__}: {scrub(_first_line(error), self.url)}"
                    said = f"the place does not answer ({reason}). Bring it back"
                    said += "; then the same command goes on"
                    self._gone = UnwritableError(place, said)
                    raise self._gone from None
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 8.0)


_NOTHING = object()


def _open(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    protocol, _, place = url.partition("://")
    if protocol in ("s3", "s3a") and not place.partition("/")[0]:
        raise _refusal(f"{url}, without a bucket", "")
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if protocol in ("s3", "s3a"):  # its own patience would be many minutes
        retries = {"max_attempts": 2}
        options["config_kwargs"] = {"connect_timeout": 5, "read_timeout": 30, "retries": retries}
    try:
        fs, root = url_to_fs(url, **options)
    except ImportError as error:
        hint = _EXTRA if protocol in ("s3", "s3a") else scrub(_first_line(error), url)
        found = f"{hide_password(url)}, for which a package is not installed on this machine"
        raise _refusal(found, hint) from None
    except ValueError as error:
        raise _refusal(f"{hide_password(url)} ({scrub(_first_line(error), url)})", "") from None
    return fs, str(root)


def _refusal(found: str, hint: str) -> RunError:
    wanted = "a folder, or a URL such as s3://bucket/folder"
    return RunError("command line", [Problem("--storage-path", found, wanted, hint)])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
