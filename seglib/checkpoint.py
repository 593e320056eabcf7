"""A training run's state on disk: written whole or not at all, checked before it is believed."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from seglib.errors import Problem, RunError
from seglib.files import flush, replacing

__all__ = ["CheckpointError", "is_whole", "load_checkpoint", "previous_of", "save_checkpoint"]

FORMAT = 1

_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


class CheckpointError(RunError):
    """No checkpoint of a trial can be read."""


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write ``state`` to ``path``, keeping what stood there as ``path`` + ``.previous``.

    The new file gets a temporary name, is flushed to the disk and then renamed:
    a death at any moment leaves a whole file under one of the two names.

    Args:
        state: Tensors, numbers, strings and plain containers of them.
        path: Where it goes; the folder is made if needed.

    Raises:
        UnwritableError: The place takes no more files.
    """
    with replacing(path) as temporary:
        _write({"format": FORMAT, **state}, temporary)
        flush(temporary)
        if path.exists():
            path.replace(previous_of(path))
    flush(path.parent)


def load_checkpoint(path: Path) -> tuple[dict[str, Any], str]:
    """The newest whole state at ``path``, and a sentence if it is not the last one written.

    Every byte is checked against the checksums in the file (a torch file is a zip
    archive), and nothing is unpickled but tensors and plain containers.

    Args:
        path: As given to :func:`save_checkpoint`.

    Returns:
        The state, and the sentence or an empty text.

    Raises:
        CheckpointError: Neither the file nor its predecessor can be read.
    """
    faults: list[Problem] = []
    for candidate in (path, previous_of(path)):
        if not candidate.exists():
            continue
        try:
            state = _read(candidate)
        except _UNREADABLE as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            faults.append(Problem(candidate.name, f"a damaged checkpoint ({reason})"))
            continue
        note = f"{faults[0]}; went on from the one before" if faults else ""
        return state, note
    if not faults:
        faults.append(Problem(path.name, "nothing", "a checkpoint"))
    raise CheckpointError(str(path.parent), faults)


def is_whole(path: Path) -> bool:
    """Is there a checkpoint, and does every byte of it agree with its checksums?

    Args:
        path: The file.

    Returns:
        Whether it can be believed.
    """
    try:
        _check(path)
    except _UNREADABLE:
        return False
    return True


def previous_of(path: Path) -> Path:
    """Name under which :func:`save_checkpoint` keeps the state before."""
    return path.with_name(path.name + ".previous")


def _write(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # what the system refused lies under what torch then stumbled over
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _check(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"checksum of {damaged} is wrong")


def _read(path: Path) -> dict[str, Any]:
    _check(path)
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state.get("format") != FORMAT:
        raise ValueError(f"format {state.get('format')} is not {FORMAT}")
    return state
