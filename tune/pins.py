"""The versions that segtune was tested with, held against those that are installed."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Collection

from seglib.errors import Problem, RunError

__all__ = ["metadata_text", "pinned", "require_pins", "requirements"]

_PIN = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]*\])?==(?P<version>[^\s;]+)\s*(?:;(?P<marker>.*))?")
_EXTRA = re.compile(r"""\s*extra\s*==\s*["'](?P<name>[\w-]+)["']\s*""")
_OF_SCHEMES = {"s3": "s3", "s3a": "s3"}


def metadata_text() -> str:
    """What the installed segtune says of itself: name, version, what it requires.

    Returns:
        The fields, without the long description.
    """
    own = importlib.metadata.distribution("segtune")
    text = own.read_text("METADATA") or own.read_text("PKG-INFO") or ""
    return text.partition("\n\n")[0] + "\n"


def requirements(place: str | None = None, *, networks: bool = False) -> tuple[str, ...]:
    """What a machine of a cluster needs, as pip takes it, without markers.

    Args:
        place: Of the run directories; a URL may need a library of its own.
        networks: Will there be networks of other libraries?

    Returns:
        Names and versions.
    """
    scheme = (place or "").partition("://")[0].lower()
    extras = {"cluster", *([_OF_SCHEMES[scheme]] if scheme in _OF_SCHEMES else [])}
    extras |= {"monai"} if networks else set()
    return tuple(line.partition(";")[0].strip() for line, _ in _needed(extras))


def pinned() -> dict[str, str]:
    """Version by name of all that a machine of a cluster needs."""
    return {match["name"]: match["version"] for _, match in _needed({"cluster"})}


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


def _needed(extras: Collection[str]) -> list[tuple[str, re.Match[str]]]:
    lines = importlib.metadata.requires("segtune") or []
    matches = [(line, _PIN.fullmatch(line)) for line in lines]
    return [
        (line, match)
        for line, match in matches
        if match is not None and _is_of(match["marker"], extras)
    ]


def _is_of(marker: str | None, extras: Collection[str]) -> bool:
    if marker is None:
        return True
    of = _EXTRA.fullmatch(marker)
    return of is not None and of["name"] in extras


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
