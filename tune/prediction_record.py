"""Which masks a folder holds, of which images and by which model: ``predictions.jsonl``.

One line for each mask that was written, the last one counting. With it the same command goes
on where it ended, and neither a file of somebody else nor a mask that was mended by hand is
ever written over.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from seglib.errors import DataError, Problem
from seglib.files import checksum, writing
from seglib.foreign import is_file, read_bounded

__all__ = ["Line", "PredictionRecord", "state_of"]

_NAME = "predictions.jsonl"
_MOST_BYTES = 2**30


@dataclass(frozen=True)
class Line:
    """One mask.

    Args:
        mask: Its file, as seen from the folder.
        images: The files that it was made of.
        state: Of those files, see :func:`state_of`.
        model: Key of the model.
        sha256: Of the mask's file.
        volumes: Class -> how large it is, in millilitres, or in mm2 or pixels of a picture.
        unit: Of the volumes.
    """

    mask: str
    images: tuple[str, ...]
    state: str
    model: str
    sha256: str
    volumes: Mapping[str, float]
    unit: str


class PredictionRecord:
    """The record of one folder.

    Args:
        folder: The folder; may be missing.

    Raises:
        DataError: There is a record that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: dict[str, list[Line]] = defaultdict(list)
        path = folder / _NAME
        if path.exists():
            for text in _content(path).splitlines():
                line = _read(text)
                if line is not None:  # a line that was cut when the process died tells nothing
                    self._lines[line.mask].append(line)

    @property
    def masks(self) -> frozenset[Path]:
        """Every mask that was ever written here."""
        return frozenset(self._folder / name for name in self._lines)

    def is_done(self, mask: str, images: Sequence[Path], model: str) -> bool | Problem:
        """Whether a mask need not be written, or must not be.

        Args:
            mask: Its file, as seen from the folder.
            images: The files that it is made of.
            model: Key of the model.

        Returns:
            True if it is there, of these very images and this model; False if it may be
            written; else what is in the way.
        """
        path = self._folder / mask
        if not path.exists():
            return False
        lines = self._lines.get(mask, [])
        elsewhere = "another folder for the masks, or that file moved away"
        if not lines:
            return Problem(mask, "a file that is not of this command", elsewhere)
        digest = checksum(path) if is_file(path) else ""
        same = [line for line in lines if line.sha256 == digest]
        if not same:
            return Problem(mask, "a mask that was changed since it was written", elsewhere)
        names = tuple(map(str, images))
        if same[-1].images != names:
            found = f"the mask of another image, {same[-1].images[0]}"
            return Problem(mask, found, elsewhere)
        return same[-1].model == model and same[-1].state == state_of(images)

    def add(self, line: Line) -> None:
        """Write a line down; before the mask gets its name, so that none is without a line.

        Args:
            line: Of the mask.

        Raises:
            UnwritableError: The place takes no more files.
        """
        path = self._folder / _NAME
        text = json.dumps(asdict(line), ensure_ascii=False)
        with writing(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            # on a line of its own also where the last one was cut
            start = "\n" if not _ends_line(path) else ""
            with path.open("ab") as file:
                file.write(f"{start}{text}\n".encode(errors="surrogateescape"))
                file.flush()
                os.fsync(file.fileno())
        self._lines[line.mask].append(line)


def state_of(images: Sequence[Path]) -> str:
    """Size and date of files: another one, and a mask is made anew.

    Args:
        images: The files.

    Returns:
        A text; ``gone`` if one is not there any more.
    """
    try:
        states = [path.stat() for path in images]
    except OSError:  # told when they are read
        return "gone"
    size = sum(state.st_size for state in states)
    return f"{size} bytes, {max(state.st_mtime_ns for state in states)} ns"


def _ends_line(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _content(path: Path) -> str:
    try:
        return read_bounded(path, _MOST_BYTES).decode(errors="replace")
    except (OSError, ValueError) as error:
        found = f"an unreadable file ({error})"
        problem = Problem(path.name, found, "the record of the masks here, or another folder")
        raise DataError(str(path.parent), [problem]) from None


def _read(text: str) -> Line | None:
    try:
        line = Line(**json.loads(text))
        texts = [line.mask, line.state, line.model, line.sha256, *line.images]
    except (ValueError, TypeError, RecursionError):
        return None
    if not all(isinstance(one, str) for one in texts):
        return None
    return replace(line, images=tuple(line.images))
