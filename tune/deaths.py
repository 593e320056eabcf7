"""Deaths: how often the process of each trial died, and of what. Knows nothing of Ray."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["DIED", "Cause", "Deaths", "Fault", "in_a_line"]

_LONGEST_LINE = 300


@dataclass(frozen=True)
class Cause:
    """What a trial's process died of.

    Args:
        what: Words that "4 times" may follow.
        detail: More about this one time; may be empty.
        is_foreign: Did more than the trial die, such as its whole machine? No fault of its own.
    """

    what: str
    detail: str = ""
    is_foreign: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}" if self.detail else self.what


DIED = Cause("its process died")

MOST_FOREIGN_DEATHS = 20
"""Nodes that the provider takes back must not use up a trial's retries, nor go on for ever
without one new epoch."""


class Deaths:
    """One count and one limit for a trial, however its processes died and whoever noticed.

    Only deaths without progress count together: a new epoch forgets those before it. The
    count lasts as long as the driver: started again, a search tries each trial anew.

    Args:
        most: So many deaths without a new epoch, and the trial is given up. Foreign ones are
            counted apart.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._causes: dict[int, list[Cause]] = {}

    def note(self, number: int, cause: Cause) -> str:
        """Count one more.

        Args:
            number: The trial.
            cause: Of this death.

        Returns:
            Why the trial is given up; empty when it shall be tried again.
        """
        causes = self._causes.setdefault(number, [])
        causes.append(cause)
        foreign = sum(one.is_foreign for one in causes)
        given_up = len(causes) - foreign >= self._most or foreign >= MOST_FOREIGN_DEATHS
        return self._summary(causes) if given_up else ""

    def forget(self, number: int) -> None:
        """The trial has got on: what it died of before can be no reason to give it up.

        Args:
            number: The trial.
        """
        self._causes.pop(number, None)

    def excuse(self, number: int, what: str) -> None:
        """Its last death turns out to have been no fault of its own.

        Args:
            number: The trial.
            what: Of which kind that death was; another one stays as it is.
        """
        causes = self._causes.get(number, [])
        if causes and causes[-1].what == what:
            causes[-1] = replace(causes[-1], is_foreign=True)

    @staticmethod
    def _summary(causes: list[Cause]) -> str:
        """Each kind with its number; the last of a kind tells the detail."""
        last = {cause.what: cause for cause in causes}
        counts = {what: sum(cause.what == what for cause in causes) for what in last}
        times = {what: f"{n} time{'s' if n > 1 else ''}" for what, n in counts.items()}
        return "; ".join(str(Cause(f"{what} {times[what]}", last[what].detail)) for what in last)


@dataclass(frozen=True)
class Fault:
    """What ended Ray's work before the search was done.

    Args:
        what: Half a sentence for the user.
        at_work: How many trials were at work.
        of_memory: Was it Ray's memory monitor?
    """

    what: str
    at_work: int = 0
    of_memory: bool = False


def in_a_line(error: BaseException) -> str:
    """The kind and the telling line of an error; Ray's messages may be whole tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return f"{type(error).__name__}: {said}"[:_LONGEST_LINE]
