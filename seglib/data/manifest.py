"""A manifest: one CSV line per image, with its mask and its patient.

Columns ``image``, ``mask`` and ``patient`` are needed, ``slice`` is read if it is
there, others are not looked at. Files are named as they lie in the image and the
mask folder, or by a path seen from the manifest.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from seglib.data.spec import DataSpec
from seglib.errors import Problem
from seglib.foreign import is_file, read_bounded

__all__ = ["Row", "find_manifest", "read_manifest"]

_NEEDED = ("image", "mask", "patient")
_MOST_BYTES = 2**26
_MOST_DIGITS = 9
_MOST_NAMED = 3


@dataclass(frozen=True)
class Row:
    """One image with its mask; patient and slice as far as they are known."""

    image: Path
    mask: Path
    patient: str = ""
    slice: int | None = None


def find_manifest(
    spec: DataSpec, root: Path, home: Path, *, problems: list[Problem], notes: list[str]
) -> Path | None:
    """The manifest that the study file names, else a ``manifest.csv`` that lies there.

    Args:
        spec: May name the manifest, seen from ``root``.
        root: The data folder.
        home: The folder that holds the image and mask folders.
        problems: A named manifest that is missing is added here.
        notes: A file called ``manifest.csv`` that is no manifest is told here.

    Returns:
        The file, or None.
    """
    if spec.manifest is not None:
        path = root / spec.manifest
        if is_file(path):
            return path
        problems.append(Problem("data.manifest", f"no such file {path}", "a CSV file"))
        return None
    for path in (home / "manifest.csv", root / "manifest.csv"):
        if not is_file(path):
            continue
        if any(name in _lines(path, [])[0] for name in _NEEDED):
            return path
        notes.append(f"{path.name} has none of the columns {', '.join(_NEEDED)}: it is not used")
    return None


def read_manifest(path: Path, images: Path, masks: Path, *, problems: list[Problem]) -> list[Row]:
    """Reads the lines of a manifest; every named file must exist.

    Args:
        path: The CSV file.
        images: The image folder.
        masks: The mask folder.
        problems: Faults are added here, with their lines.

    Returns:
        One row per line without a fault.
    """
    columns, lines = _lines(path, problems)
    lacking = [name for name in _NEEDED if name not in columns]
    if lacking:
        found = f"no column {', '.join(lacking)}"
        problems.append(Problem(path.name, found, f"columns {', '.join(_NEEDED)}"))
        return []
    if not lines:
        problems.append(Problem(path.name, "no line under the columns", "a line per image"))
    rows, missing = [], list[Problem]()
    for number, line in lines:
        place = f"{path.name} (line {number})"
        faults = [Problem(place, f"no {name}") for name in _NEEDED if not line[name]]
        image = _locate(line["image"], images, path.parent)
        mask = _locate(line["mask"], masks, path.parent)
        for name, file in (("image", image), ("mask", mask)):
            if line[name] and file is None:
                missing.append(Problem(place, f"{name} {line[name]}, which does not exist"))
        text = line.get("slice", "")
        if text and not (text.isdecimal() and len(text) <= _MOST_DIGITS):
            wanted = f"a whole number of at most {_MOST_DIGITS} digits"
            faults.append(Problem(place, f"slice '{text}'", wanted))
        problems += faults
        if image and mask and not faults:
            rows.append(Row(image, mask, line["patient"], int(text) if text else None))
    problems += _missing(path, missing)
    problems += _doubles(path, rows)
    return rows


def _lines(
    path: Path, problems: list[Problem]
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names, and each line with its number; a short line has empty fields."""
    try:
        text = read_bounded(path, _MOST_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="", restkey="")
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        lines = [
            (reader.line_num, {key: value.strip() for key, value in line.items() if key})
            for line in reader
        ]
    except (OSError, ValueError, csv.Error) as error:
        problems.append(Problem(path.name, f"an unreadable file ({error})", "CSV in UTF-8"))
        return [], []
    return columns, lines


def _locate(name: str, folder: Path, home: Path) -> Path | None:
    if not name:
        return None
    return next((path for path in (folder / name, home / name) if is_file(path)), None)


def _missing(path: Path, missing: list[Problem]) -> list[Problem]:
    """Files that do not exist; many are one fault, that of a manifest for a larger folder."""
    if len(missing) <= _MOST_NAMED:
        return missing
    lines = len({one.place for one in missing})
    named = [one.found.removesuffix(", which does not exist") for one in missing[:_MOST_NAMED]]
    shown = f"{', '.join(named)} and {len(missing) - len(named)} more"
    found = f"{lines} line{'s' * (lines > 1)} with files that do not exist ({shown})"
    hint = "if the others were left out on purpose, remove their lines from the manifest"
    return [Problem(path.name, found, "lines for the files that are here", hint)]


def _doubles(path: Path, rows: list[Row]) -> list[Problem]:
    files = Counter(file for row in rows for file in (row.image, row.mask))
    return [
        Problem(path.name, f"{file.name} {count} times", "once")
        for file, count in files.items()
        if count > 1
    ]
