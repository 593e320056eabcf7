"""What the names of volumes tell: which belong together, and which of them is the mask.

=====================  =========  ========
name without suffix    case       role
=====================  =========  ========
``id001_ct``           ``id001``  image
``id001_lungs``        ``id001``  mask
``id001``              ``id001``  not told
``mask``               empty      mask
=====================  =========  ========

A folder ``Image`` or ``Mask`` tells the role of all files in it. An empty case is that
of the folder.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from seglib.data.place import IMAGE_FOLDERS, MASK_FOLDERS, walk
from seglib.data.readers import NIFTI_SUFFIXES, file_stem

__all__ = ["Volume", "group_volumes", "hold_pairs", "nifti_files", "split_name"]

Role = Literal["image", "mask", ""]
Key = tuple[Path, str]

MAX_DEPTH = 6
"""Steps down from the folder of the user; hospitals nest patient, study and series."""

_MASK_WORD = re.compile(
    "masks?|msk|segm?|segmentations?|labels?|roi|gt|(ground)?truth|annotations?|contours?"
    "|lungs?|organs?|tumou?rs?|lesions?",
    re.IGNORECASE,
)
_IMAGE_WORD = re.compile("im|img|images?|ct|mri?|pet|scan|vol|volume|orig|original", re.IGNORECASE)
_LAST_WORD = re.compile(r"(?:(?P<case>.*)[-_. ])?(?P<word>[^-_. ]+)")


@dataclass(frozen=True)
class Volume:
    """A NIfTI file, and what its name and its folder tell.

    Args:
        path: The file.
        home: Its folder; that around an ``Image`` or ``Mask`` folder.
        case: What it has in common with the file that belongs to it.
        role: Empty where the name does not tell.
    """

    path: Path
    home: Path
    case: str
    role: Role

    @property
    def ending(self) -> str:
        """What the name has besides the case."""
        return file_stem(self.path)[len(self.case) :].strip("-_. ")


def nifti_files(root: Path) -> list[Path]:
    """All NIfTI files under a folder, hidden ones left out.

    Args:
        root: The folder.

    Returns:
        The files, folder by folder.
    """
    return [
        folder / name
        for folder, _, names in walk(root, MAX_DEPTH)
        for name in names
        if name.lower().endswith(NIFTI_SUFFIXES)
    ]


def split_name(stem: str) -> tuple[str, Role]:
    """Split a name before its last word, where that word tells what the file is.

    Args:
        stem: A file name without its suffix.

    Returns:
        The case and the role; the whole name and an empty role where it does not tell.
    """
    match = _LAST_WORD.fullmatch(stem)
    if match is not None and _MASK_WORD.fullmatch(match["word"]):
        return match["case"] or "", "mask"
    if match is not None and _IMAGE_WORD.fullmatch(match["word"]):
        return match["case"] or "", "image"
    return stem, ""


def group_volumes(paths: Iterable[Path]) -> dict[Key, list[Volume]]:
    """The volumes that by their names belong together.

    ``a`` belongs to ``a_mask``, and ``a_ct`` to ``a_lungs``. Where a last word tells
    nothing it counts as an ending if that makes two of a kind: ``a`` and ``a_kidney``.

    Args:
        paths: NIfTI files.

    Returns:
        Home and case -> volumes; images that have no mask stand alone.
    """
    volumes = [_volume(path) for path in paths]
    # `a_lung` is no mask of `a` but the image of `a_lung_mask`.
    masks = {(one.home, one.case) for one in volumes if one.role == "mask"}
    groups: dict[Key, list[Volume]] = defaultdict(list)
    for one in volumes:
        stem = file_stem(one.path)
        if one.role == "mask" and (one.home, stem) in masks and one.case != stem:
            one = replace(one, case=stem, role="image")
        groups[one.home, one.case].append(one)
    return _with_unknown_endings(groups)


def hold_pairs(groups: Iterable[Sequence[Volume]]) -> bool:
    """Tell whether such groups look like images with masks.

    Args:
        groups: As :func:`group_volumes` makes them.

    Returns:
        Two volumes belong together, or there are masks and other volumes.
    """
    roles = {one.role == "mask" for group in groups for one in group}
    return len(roles) == 2 or any(len(group) == 2 for group in groups)


def _volume(path: Path) -> Volume:
    stem = file_stem(path)
    case, role = split_name(stem)
    folder = path.parent.name.lower()
    if folder in MASK_FOLDERS:
        return Volume(path, path.parent.parent, case or stem, "mask")
    if folder in IMAGE_FOLDERS:
        return Volume(path, path.parent.parent, case or stem, "image")
    return Volume(path, path.parent, case, role)


def _with_unknown_endings(groups: dict[Key, list[Volume]]) -> dict[Key, list[Volume]]:
    """Join lone volumes with the one other volume that has the rest of their name."""
    shorter: dict[Key, list[Key]] = defaultdict(list)
    for home, case in groups:
        match = _LAST_WORD.fullmatch(case)
        if len(groups[home, case]) == 1 and match is not None and match["case"]:
            shorter[home, match["case"]].append((home, case))
    joined = dict(groups)
    for key, lone in shorter.items():
        if len(groups.get(key, ())) + len(lone) == 2 and all(key in joined for key in lone):
            parts = [*joined.pop(key, ()), *(one for key in lone for one in joined.pop(key))]
            joined[key] = [replace(one, case=key[1]) for one in parts]
    return joined
