"""RunDirectory: the folder that tells a search's whole story, and the lock that keeps it single."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.data.splits import Splits, make_splits
from seglib.data.store import Store
from seglib.errors import Problem, RunError, SegtuneError
from seglib.files import write_whole
from tune.data_summary import summarise_data
from tune.division import divide
from tune.storage import hide_password, open_storage
from tune.study_file import StudyFile, load_study
from tune.yaml_lines import write_yaml

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["RunDirectory"]

_FIXED = ("data", "split", "metric", "method", "seed")
_VERSIONS = ("segtune", "torch", "ray", "optuna", "albumentations", "numpy", "pandas", "wandb")


class RunDirectory:
    """Names and writes the files of ``runs/<name>/``.

    Args:
        path: The folder; made when it is first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.study = path / "study.yaml"
        self.environment = path / "environment.json"
        self.splits = path / "splits.json"
        self.journal = path / "journal.log"
        self.leaderboard = path / "leaderboard.csv"
        self.best = path / "best.yaml"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; a lock dies with its owner, so none is ever stale.

        Yields:
            Nothing.

        Raises:
            RunError: Another process holds it, or it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / "run.lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            found = f"{self.path} ({error.strerror})"
            problem = Problem("--out", found, "a folder that can be written to")
            raise RunError("command line", [problem]) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise RunError(
                str(self.path),
                [Problem("run.lock", f"a search at work here ({owner})", "a folder of its own",
                         "wait for it, or give another --out")],
            ) from None  # fmt: skip
        try:
            os.ftruncate(handle, 0)
            os.write(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
            yield
        except SegtuneError:
            self._remove_if_bare()
            raise
        finally:
            os.close(handle)

    def _remove_if_bare(self) -> None:
        """A search that was refused before it wrote anything leaves no folder behind."""
        if [file.name for file in self.path.iterdir()] == ["run.lock"]:
            (self.path / "run.lock").unlink()
            self.path.rmdir()

    def is_held(self) -> bool:
        """Is a process at work here?"""
        try:
            handle = os.open(self.path / "run.lock", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def settle_study(self, study: StudyFile) -> list[str]:
        """Write ``study.yaml``, or hold the study against the one that stands there.

        What makes old and new trials comparable must be the same; the rest may be
        edited, and what changed is told.

        Args:
            study: As loaded now.

        Returns:
            One sentence for each part that changed since the last time.

        Raises:
            RunError: Data, split, metric, method or seed differ from the trials' here.
        """
        resolved = study.resolved()
        if not self.study.exists() or not self.environment.exists():  # no trial was ever asked for
            write_whole(self.study, write_yaml(resolved))
            return []
        now = _flat(resolved)
        before = _flat(load_study(self.study, demo=False).resolved())
        changed = [key for key in now | before if now.get(key) != before.get(key)]
        problems = [
            Problem(key, _brief(now.get(key)), _brief(before.get(key)))
            for key in changed
            if key.partition(".")[0] in _FIXED
        ]
        if problems:
            hint = "trials are only comparable under the same settings; give another name or --out"
            last = problems[-1]
            problems[-1] = Problem(last.place, last.found, last.wanted, hint)
            raise RunError(f"{self.path} holds another study", problems)
        write_whole(self.study, write_yaml(resolved))
        return [
            f"{key} changed since the last run: {_brief(before.get(key))} -> {_brief(now.get(key))}"
            for key in changed
        ]

    def settle_splits(self, store: Store, study: StudyFile) -> Splits:
        """The split that was written down, or a new one, written down now.

        Args:
            store: The prepared data.
            study: Says how to split.

        Returns:
            The split of this run directory.

        Raises:
            RunError: The data is not what was split before.
            DataError: Too few patients, or a part in which there is nothing to find.
        """
        for start in self.starts()[-1:]:
            self._require_same_data(start.get("data", {}).get("key"), store.key)
        if not self.splits.exists():
            splits = divide(store, study)
            splits.save(self.splits)
            return splits
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

    def _require_same_data(self, before: str | None, now: str) -> None:
        """A store's key follows from the content of the images, wherever they lie."""
        if before is not None and before != now:
            hint = "trials are only comparable on the same data; give another name or --out"
            problem = Problem("data", f"other images or masks ({now})", before, hint)
            raise RunError(f"{self.path} holds another study", [problem])

    def settle_storage(self, url: str | None) -> BaseStorage:
        """Open the memory of the search, the same as every time before.

        Args:
            url: Of a database; None for the journal file in this folder.

        Returns:
            Optuna's storage, for one writer.

        Raises:
            RunError: The search's memory is elsewhere, lost, damaged or does not answer.
        """
        given, before = self._name_storage(url), self.storage_name()
        if before is not None and given != before:
            hint = "a search has one memory; give another --out to start anew"
            raise RunError("command line", [Problem("--storage", given, before, hint)])
        if url is None and not self.journal.exists() and any(self.path.glob("trials/*")):
            hint = "put the journal back, or give another --out to start anew"
            problem = Problem(self.journal.name, "no such file", "the memory of trials/", hint)
            raise RunError(str(self.path), [problem])
        return open_storage(url or self.journal)

    def storage_name(self) -> str | None:
        """Where the search's memory lies, without a password; None before the first start."""
        starts = self.starts()
        return str(starts[-1].get("storage", self.journal.name)) if starts else None

    def write_environment(self, store: Store, url: str | None = None) -> None:
        """Versions, machine and the data's fingerprint, each time a search starts.

        Args:
            store: The prepared data.
            url: Of the ledger's database; None for the journal file.
        """
        from seglib.device import choose_device, device_name  # torch, which reading needs not

        start = {
            "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
            "python": platform.python_version(),
            "system": platform.platform(),
            "machine": platform.machine(),
            "device": device_name(choose_device()),
            "cores": len(os.sched_getaffinity(0)),
            "commit": _commit(),
            "data": summarise_data(store, self._settled_splits()),
            "storage": self._name_storage(url),
        }
        starts = [*self.starts(), start]
        write_whole(self.environment, json.dumps({"starts": starts}, indent=2) + "\n")

    def _settled_splits(self) -> Splits | None:
        return Splits.load(self.splits) if self.splits.exists() else None

    def _name_storage(self, url: str | None) -> str:
        return self.journal.name if url is None else hide_password(url)

    def starts(self) -> list[dict[str, Any]]:
        """One record for each time that a search started here; none before the first.

        Returns:
            What :meth:`write_environment` wrote.

        Raises:
            RunError: The file is damaged.
        """
        if not self.environment.exists():
            return []
        try:
            starts: list[dict[str, Any]] = json.loads(self.environment.read_bytes())["starts"]
            if all(isinstance(start, dict) for start in starts):
                return starts
        except (ValueError, KeyError, TypeError):
            pass
        hint = "it is a record only: move it away and the search goes on"
        problem = Problem("environment", "a damaged file", "what a search wrote", hint)
        raise RunError(str(self.environment), [problem])


def _groups(splits: Splits) -> set[str]:
    return {*splits.train, *splits.val, *splits.test}


def _flat(part: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    if not isinstance(part, dict) or not part:
        return {path: part}
    flat: dict[str, Any] = {}
    for key, value in part.items():
        flat |= _flat(value, f"{path}.{key}" if path else str(key))
    return flat


def _brief(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 120 else text[:117] + "..."


def _commit() -> str | None:
    """The commit of the source that runs, where it is a git checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
