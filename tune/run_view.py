"""RunView: a search as it stands, read from its run directory without writing there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seglib.data.pair_names import natural
from seglib.errors import Problem, RunError
from tune.entries import Entry, read_entries
from tune.run_directory import RunDirectory
from tune.storage import view_storage
from tune.study_file import StudyFile, load_study

__all__ = ["RunView", "find_runs", "view_run"]


@dataclass(frozen=True)
class RunView:
    """What a run directory holds; another process may be at it.

    Args:
        folder: The run directory.
        study: What is searched.
        place: Where the ledger lies: a file, or a database URL.
        entries: All trials, by number.
        held: Is a process at work here?
    """

    folder: RunDirectory
    study: StudyFile
    place: Path | str
    entries: tuple[Entry, ...]
    held: bool


def find_runs(folder: Path) -> tuple[Path, ...]:
    """The run directory itself, or those in a suite's folder, by name.

    Args:
        folder: The one or the other.

    Returns:
        One or more run directories.

    Raises:
        RunError: It is neither.
    """
    folder = folder.resolve()
    if (folder / "study.yaml").is_file():
        return (folder,)
    inside = [path.parent for path in folder.glob("*/study.yaml")]
    if not inside:
        found = "no study.yaml, here or one folder down" if folder.is_dir() else "no such folder"
        wanted = "a run directory, such as runs/brats, or a suite's folder"
        raise RunError(str(folder), [Problem("run", found, wanted)])
    return tuple(sorted(inside, key=lambda run: natural(run.name)))


def view_run(run: Path, storage: str | None = None) -> RunView:
    """Read study and ledger.

    Args:
        run: The run directory.
        storage: URL of the ledger's database, if it has a password in it.

    Returns:
        The search as it is now.

    Raises:
        RunError: It is not a run directory, or its ledger cannot be read.
        StudyFileError: Its study file is damaged.
    """
    folder = RunDirectory(run.resolve())
    if not folder.study.is_file():
        found = "no study.yaml" if run.is_dir() else "no such folder"
        raise RunError(str(run), [Problem("run directory", found, "one, such as runs/brats")])
    study = load_study(folder.study, demo=False)
    place = _place_of(folder, storage)
    held = folder.is_held()  # asked first, so that a trial seen in training has its process
    entries = tuple(read_entries(study.name, view_storage(place)))
    return RunView(folder, study, place, entries, held)


def _place_of(folder: RunDirectory, storage: str | None) -> Path | str:
    """The journal, if that is the memory, whatever the environment says for other searches."""
    name = folder.storage_name()
    if name is None:
        return storage or folder.journal
    return folder.journal if name == folder.journal.name else storage or name
