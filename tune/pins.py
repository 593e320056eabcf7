"""The versions that segtune was tested with, held against those that are installed."""

from __future__ import annotations

import importlib.metadata
import re
import sys

from seglib.errors import Problem, RunError

__all__ = ["metadata_text", "pinned", "require_pins", "requirements"]

_PIN = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]*\])?==(?P<version>[^\s;]+)\s*(?:;(?P<marker>.*))?")
_EXTRA = re.compile(r"""\s*extra\s*==\s*["']cluster["']\s*""")


def metadata_text() -> str:
    """What the installed segtune says of itself: name, version, what it requires.

    Returns:
        The fields, without the long description.
    """
    own = importlib.metadata.distribution("segtune")
    text = own.read_text("METADATA") or own.read_text("PKG-INFO") or ""
    return text.partition("\n\n")[0] + "\n"


def requirements() -> tuple[str, ...]:
    """What a machine of a cluster needs, as pip takes it, without markers."""
    return tuple(line.partition(";")[0].strip() for line, _ in _needed())


def pinned() -> dict[str, str]:
    """Version by name of all that a machine of a cluster needs."""
    return {match["name"]: match["version"] for _, match in _needed()}


def require_pins() -> None:
    """See that this Python has what was tested; all that differs is told at once.

    Raises:
        RunError: Packages are missing, or of another version.
    """
    problems = []
    for name, wanted in pinned().items():
        found = _installed(name)
        # what follows the + says how it was built, as in 2.13.0+cpu
        if found is None or found.partition("+")[0] != wanted:
            problems.append(Problem(name, found or "not installed", wanted))
    if problems:
        last = problems.pop()
        hint = "install the project on every machine, or let Ray do it: segtune submit --install"
        problems.append(Problem(last.place, last.found, last.wanted, hint))
        place = f"{sys.executable} (Python {sys.version.split()[0]})"
        raise RunError(place, problems)


def _needed() -> list[tuple[str, re.Match[str]]]:
    lines = importlib.metadata.requires("segtune") or []
    matches = [(line, _PIN.fullmatch(line)) for line in lines]
    return [
        (line, match)
        for line, match in matches
        if match is not None and (match["marker"] is None or _EXTRA.fullmatch(match["marker"]))
    ]


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
