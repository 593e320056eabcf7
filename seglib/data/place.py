"""Where a data set lies: what each layout looks for in a folder, by names alone."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from seglib.errors import DataError, Problem

__all__ = [
    "IMAGE_FOLDERS",
    "MASK_FOLDERS",
    "Place",
    "meant_instead",
    "paired_folders",
    "visible_files",
    "walk",
]

IMAGE_FOLDERS = ("image", "images", "img", "imgs")
MASK_FOLDERS = ("mask", "masks", "label", "labels")
_IMAGES = (*IMAGE_FOLDERS, "imagestr", "cxr_png")
_MASKS = (*MASK_FOLDERS, "labelstr", "leftmask", "rightmask")
_NEAR = 2
_DEEP, _MOST_FOLDERS = 5, 2000  # how far to look for what somebody may have meant


@dataclass(frozen=True)
class Place:
    """A folder that looks like one data set of some layout.

    Args:
        root: The folder that the user gave.
        home: The folder that holds the data set: ``root`` or a folder under it.
        folders: The folders whose files belong to it, in an order that its layout
            knows. The files right in them are left to no other layout.
    """

    root: Path
    home: Path
    folders: tuple[Path, ...]


def walk(root: Path, depth: int) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders under a root with the names of their folders and files, sorted.

    Names that begin with a dot or, for folders, an underscore are passed by: they
    hold what systems and archives leave behind. Links are followed, and each folder is
    seen once, by its shortest name: so links in a circle have an end.

    Args:
        root: The first folder.
        depth: How many steps down to go.

    Yields:
        Folder, names of its folders, names of its files; a folder before those in it. Names
        of folders that the caller removes are not gone into.

    Raises:
        DataError: A folder may not be looked into.
    """
    seen = {_identity(root)}
    waiting = deque([(root, 0)])
    while waiting:
        here, steps = waiting.popleft()
        folders, files = _listing(here)
        yield here, folders, files
        for name in folders if steps < depth else ():
            below = here / name
            if (identity := _identity(below)) not in seen:
                seen.add(identity)
                waiting.append((below, steps + 1))


def _listing(folder: Path) -> tuple[list[str], list[str]]:
    """Names of folders and of files, sorted; of folders, those that are no links first."""
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not _is_folder(entry):
                    files += [entry.name] if entry.name[0] != "." else []
                elif entry.name[0] not in "._":
                    folders.append((entry.is_symlink(), entry.name))
    except OSError as error:
        raise _closed(folder, error) from None
    return [name for _, name in sorted(folders)], sorted(files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; whoever reads it as a file will say so
        return False


def _identity(folder: Path) -> tuple[int, int]:
    try:
        state = folder.stat()
    except OSError as error:
        raise _closed(folder, error) from None
    return state.st_dev, state.st_ino


def _closed(folder: Path, error: OSError) -> DataError:
    found = f"no way to look into it ({error.strerror})"
    return DataError(str(folder), [Problem("folder", found, "one that may be read")])


def visible_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Files of a folder with one of these suffixes, sorted.

    Args:
        folder: The folder; one that does not exist holds nothing.
        suffixes: In lower case, with the dot.

    Returns:
        The files, hidden ones left out.
    """
    if not folder.is_dir():
        return []
    names = _listing(folder)[1]
    return [folder / name for name in names if name.lower().endswith(tuple(suffixes))]


def meant_instead(root: Path) -> str:
    """Ask for the folder that was meant where one too far in or out was given.

    Args:
        root: A folder that holds no data set.

    Returns:
        A hint: its parent if masks or images lie beside it, else the first folder deeper in
        that has both; empty if there is neither.
    """
    with suppress(DataError):
        beside = {name.lower() for name in _listing(root.parent)[0]}
        for these, others in ((_IMAGES, _MASKS), (_MASKS, _IMAGES)):
            if root.name.lower() in these and beside.intersection(others):
                return f"did you mean {root.parent}?"
        for here, below, _ in islice(walk(root, _DEEP), _MOST_FOLDERS):
            names = {name.lower() for name in below}
            far = len(here.relative_to(root).parts) > _NEAR  # nearer ones were looked at
            if far and names.intersection(_IMAGES) and names.intersection(_MASKS):
                return f"did you mean {here}?"
    return ""


def paired_folders(root: Path) -> list[Place]:
    """Every image folder beside a mask folder, two levels down at most.

    Args:
        root: Where to look.

    Returns:
        A place for each, its folders being that of the images and that of the masks.
    """
    found = []
    for here, subfolders, _ in walk(root, _NEAR):
        images = [name for name in subfolders if name.lower() in IMAGE_FOLDERS]
        masks = [name for name in subfolders if name.lower() in MASK_FOLDERS]
        found += [Place(root, here, (here / i, here / m)) for i in images for m in masks]
        subfolders[:] = [name for name in subfolders if name not in images + masks]
    return found
