"""Request: what was asked for on the command line, and the study that it means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from seglib.architectures import INSTALL, lacking_library
from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.errors import DataError, Problem, RunError, StudyFileError
from tune.study_file import StudyFile, load_study
from tune.urls import hide_password, is_postgres, is_url, refuse_password

__all__ = ["Request", "check_places"]


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line.

    Args:
        space: The study file.
        data: Folder with the images; None runs the file's ``demo:`` part.
        out: Where run directories and prepared stores go.
        overrides: ``key=value`` laid over the file.
        trials: New cap on trials; ``+N`` means N more than the file says, so that
            the same command still means the same search.
        address: Of a Ray cluster, or ``local``.
        storage: Database URL of the ledger; None for a journal file.
        cache: Where prepared stores go instead, to be shared with other searches.
        report: Write ``report.html`` at the end? A suite writes one for all its studies.
        extend: Complete trials that shall have gone on to the study's horizon.
        mirror: URL of the folder that holds the run directories for good; those in ``out``
            are then working copies. None where ``out`` is the place itself.
        folder: Name of the run directory, if it is not the study's.
    """

    space: Path
    data: Path | None = None
    out: Path = Path("runs")
    overrides: tuple[str, ...] = ()
    trials: str | None = None
    address: str = "local"
    storage: str | None = None
    cache: Path | None = None
    report: bool = True
    extend: int = 0
    mirror: str | None = None
    folder: str | None = None

    def stored_at(self, place: str | None, out: Path | None = None) -> Request:
        """The same, with run directories and prepared stores at another place.

        Args:
            place: Value of ``--storage-path``: a folder, or a URL as fsspec has them.
            out: Value of ``--out``, if it was given.

        Returns:
            What is asked for then.

        Raises:
            RunError: There is a secret in the URL, it is gone with this process, or two
                folders were given.
        """
        if problems := check_places(place, out):
            raise RunError("command line", problems)
        if not place:
            return self
        if not is_url(place):
            return replace(self, out=Path(place))
        instead = "what its library reads, such as AWS_SECRET_ACCESS_KEY or ~/.aws"
        refuse_password("--storage-path", place, instead)
        return replace(self, mirror=place.rstrip("/"))

    def places(self) -> dict[str, str]:
        """Where images and prepared stores lie, as written down for what comes after a search."""
        source = {} if self.data is None else {"source": str(self.data.resolve())}
        return {**source, "cache": str(self.prepared)}

    @property
    def prepared(self) -> Path:
        """The folder of prepared stores."""
        return (self.cache or self.out / ".cache").resolve()

    def require_storage(self) -> None:
        """See that the ledger's place can be what it is asked to be.

        Raises:
            RunError: There may be a driver on another machine, and the database would not
                keep the two apart.
        """
        is_here = self.address == "local" and self.mirror is None
        if is_here or self.storage is None or is_postgres(self.storage):
            return
        hint = "Leave --storage out for the journal in the run directory, or give "
        hint += "postgresql://USER@HOST/DATABASE"
        found = hide_password(self.storage)
        if self.storage.startswith("sqlite"):
            hint = (
                "SQLite locks a file on one machine; on a disk that several share it does not, "
                f"and a driver that starts again elsewhere could damage it or not find it.\n{hint}"
            )
            found = "a file of SQLite"
        found += ", with a run directory at a URL" if self.mirror is not None else ""
        found += ", with a cluster" if self.address != "local" else ""
        problem = Problem("--storage", found, "a memory that more than one machine can use", hint)
        raise RunError("command line", [problem])

    def load(self) -> StudyFile:
        """The study as asked for, faults and all told at once."""
        study = load_study(self.space, self.overrides, demo=self.data is None)
        if self.trials is not None:
            overrides = (*self.overrides, f"run_cap={self._cap(study)}")
            study = load_study(self.space, overrides, demo=self.data is None)
        self._check_data(study)
        self._check_libraries(study)
        if self.extend and study.method == "grid":
            hint = "a grid whose epochs are raised trains its rows anew, so that they compare"
            problem = Problem("--extend", "a grid", "a search", hint)
            raise StudyFileError("command line", [problem])
        return study

    def load_to_train(self) -> StudyFile:
        """The study as asked for, and with it something to train on."""
        study = self.load()
        if self.data is None and study.data.layout not in PHANTOM_LAYOUTS:
            hint = "a demo: part in the file would be trained without it"
            problem = Problem("--data", "nothing", "a folder with images", hint)
            raise DataError("command line", [problem])
        return study

    def _check_data(self, study: StudyFile) -> None:
        phantom, problems = study.data.layout in PHANTOM_LAYOUTS, []
        if self.data is not None and phantom:
            wanted = f"none, as data.layout is {study.data.layout}"
            problems.append(Problem("--data", f"{str(self.data)!r}", wanted))
        elif self.data is not None and not self.data.is_dir():
            found = f"a file, {self.data}" if self.data.exists() else f"no folder {self.data}"
            problems.append(Problem("--data", found, "a folder with images"))
        if problems:
            raise DataError("command line", problems)

    def _check_libraries(self, study: StudyFile) -> None:
        """See that the libraries are here from which a study takes its networks."""
        lacking = {name: lacking_library(name) for name in study.architectures}
        problems = [
            Problem("parameters.architecture", f"{name}, and {title} is not installed", INSTALL)
            for name, title in lacking.items()
            if title
        ]
        if problems:
            raise StudyFileError(str(study.path), problems)

    def _cap(self, study: StudyFile) -> int:
        text = self.trials or ""
        more = text.startswith("+")
        if not text.removeprefix("+").isdecimal() or int(text) < 1 or not text.isascii():
            raise StudyFileError(
                "command line", [Problem("--trials", text, "a whole number above 0, or +N")]
            )
        if more and study.run_cap is None:
            wanted = "a plain number, as the study has no run_cap to add to"
            raise StudyFileError("command line", [Problem("--trials", text, wanted)])
        return int(text) + (study.run_cap or 0 if more else 0)


def check_places(place: str | None, out: Path | None) -> list[Problem]:
    """What is wrong with the places given for run directories.

    Args:
        place: Value of ``--storage-path``.
        out: Value of ``--out``, if it was given.

    Returns:
        At most one fault; whether a URL has a password in it is another question.
    """
    if not place:
        return []
    if place.lower().startswith("memory://"):
        hint = "what lies there is seen by one process, and gone with it"
        return [Problem("--storage-path", place, "a folder, or a URL such as s3://…", hint)]
    if out is None or is_url(place) or Path(place).absolute() == out.absolute():
        return []
    hint = "both say where run directories go; with a URL, --out is the folder of working copies"
    return [Problem("--out", f"{out}, and --storage-path {place}", "one of them", hint)]
