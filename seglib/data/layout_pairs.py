"""Paired folders: images in one, masks in another, matched by name and never by order.

::

    Image/x.png        Mask/x.png           the same name, or one of MASK_SUFFIXES after it
    CT/Image/Im3_40.png  CT/Mask/Im3_40_Mask.png

The patient comes from ``data.patient``, else a manifest, else the lab's pattern
``Im<patient>_<slice>``. A name that merely ends in a number is not taken for a
patient's slice: that guess would let near-identical slices straddle a split, or
merge patients, without anyone noticing.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seglib.data.dataset import Dataset, Item, target_from_classes
from seglib.data.manifest import Row, find_manifest, read_manifest
from seglib.data.readers import FLAT_SUFFIXES, read_array
from seglib.data.spec import DataSpec
from seglib.errors import DataError, Problem
from seglib.target import Target

__all__ = ["MASK_SUFFIXES", "is_pairs", "read_pairs"]

IMAGE_FOLDERS = ("image", "images", "img", "imgs")
MASK_FOLDERS = ("mask", "masks", "label", "labels")
MASK_SUFFIXES = ("_mask", "_Mask", "_Tumor", "_tumor", "_seg", "_label")

_LAB_NAME = re.compile(r"Im(?P<patient>\d+)_(?P<slice>\d+)")
_TRAILING_NUMBER = re.compile(r"(?P<begin>.*?)[_-]?(?P<slice>\d+)")
_SLICES_OF_A_PATIENT = r"(.+)[_-]\d+$"
_CHANNEL_NAMES = {1: ("grey",), 3: ("red", "green", "blue")}
_LAB_ORGANS = {"left_lung": (156,), "right_lung": (251,)}
_BINARY_VALUES = (1, 255)


@dataclass(frozen=True)
class _Folders:
    home: Path  # where Image and Mask lie
    images: Path
    masks: Path


def is_pairs(root: Path) -> bool:
    """Does the folder hold an image folder beside a mask folder, two levels down at most?"""
    return bool(_folders(root))


def read_pairs(spec: DataSpec, root: Path, problems: list[Problem]) -> Dataset | None:
    """Gathers the images and masks of paired folders.

    Args:
        spec: Patient, manifest, channels, target and the like.
        root: The folder.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    found = _folders(root)
    if len(found) > 1:
        places = ", ".join(f"{f.images.relative_to(root)}+{f.masks.name}" for f in found)
        problems.append(
            Problem(
                "data folder",
                f"{len(found)} data sets ({places})",
                "one",
                "give the folder of one of them",
            )
        )
        return None
    folders, notes = found[0], list[str]()
    rows = _rows(spec, root, folders, problems=problems, notes=notes)
    target = _target(spec, problems)
    items = _items(spec, rows, problems, notes)
    channels = _channels(spec, items[0].files[0], problems) if items else ()
    if problems or target is None:
        return None
    normalise = "percentile" if spec.normalise == "auto" else spec.normalise
    return Dataset(root, "pairs", channels, target, items, normalise, tuple(notes))


def _folders(root: Path) -> list[_Folders]:
    found = []
    for folder, subfolders, _ in os.walk(root, followlinks=True):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if name[0] not in "._")
        images = [name for name in subfolders if name.lower() in IMAGE_FOLDERS]
        masks = [name for name in subfolders if name.lower() in MASK_FOLDERS]
        found += [_Folders(here, here / i, here / m) for i in images for m in masks]
        deep = len(here.relative_to(root).parts) >= 2
        subfolders[:] = [] if deep else [n for n in subfolders if n not in images + masks]
    return found


def _rows(
    spec: DataSpec, root: Path, folders: _Folders, *, problems: list[Problem], notes: list[str]
) -> list[Row]:
    manifest = find_manifest(spec, root, folders.home, problems=problems, notes=notes)
    if manifest is None:
        return _pair_by_name(folders, problems)
    rows = read_manifest(manifest, folders.images, folders.masks, problems=problems)
    listed = {row.image for row in rows}
    others = sum(path not in listed for path in _flat_files(folders.images))
    if others:
        notes.append(f"{others} images are not in {manifest.name} and are left out")
    return rows


def _flat_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in FLAT_SUFFIXES and not path.name.startswith(".")
    )


def _pair_by_name(folders: _Folders, problems: list[Problem]) -> list[Row]:
    images, masks = defaultdict(list), defaultdict(list)
    for path in _flat_files(folders.images):
        images[path.stem].append(path)
    for path in _flat_files(folders.masks):
        masks[_image_stem(path.stem, images)].append(path)
    for kind, groups in (("image", images), ("mask", masks)):
        for stem, paths in groups.items():
            if len(paths) > 1:
                names = ", ".join(path.name for path in paths)
                problems.append(Problem(stem, f"{len(paths)} {kind}s ({names})", "one"))
    suffixes = ", ".join(dict.fromkeys(suffix.lower() for suffix in MASK_SUFFIXES))
    for stem in sorted(images.keys() - masks.keys()):
        place = f"{folders.images.name}/{images[stem][0].name}"
        wanted = f"{stem} in {folders.masks.name}, or that with one of {suffixes}"
        problems.append(Problem(place, "an image without a mask", wanted))
    for stem in sorted(masks.keys() - images.keys()):
        place = f"{folders.masks.name}/{masks[stem][0].name}"
        problems.append(
            Problem(place, "a mask without an image", f"{stem} in {folders.images.name}")
        )
    if not images and not masks:
        problems.append(
            Problem(folders.images.name, "no image", f"files {', '.join(FLAT_SUFFIXES)}")
        )
    both = sorted(images.keys() & masks.keys(), key=_natural)
    return [Row(images[stem][0], masks[stem][0]) for stem in both]


