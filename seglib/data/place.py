"""Where a data set lies: what each layout looks for in a folder, by names alone."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["IMAGE_FOLDERS", "MASK_FOLDERS", "Place", "paired_folders", "visible_files", "walk"]

IMAGE_FOLDERS = ("image", "images", "img", "imgs")
MASK_FOLDERS = ("mask", "masks", "label", "labels")


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
    hold what systems and archives leave behind.

    Args:
        root: The first folder.
        depth: How many steps down to go.

    Yields:
        Folder, names of its folders, names of its files. Names of folders that the
        caller removes are not gone into.
    """
    for folder, subfolders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if name[0] not in "._")
        names = list(subfolders)
        yield here, names, sorted(name for name in files if name[0] != ".")
        deep = len(here.relative_to(root).parts) >= depth
        subfolders[:] = [] if deep else names


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
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(tuple(suffixes)) and not path.name.startswith(".")
    )


def paired_folders(root: Path) -> list[Place]:
    """Every image folder beside a mask folder, two levels down at most.

    Args:
        root: Where to look.

    Returns:
        A place for each, its folders being that of the images and that of the masks.
    """
    found = []
    for here, subfolders, _ in walk(root, 2):
        images = [name for name in subfolders if name.lower() in IMAGE_FOLDERS]
        masks = [name for name in subfolders if name.lower() in MASK_FOLDERS]
        found += [Place(root, here, (here / i, here / m)) for i in images for m in masks]
        subfolders[:] = [name for name in subfolders if name not in images + masks]
    return found
