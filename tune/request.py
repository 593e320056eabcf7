"""Request: what was asked for on the command line, and the study that it means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.errors import DataError, Problem, RunError, StudyFileError
from tune.study_file import StudyFile, load_study
from tune.urls import is_url, refuse_password

__all__ = ["Request"]


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

    def stored_at(self, place: str | None) -> Request:
        """The same, with run directories and prepared stores at another place.

        Args:
            place: Value of ``--storage-path``: a folder, or a URL as fsspec has them.

        Returns:
            What is asked for then.

        Raises:
            RunError: There is a secret in the URL.
        """
        if not place:
            return self
        if not is_url(place):
            return replace(self, out=Path(place))
        instead = "what its library reads, such as AWS_SECRET_ACCESS_KEY or ~/.aws"
        refuse_password("--storage-path", place, instead)
        return replace(self, mirror=place.rstrip("/"))

    def require_storage(self) -> None:
        """See that the ledger's place can be what it is asked to be.

        Raises:
            RunError: It is a file of SQLite, and there may be more than one machine.
        """
        if self.address == "local" or not (self.storage or "").startswith("sqlite"):
            return
        hint = (
            "SQLite locks a file on one machine; on a disk that several share it does not, and "
            "a driver that starts again elsewhere could damage it or not find it.\n"
            "Leave --storage out for the journal in the run directory, or give "
            "postgresql://USER@HOST/DATABASE"
        )
        found = f"a file of SQLite, with the cluster at {self.address}"
        problem = Problem("--storage", found, "a memory that more than one machine can use", hint)
        raise RunError("command line", [problem])

    def load(self) -> StudyFile:
        """The study as asked for, faults and all told at once."""
        study = load_study(self.space, self.overrides, demo=self.data is None)
        if self.trials is not None:
            overrides = (*self.overrides, f"run_cap={self._cap(study)}")
            study = load_study(self.space, overrides, demo=self.data is None)
        self._check_data(study)
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
