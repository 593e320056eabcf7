"""Chest X-rays with a mask file for each lung, as the Montgomery set has them.

::

    CXR_png/x.png      ManualMask/leftMask/x.png      ManualMask/rightMask/x.png
    Image/x.png        leftMask/x.png                 rightMask/x.png

The image folder is ``CXR_png`` or one of ``IMAGE_FOLDERS``. There is one image of
each patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from seglib.data.dataset import Dataset, Item, target_from_classes
from seglib.data.layout_pairs import flat_channels
from seglib.data.pair_names import natural, pair_by_name
from seglib.data.patients import patients_by_pattern
from seglib.data.place import IMAGE_FOLDERS, Place, visible_files, walk
from seglib.data.readers import FLAT_SUFFIXES
from seglib.data.spec import DataSpec
from seglib.errors import Problem

__all__ = ["find_montgomery", "read_montgomery"]

_IMAGES = ("cxr_png", *IMAGE_FOLDERS)
_SIDES = ("leftmask", "rightmask")  # grey values 1 and 2 of an item with these masks
_ORGANS = {"left_lung": (1,), "right_lung": (2,)}
_CLASSES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "binary": {"lung": (1, 2)},
    "organs": _ORGANS,
    "regions": _ORGANS,
}


def find_montgomery(root: Path) -> list[Place]:
    """Every image folder near a folder for each lung, two levels down at most.

    Args:
        root: Where to look.

    Returns:
        A place for each; its folders are images, left masks, right masks.
    """
    found = []
    for here, subfolders, _ in walk(root, 2):
        images = [here / name for name in subfolders if name.lower() in _IMAGES]
        homes = [here, *(here / name for name in subfolders if name.lower() == "manualmask")]
        masks = [sides for home in homes if (sides := _sides(home))]
        found += [Place(root, here, (folder, *sides)) for folder in images for sides in masks]
    return found


def read_montgomery(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers X-rays with both their masks.

    Args:
        spec: Target and the like.
        place: The three folders.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    images, *sides = place.folders
    left, right = (_masks((images, side), problems) for side in sides)
    classes = spec.classes if spec.classes is not None else _CLASSES[spec.target]
    # A file of one lung may be 0 and 1 or 0 and 255; what it holds became 1 or 2.
    target = target_from_classes(spec, classes, problems)
    if not visible_files(images, FLAT_SUFFIXES):
        problems.append(Problem(images.name, "no image", f"files {', '.join(FLAT_SUFFIXES)}"))
    both = sorted(left.keys() & right.keys(), key=lambda image: natural(image.stem))
    groups = [image.stem for image in both]
    if spec.patient is not None:
        groups = patients_by_pattern(spec.patient, groups, problems)
    channels = flat_channels(spec, both, problems)[0] if both else ()
    if problems or target is None:
        return None
    items = tuple(
        Item(image.stem, group, (image,), (left[image], right[image]))
        for image, group in zip(both, groups, strict=True)
    )
    normalise = "percentile" if spec.normalise == "auto" else spec.normalise
    return Dataset(place.home, "montgomery", channels, target, items, normalise)


def _sides(home: Path) -> tuple[Path, ...]:
    """The folders of the left and the right lung, or none if one is missing."""
    if not home.is_dir():
        return ()
    named = {path.name.lower(): path for path in home.iterdir() if path.is_dir()}
    return tuple(named[side] for side in _SIDES) if all(side in named for side in _SIDES) else ()


def _masks(folders: Sequence[Path], problems: list[Problem]) -> dict[Path, Path]:
    faults: list[Problem] = []
    images, masks = (visible_files(folder, FLAT_SUFFIXES) for folder in folders)
    rows = pair_by_name(images, masks, folders=folders, problems=faults)
    # Each side asks about the images, whose own faults are the same both times.
    problems += [fault for fault in faults if fault not in problems]
    return {row.image: row.mask for row in rows}
