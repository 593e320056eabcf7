"""RunDirectory: the folder that tells a search's whole story."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.data.splits import Splits, make_splits
from seglib.data.store import Store
from seglib.errors import Problem, RunError, SegtuneError, StudyFileError
from seglib.files import clear_unfinished, write_whole
from tune.data_changes import describe_changes
from tune.data_summary import summarise_data
from tune.database import claim, close
from tune.division import divide
from tune.mirror import Mirror
from tune.provenance import describe_provenance
from tune.run_lock import hold, is_held
from tune.seal import digest, require_unbroken, seal
from tune.start_records import load_starts, require_place
from tune.storage import open_storage
from tune.study_changes import tell_changes
from tune.study_file import StudyFile, load_study
from tune.urls import name_of
from tune.yaml_lines import MOST_BYTES, parse_yaml, write_yaml

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["RunDirectory"]

_MEND = "put a copy back, or give another --out to start anew"

log = logging.getLogger("segtune")


class RunDirectory:
    """Names and writes the files of ``runs/<name>/``.

    Args:
        path: The folder; made when it is first written to.
        url: Its place, of which the folder is then a working copy; None for the folder itself.
    """

    def __init__(self, path: Path, url: str | None = None) -> None:
        self.path = path
        self.mirror = Mirror(path, url) if url is not None else None
        self._url = None if url is None else name_of(url.rstrip("/"))
        self._database: BaseStorage | None = None
        self.study = path / "study.yaml"
        self.environment = path / "environment.json"
        self.splits = path / "splits.json"
        self.journal = path / "journal.log"
        self.leaderboard = path / "leaderboard.csv"
        self.best = path / "best.yaml"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process, and clear away what a dead one was writing.

        Yields:
            Nothing.

        Raises:
            RunError: Another process holds it, it cannot be written to or locked, or it was
                begun with another URL.
        """
        with hold(self.path):
            clear_unfinished(self.path)
            try:
                require_place(self.environment, self._url)
                if self.mirror is not None:
                    self.mirror.fetch()
                yield
                if self.mirror is not None:
                    self.mirror.close()
            except SegtuneError:
                self._remove_if_bare()
                raise
            finally:
                if self._database is not None:
                    close(self._database)

    def take_over(self) -> None:
        """With a URL, leave our mark there: see :meth:`tune.mirror.Mirror.take_over`."""
        if self.mirror is not None:
            self.mirror.take_over()

    def _remove_if_bare(self) -> None:
        """A search that was refused before it wrote anything leaves no folder behind."""
        if [file.name for file in self.path.iterdir()] == ["run.lock"]:
            (self.path / "run.lock").unlink()
            with suppress(OSError):  # it may be a disk of its own
                self.path.rmdir()

    def is_held(self) -> bool:
        """Is a process at work here?"""
        return is_held(self.path)

    def compare_study(self, study: StudyFile) -> list[str]:
        """Hold the study against the one that stands here: what may not change, and what did.

        Args:
            study: As loaded now.

        Returns:
            One sentence for each part that changed since the last time.

        Raises:
            RunError: Data, split, metric, method or seed differ from the trials' here.
        """
        if not self._is_begun():
            return []
        return tell_changes(self._study_before().resolved(), study.resolved(), self.path)

    def settle_study(self, study: StudyFile) -> list[str]:
        """Write ``study.yaml`` after :meth:`compare_study`, whose sentences it returns."""
        said = self.compare_study(study)
        write_whole(self.study, _write_out(study))
        return said

    def _is_begun(self) -> bool:
        """Was a trial ever asked for?"""
        return self.environment.exists() or self._has_trials()

    def _has_trials(self) -> bool:
        return any(self.path.glob("trials/*"))

    def _study_before(self) -> StudyFile:
        if not self.study.exists():
            raise self._lost(self.study, "the study that was begun here")
        require_unbroken(self.study)
        try:
            return load_study(self.study, demo=False)
        except StudyFileError as error:
            problems = [replace(problem, hint=problem.hint or _MEND) for problem in error.problems]
            raise StudyFileError(error.source, problems) from None

    def _lost(self, file: Path, wanted: str) -> RunError:
        return RunError(str(self.path), [Problem(file.name, "no such file", wanted, _MEND)])

    def settle_splits(self, store: Store, study: StudyFile) -> Splits:
        """The split that was written down, or a new one, written down now.

        A lost file is written again, where the same split can be drawn again.

        Args:
            store: The prepared data.
            study: Says how to split.

        Returns:
            The split of this run directory.

        Raises:
            RunError: The data is not what was split before, or the file is altered, or lost
                for good.
            DataError: Too few patients, or a part in which there is nothing to find.
        """
        last = (self.starts() or [{}])[-1]
        self._require_same_data(last.get("data", {}).get("key"), store)
        if not self.splits.exists() or not self._is_begun():
            return self._draw_splits(store, study, last.get("splits"))
        content = digest(self.splits.read_bytes())
        if content != last.get("splits", content):
            hint = "put a copy back, or delete the file: the same split is drawn again"
            problem = Problem("sha256", content, last["splits"], hint)
            raise RunError(str(self.splits), [problem])
        splits = Splits.load(self.splits)
        known = _groups(splits)
        found = _groups(make_splits(store.index, study.split, store.info.divisions))
        if known != found:
            raise RunError(
                str(self.splits),
                [Problem("groups", f"{len(found)} in the data", f"the {len(known)} split before",
                         "the data changed; give another --out to start anew")],
            )  # fmt: skip
        return splits

    def _draw_splits(self, store: Store, study: StudyFile, wanted: str | None) -> Splits:
        splits = divide(store, study)
        found = digest(splits.as_text().encode())
        if found != (wanted or found) or (wanted is None and self._has_trials()):
            raise self._lost(self.splits, "the split of the trials here")
        if wanted is not None:
            log.warning("%s was missing; the same split was drawn again", self.splits.name)
        splits.save(self.splits)
        return splits

    def _require_same_data(self, before: str | None, store: Store) -> None:
        """A store's key follows from the content of the images, wherever they lie."""
        if before is not None and before != store.key:
            hint = "trials are only comparable on the same data; give another name or --out"
            changes = describe_changes(store.path.with_name(before), store)
            found = f"other images or masks ({store.key}); {changes}"
            problem = Problem("data", found, before, hint)
            raise RunError(f"{self.path} holds another study", [problem])

    def settle_storage(self, url: str | None, study: StudyFile | None = None) -> BaseStorage:
        """Open the memory of the search, the same as every time before.

        Args:
            url: Of a database; None for the journal file in this folder.
            study: As loaded now; the one that stands here if not given.

        Returns:
            Optuna's storage, for one writer.

        Raises:
            RunError: The search's memory is elsewhere, lost, damaged or does not answer.
        """
        given, before = self._name_storage(url), self.storage_name()
        if before is not None and given != before:
            hint = "a search has one memory; give another --out to start anew"
            raise RunError("command line", [Problem("--storage", given, before, hint)])
        if url is None and not self.journal.exists() and self._has_trials():
            raise self._lost(self.journal, "the memory of trials/")
        if url is None:
            appended = None if self.mirror is None else self.mirror.appended
            return open_storage(self.journal, appended=appended)
        study = study or self._study_before()
        self._database = open_storage(url, study.name)
        claim(self._database, study.name, study.metric.goal, self._identity())
        return self._database

    def _identity(self) -> str:
        """What a database knows this run directory by."""
        path = self.path / "ledger.id"
        if not path.exists():
            write_whole(path, f"{secrets.token_hex(8)}\n")
        return path.read_text(encoding="utf-8").strip()

    def storage_name(self) -> str | None:
        """Where the search's memory lies, without a password; None before the first start."""
        starts = self.starts()
        return name_of(str(starts[-1].get("storage", self.journal.name))) if starts else None

    def write_environment(
        self, store: Store, url: str | None = None, where: Mapping[str, Any] | None = None
    ) -> None:
        """Versions, machine and the data's fingerprint, each time a search starts.

        Args:
            store: The prepared data.
            url: Of the ledger's database; None for the journal file.
            where: What else is to be known of where trials train.
        """
        start = {
            **describe_provenance(),
            **(where or {}),
            "data": summarise_data(store, self._settled_splits()),
            "storage": self._name_storage(url),
            **({} if self._url is None else {"url": self._url}),
        }
        if self.splits.exists():
            start["splits"] = digest(self.splits.read_bytes())
        if self._has_trials() and not self.environment.exists():
            log.warning(
                "%s was missing: nobody can tell whether the trials here had the same data",
                self.environment.name,
            )
        starts = [*self.starts(), start]
        write_whole(self.environment, json.dumps({"starts": starts}, indent=2) + "\n")

    def _settled_splits(self) -> Splits | None:
        return Splits.load(self.splits) if self.splits.exists() else None

    def _name_storage(self, url: str | None) -> str:
        return self.journal.name if url is None else name_of(url)

    def starts(self) -> list[dict[str, Any]]:
        """One record for each time that a search started here; none before the first.

        Returns:
            What :meth:`write_environment` wrote.

        Raises:
            RunError: The file is damaged.
        """
        return load_starts(self.environment)


def _write_out(study: StudyFile) -> str:
    """The whole study as one file; refused now if it could not be read back later."""
    text = seal(write_yaml(study.resolved()))
    if (size := len(text.encode())) > MOST_BYTES or parse_yaml(text)[1]:
        found = f"{size} bytes when all its aliases are written out"
        problem = Problem("file", found, f"at most {MOST_BYTES} bytes and fewer values")
        raise StudyFileError(str(study.path), [problem])
    return text


def _groups(splits: Splits) -> set[str]:
    return {*splits.train, *splits.val, *splits.test}
