"""What Ray said of a death, in our words: which process died, of what, and whose fault it was."""

from __future__ import annotations

import re

from ray.exceptions import OutOfMemoryError

from tune.cluster import NodeLostError
from tune.deaths import Cause, Fault, in_a_line

__all__ = ["explain", "find_missing", "find_shortage", "find_superseded", "names_of_ended"]

_ENDED = re.compile(r"Selected to kill: .*")  # others are listed without these words
_USE = re.compile(r"was ([\d.]+)GB used / ([\d.]+)GB limit")
_MISSING = re.compile(r"(?:ModuleNotFound|Import)Error: .*")
_PLACE = re.compile(r"\bip[=:] ?([\w.:]+)")
_SUPERSEDED = re.compile(r"^tune\.trial_home\.Superseded: (.*)", re.MULTILINE)


def find_shortage(error: BaseException | None) -> str:
    """What Ray's memory monitor said, if that is behind an error; else empty."""
    while error is not None and not isinstance(error, OutOfMemoryError):
        error = error.__cause__
    return "" if error is None else str(error)


def names_of_ended(shortage: str) -> str:
    """The part of the memory monitor's words that names whom it ended."""
    return "".join(_ENDED.findall(shortage))


def find_missing(said: str) -> tuple[str, str]:
    """What a node lacks that the driver has, if a worker could not even be made there.

    Args:
        said: All that Ray told of the error.

    Returns:
        The node's address and the error of the import; both may be empty.
    """
    missing = _MISSING.search(said)
    if missing is None:
        return "", ""
    return "".join(_PLACE.findall(said)[:1]), missing.group()


def find_superseded(said: str) -> str:
    """Who has taken a trial up from the process that died; empty if that was not why."""
    found = _SUPERSEDED.search(said)
    return found.group(1) if found else ""


def explain(error: BaseException, shortage: str, at_work: int) -> tuple[Fault, Cause]:
    """What to say of a failure of Ray, and of what the trials died.

    Args:
        error: What Ray raised.
        shortage: From :func:`find_shortage`.
        at_work: How many trials were at work.

    Returns:
        For the user, and for each trial.
    """
    if shortage:
        use = _USE.search(shortage)
        detail = "{} of {} GB in use".format(*use.groups()) if use else ""
        cause = Cause("killed by Ray's memory monitor", detail)
        return Fault("Ray's memory monitor ended a trial", at_work, of_memory=True), cause
    if isinstance(error, NodeLostError):
        return Fault(str(error), at_work), Cause("Ray died under it", str(error))
    said = in_a_line(error)
    return Fault(f"Ray failed ({said})", at_work), Cause("Ray failed under it", said)
