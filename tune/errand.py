"""Errand: a search to be run elsewhere, checked as far as this machine can."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from seglib.architectures import ARCHITECTURES
from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.errors import DataError, InvalidInput, Problem, RunError
from tune.dashboard import check_url
from tune.request import Request, check_places
from tune.study_file import StudyFile
from tune.suite import is_suite, load_suite
from tune.urls import digest_of, hide_password, is_url

__all__ = ["Errand"]

_SHARED = "a folder that all machines of the cluster see under the same path, or a URL (s3://…)"


class _Sent(Request):
    """A request whose data folder and libraries are not on this machine."""

    def _check_data(self, study: StudyFile) -> None:
        if self.data is not None and study.data.layout in PHANTOM_LAYOUTS:
            wanted = f"none, as data.layout is {study.data.layout}"
            raise DataError("command line", [Problem("--data", f"{str(self.data)!r}", wanted)])

    def _check_libraries(self, study: StudyFile) -> None:
        """They must be on the cluster, where nobody has looked yet."""


@dataclass(frozen=True)
class Errand:
    """What a job is to do.

    Args:
        space: The study file or suite, on this machine.
        data: Folder with the images, on the cluster.
        out: Folder for run directories, on the cluster; None for the storage path.
        storage_path: Where run directories go, seen by all machines: a folder or a URL.
        storage: Database URL of the ledger.
        overrides: ``key=value`` laid over the file.
        trials: New cap on trials.
        extend: Complete trials that shall have gone on to the study's horizon.
    """

    space: Path
    data: str | None = None
    out: str | None = None
    storage_path: str | None = None
    storage: str | None = None
    overrides: tuple[str, ...] = ()
    trials: str | None = None
    extend: int = 0

    @property
    def request(self) -> Request:
        """The same as it is asked for where the job runs, but for the address."""
        return _Sent(
            self.space,
            Path(self.data) if self.data is not None else None,
            Path(self.out or "runs"),
            self.overrides,
            self.trials,
            storage=self.storage,
            extend=self.extend,
        )

    def check(self, address: str) -> tuple[str, str]:
        """See that study file and command are right; nobody is asked yet.

        Args:
            address: Of the dashboard.

        Returns:
            Name of the study or suite, and the place of its run directory.

        Raises:
            InvalidInput: They are not; all faults are told at once.
        """
        problems, place = [*check_url(address), *self._check_places()], "command line"
        folder = ""
        try:
            folder = self._load()
        except InvalidInput as error:
            if not problems:
                raise
            place = error.source
            problems = [*error.problems, *problems]
        if problems:
            raise RunError(place, problems)
        base = (self.storage_path or self.out or "").rstrip("/")
        return folder, f"{base}/{folder}"

    def files(self) -> tuple[Path, ...]:
        """The files that a suite names; none for a single study."""
        if not is_suite(self.space):
            return ()
        return tuple(one.space for one in load_suite(self.request).requests)

    def takes_networks(self) -> bool:
        """Whether networks of other libraries may be trained, which must be installed there."""
        suite = is_suite(self.space)
        requests = load_suite(self.request).requests if suite else (self.request,)
        kinds = (kind for one in requests for kind in one.load().architectures)
        return any(ARCHITECTURES[kind].library for kind in kinds)

    def words(self, space: Path) -> list[str]:
        """The command as it is given on the cluster.

        Args:
            space: Where the study file lies in the job's folder.

        Returns:
            Its words, beginning with ``run``.
        """
        given = [
            ("--data", self.data),
            ("--out", self.out),
            ("--storage-path", self.storage_path),
            ("--storage", self.storage),
            *(("--set", one) for one in self.overrides),
            ("--trials", self.trials),
            ("--extend", str(self.extend) if self.extend else None),
        ]
        said = [f"{name}={value}" for name, value in given if value is not None]
        return ["run", "--space", str(PurePosixPath(space)), "--address", "auto", *said]

    def metadata(self, study: str, place: str) -> dict[str, str]:
        """What the cluster keeps beside the job; anybody with its token can read it.

        Args:
            study: Name of the study or suite.
            place: Of its run directory.

        Returns:
            Plain texts.
        """
        version = importlib.metadata.version("segtune")
        return {"segtune": version, "study": study, "place": place}

    @property
    def working_copy(self) -> str:
        """Where the job keeps its working copy on the head, in words; empty if it has none."""
        if self.storage_path is None or not is_url(self.storage_path):
            return ""
        return self.out or (
            f"jobs/{digest_of(self.storage_path)} in $SEGTUNE_NODE_CACHE, else ~/.cache/segtune"
        )

    def _load(self) -> str:
        if not is_suite(self.space):
            return self.request.load_to_train().folder_name
        suite = load_suite(self.request)
        for one in suite.requests:
            one.load_to_train()
        return suite.folder.name

    def _check_places(self) -> Iterator[Problem]:
        if self.out is None and self.storage_path is None:
            hint = "the job's own folder is gone with the job; --out DIR does it, too"
            yield Problem("--storage-path", "nothing", _SHARED, hint)
        for name in ("data", "out", "storage_path"):
            value = getattr(self, name)
            if value is None or (name == "storage_path" and is_url(value)):
                continue
            if not value.startswith("/"):
                option = f"--{name.replace('_', '-')}"
                yield Problem(option, f"{value!r}", "an absolute path, as it is on the cluster")
        for option, value in (("--storage", self.storage), ("--storage-path", self.storage_path)):
            if value is not None and hide_password(value) != value:
                hint = "keep it on the cluster's machines: ~/.pgpass, SEGTUNE_STORAGE, ~/.aws"
                found = f"{hide_password(value)}: whoever sees the cluster's jobs would read it"
                yield Problem(option, found, "a URL without a password", hint)
        yield from check_places(self.storage_path, Path(self.out) if self.out else None)
        try:
            replace(self.request, address="auto").require_storage()
        except InvalidInput as error:
            yield from error.problems