def _image_stem(mask_stem: str, images: Mapping[str, object]) -> str:
    """The image that a mask belongs to; the bare name, if there is no such image."""
    short = [mask_stem.removesuffix(s) for s in MASK_SUFFIXES if mask_stem.endswith(s)]
    for stem in (mask_stem, *short):
        if stem in images:
            return stem
    return short[0] if short else mask_stem


def _natural(text: str) -> list[tuple[int, str]]:
    """Sorts x2 before x10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _target(spec: DataSpec, problems: list[Problem]) -> Target | None:
    classes: Mapping[str, tuple[int, ...]] | None = spec.classes
    if classes is None and spec.target == "binary":
        values = tuple(value for value in _BINARY_VALUES if value not in spec.background)
        classes = {"foreground": values}
    elif classes is None and spec.target == "organs":
        classes = _LAB_ORGANS
    elif classes is None:
        found = "not given, with data.target: regions"
        problems.append(Problem("data.classes", found, "class names with their grey values"))
        return None
    return target_from_classes(spec, classes, problems)


def _channels(spec: DataSpec, image: Path, problems: list[Problem]) -> tuple[str, ...]:
    try:
        array = read_array(image).array
    except DataError as error:
        problems.extend(error.problems)
        return ()
    count = array.shape[2] if array.ndim == 3 else 1
    names = spec.channels or _CHANNEL_NAMES.get(count, ())
    if len(names) != count:
        problems.append(
            Problem(
                "data.channels",
                f"{len(names)} names ({', '.join(names)})",
                f"{count}, as {image.name} has {count} channel{'s' * (count > 1)}",
            )
        )
    elif len(set(names)) < count:
        problems.append(Problem("data.channels", "a channel named twice", "each once"))
    return tuple(names)


def _items(
    spec: DataSpec, rows: Sequence[Row], problems: list[Problem], notes: list[str]
) -> tuple[Item, ...]:
    groups = _groups(spec, rows, problems, notes)
    items = []
    for row, group in zip(rows, groups, strict=True):
        number = _TRAILING_NUMBER.fullmatch(row.image.stem)
        place = int(number["slice"]) if number and row.slice is None else row.slice
        case = group if spec.case_by == "patient" else row.image.stem
        items.append(Item(case, group, (row.image,), (row.mask,), place))
    if spec.case_by == "image":
        repeated = [
            stem for stem, count in Counter(item.case for item in items).items() if count > 1
        ]
        problems.extend(Problem(stem, "two images of this name", "one") for stem in repeated)
    return _ordered(items, notes)


def _groups(
    spec: DataSpec, rows: Sequence[Row], problems: list[Problem], notes: list[str]
) -> list[str]:
    if spec.patient is not None:
        return [_patient_by_pattern(spec.patient, row.image, problems) for row in rows]
    if all(row.patient for row in rows):
        return [row.patient for row in rows]
    matches = [_LAB_NAME.fullmatch(row.image.stem) for row in rows]
    if all(matches):
        return [match["patient"] for match in matches if match]
    notes.append(
        "no patient known: each image counts as its own patient; "
        "give data.patient or a manifest.csv" + _suggestion(row.image.stem for row in rows)
    )
    return [row.image.stem for row in rows]


def _patient_by_pattern(pattern: str, image: Path, problems: list[Problem]) -> str:
    match = re.search(pattern, image.stem)
    patient = match.group(1) if match else None
    if not patient:
        problems.append(Problem(image.name, "no match of data.patient", f"a name with {pattern}"))
    return patient or ""


def _suggestion(stems: Iterable[str]) -> str:
    """What to write if the names are slices of patients, as they look to be."""
    matches = [re.search(_SLICES_OF_A_PATIENT, stem) for stem in stems]
    begins = Counter(match.group(1) for match in matches if match)
    if not begins or 3 * len(begins) > sum(begins.values()):
        return ""
    return (
        f" ({sum(begins.values())} names look like slices of {len(begins)}, such as "
        f"'{min(begins)}'; if those are patients: data.patient: '{_SLICES_OF_A_PATIENT}')"
    )


def _ordered(items: Sequence[Item], notes: list[str]) -> tuple[Item, ...]:
    """By case and slice; a case of one image has no slice, a doubtful order is made by name."""
    cases: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        cases[item.case].append(item)
    ordered: list[Item] = []
    doubtful = []
    for case in sorted(cases, key=_natural):
        stack = sorted(cases[case], key=lambda item: _natural(item.files[0].stem))
        numbers = [item.slice for item in stack if item.slice is not None]
        if len(stack) == 1:
            ordered.append(replace(stack[0], slice=None))
        elif len(set(numbers)) == len(stack):
            ordered += sorted(stack, key=lambda item: item.slice or 0)
        else:
            doubtful.append(case)
            ordered += [replace(item, slice=place) for place, item in enumerate(stack)]
    if doubtful:
        notes.append(
            f"{len(doubtful)} cases (such as {doubtful[0]}) have slice numbers that are missing "
            "or repeat: their slices are taken in the order of names"
        )
    return tuple(ordered)
