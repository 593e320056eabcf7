"""Every exception that segtune raises on purpose.

::

    SegtuneError                 anything below; carries an exit code for the command line
    ├── InvalidInput             the user can mend it: a list of Problems, exit code 2
    │   ├── StudyFileError       a study file, or a --set laid over it
    │   ├── DataError            a data folder, an image, a mask, a split
    │   └── RunError             a run directory: locked, of another study, damaged
    ├── UnwritableError          a place takes no more files: full, read-only; exit code 1
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
    "UnwritableError",
    "printable",
]

_LONGEST = 1000
_MOST_SHOWN = 100


def printable(text: str) -> str:
    r"""A text for one line of a terminal, whatever a file or its name holds.

    Control characters, halves of characters and what turns the direction of writing are
    shown as ``\x1b``; a text that goes on and on is cut.

    Args:
        text: Any text.

    Returns:
        Letters that can be printed and encoded.
    """
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    if shown.isprintable():
        return shown
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in shown
    )


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
        text = f"{printable(self.place)}: found {printable(self.found)}"
        if self.wanted:
            text += f" ; wanted {printable(self.wanted)}"
        if self.hint:
            lines = map(printable, self.hint.split("\n"))
            text += "\n    hint: " + "\n".join(lines)
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
        head = f"{printable(self.source)}: {count} problem{'' if count == 1 else 's'}"
        shown = self.problems[:_MOST_SHOWN]
        lines = [f"  {line}" for problem in shown for line in str(problem).splitlines()]
        if count > len(shown):
            lines.append(f"  and {count - len(shown)} more")
        return "\n".join([head, *lines])


class StudyFileError(InvalidInput):
    """A study file, or an override laid over it, has faults."""


class DataError(InvalidInput):
    """A data folder, an image, a mask or a split has faults."""


class RunError(InvalidInput):
    """A run directory cannot be used: locked, of another study, or damaged."""


class UnwritableError(SegtuneError):
    """A place takes no more files; nothing that is there already was harmed.

    Args:
        place: The file or folder.
        reason: Why, how much is free, and what to do.
    """

    def __init__(self, place: str, reason: str) -> None:
        self.place, self.reason = place, reason
        super().__init__(place, reason)

    def __str__(self) -> str:
        return f"{printable(self.place)}: {self.reason}"


class TrialError(SegtuneError):
    """One trial cannot go on; the search does."""


class DivergedError(TrialError):
    """Loss or score is no longer a finite number."""


class InfeasibleError(TrialError):
    """The recipe cannot run on this machine, whatever the micro-batch."""
