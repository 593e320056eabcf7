"""Every exception that segtune raises on purpose.

::

    SegtuneError                 anything below; carries an exit code for the command line
    ├── InvalidInput             the user can mend it: a list of Problems, exit code 2
    │   ├── StudyFileError       a study file, or a --set laid over it
    │   ├── DataError            a data folder, an image, a mask, a split
    │   └── RunError             a run directory: locked, of another study, damaged
    └── TrialError               one trial ends, the search goes on
        ├── DivergedError        loss or score is not finite
        └── InfeasibleError      the recipe cannot run on this machine
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "DataError",
    "DivergedError",
    "InfeasibleError",
    "InvalidInput",
    "Problem",
    "RunError",
    "SegtuneError",
    "StudyFileError",
    "TrialError",
]


@dataclass(frozen=True)
class Problem:
    """One fault in what the user gave: where it is, what is there, what was wanted.

    Args:
        place: Field path, file name or option, with ``(line N)`` where there is one.
        found: What is there, in the user's own words or values.
        wanted: What would be right; empty when ``found`` says it all.
        hint: One more line that helps to mend it; may be empty.
    """

    place: str
    found: str
    wanted: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: found {self.found}"
        if self.wanted:
            text += f" ; wanted {self.wanted}"
        if self.hint:
            text += f"\n    hint: {self.hint}"
        return text


class SegtuneError(Exception):
    """Base of all errors that segtune raises on purpose."""

    exit_code = 1


class InvalidInput(SegtuneError):
    """What the user gave cannot be used; all faults are listed at once.

    Args:
        source: File, folder or option that the problems are about.
        problems: One or more faults.
    """

    exit_code = 2

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(source, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{self.source}: {count} problem{'' if count == 1 else 's'}"
        lines = [f"  {line}" for problem in self.problems for line in str(problem).splitlines()]
        return "\n".join([head, *lines])


class StudyFileError(InvalidInput):
    """A study file, or an override laid over it, has faults."""


class DataError(InvalidInput):
    """A data folder, an image, a mask or a split has faults."""


class RunError(InvalidInput):
    """A run directory cannot be used: locked, of another study, or damaged."""


class TrialError(SegtuneError):
    """One trial cannot go on; the search does."""


class DivergedError(TrialError):
    """Loss or score is no longer a finite number."""


class InfeasibleError(TrialError):
    """The recipe cannot run on this machine, whatever the micro-batch."""
