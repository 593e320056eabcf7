"""NIfTI volumes with their masks, matched by name: no list, no description.

::

    id001_ct.nii.gz       id001_lungs.nii.gz        side by side
    id001.nii.gz          id001_mask.nii.gz
    P1/ct.nii.gz          P1/seg.nii.gz             a folder for each patient
    Image/id001.nii.gz    Mask/id001_label.nii.gz   two folders

Which of two is the mask is told by its name or folder; where they do not tell, by its
values, and a note says so. Folders of BraTS, nnU-Net and the Decathlon have layouts of
their own and are left to them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seglib.data.dataset import Dataset, Item
from seglib.data.layout_brats import find_brats
from seglib.data.layout_decathlon import find_decathlon
from seglib.data.layout_nnunet import find_nnunet
from seglib.data.pair_names import natural
from seglib.data.patients import look_like_slices, patients_by_pattern
from seglib.data.picture import Picture
from seglib.data.place import Place
from seglib.data.readers import read_array
from seglib.data.source import name_of
from seglib.data.spec import DataSpec
from seglib.data.volume_names import Key, Volume, group_volumes, hold_pairs, nifti_files
from seglib.data.volume_values import find_target, in_hounsfield, window_note
from seglib.errors import DataError, Problem

__all__ = ["find_nifti", "holds_few_values", "read_nifti_pairs"]

MOST_MASK_VALUES = 16
"""An image without a mask by name has more values than this in its middle slice."""


def find_nifti(root: Path) -> list[Place]:
    """The folder under which volumes lie with their masks.

    Args:
        root: Where to look.

    Returns:
        One place, or none.
    """
    taken = {
        folder
        for find in (find_brats, find_nnunet, find_decathlon)
        for place in find(root)
        for folder in place.folders
    }
    paths = [path for path in nifti_files(root) if path.parent not in taken]
    if not hold_pairs(group_volumes(paths).values()):
        return []
    folders = tuple(dict.fromkeys(path.parent for path in paths))
    return [Place(root, Path(os.path.commonpath(folders)), folders)]


def read_nifti_pairs(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers the volumes and masks of a folder.

    Args:
        spec: Patient, channels, target and the like.
        place: Where they lie.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    notes: list[str] = []
    paths = [path for path in nifti_files(place.root) if path.parent in place.folders]
    pairs = _pairs(group_volumes(paths), place, problems=problems, notes=notes)
    items = _items(spec, pairs, problems=problems, notes=notes)
    target = find_target(spec, [item.masks[0] for item in items], problems, notes)
    first = _first(items, problems)
    if problems or target is None or first is None:
        return None
    channels = _channels(spec, first, items[0].image_files[0], problems)
    normalise = spec.normalise
    if normalise == "auto":
        normalise = "window" if in_hounsfield(first) else "zscore"
        if normalise == "window":
            notes.append(window_note(spec.window_hu))
    if problems:
        return None
    return Dataset(place.home, "nifti", channels, target, items, normalise, tuple(notes))


def _pairs(
    groups: Mapping[Key, Sequence[Volume]],
    place: Place,
    *,
    problems: list[Problem],
    notes: list[str],
) -> dict[str, tuple[Path, Path]]:
    """Case -> image and mask."""
    names = _case_names(groups, place.home)
    decided: dict[tuple[str, ...], str] = {}
    pairs = {}
    for key, group in groups.items():
        masks = [one for one in group if one.role == "mask"]
        others = [one for one in group if one.role != "mask"]
        if not masks and len(others) == 2:
            mask = _mask_by_values(others, decided, place, problems=problems, notes=notes)
            if mask is None:
                continue
            others.remove(mask)
            masks = [mask]
        if len(masks) == len(others) == 1:
            pairs[names[key]] = (others[0].path, masks[0].path)
        else:
            problems.append(_lone(names[key], masks, others, place))
    return pairs


def _case_names(groups: Mapping[Key, Sequence[Volume]], home: Path) -> dict[Key, str]:
    """A name for each case; with its folder before it, where two would share one."""
    short = {key: key[1] or key[0].name for key in groups}
    counts = Counter(short.values())
    return {
        key: name if counts[name] == 1 else str((key[0] / key[1]).relative_to(home))
        for key, name in short.items()
    }


def _lone(case: str, masks: Sequence[Volume], others: Sequence[Volume], place: Place) -> Problem:
    """The fault of a group that is not one image with one mask."""
    for several, kind in ((others, "image"), (masks, "mask")):
        if len(several) > 1:
            names = ", ".join(one.path.name for one in several)
            return Problem(case, f"{len(several)} {kind}s ({names})", "one")
    alone = (*others, *masks)[0]
    found, lacking = ("a mask", "an image") if masks else ("an image", "a mask")
    wanted = (
        f"{alone.case or 'one'} beside it, with an ending such as {'_ct' if masks else '_mask'}"
    )
    return Problem(name_of(alone.path, place.home), f"{found} without {lacking}", wanted)


def _mask_by_values(
    two: Sequence[Volume],
    decided: dict[tuple[str, ...], str],
    place: Place,
    *,
    problems: list[Problem],
    notes: list[str],
) -> Volume | None:
    """The one of two that holds few whole numbers; asked once for all files named alike."""
    endings = tuple(one.ending for one in two)
    if endings not in decided:
        try:
            few = [holds_few_values(one.path) for one in two]
        except DataError as error:
            problems += error.problems
            return None
        if few[0] == few[1]:
            names = " and ".join(name_of(one.path, place.home) for one in two)
            wanted = "one whose name ends in _mask, _seg, _label or the like"
            problems.append(Problem(names, "two volumes that may both be the image", wanted))
            return None
        decided[endings] = endings[few.index(True)]
        mask = two[few.index(True)]
        notes.append(
            f"{mask.path.name} is taken for the mask of {two[few.index(False)].path.name}, as it "
            "holds few whole numbers, and so are all files named alike"
        )
    return two[endings.index(decided[endings])]


def holds_few_values(path: Path) -> bool:
    """Do the values of a volume say that it is a mask: whole numbers, and few of them?

    Args:
        path: The file.

    Returns:
        Yes or no, by its middle slice.

    Raises:
        DataError: It cannot be read.
    """
    array = read_array(path).array
    middle = np.unique(array[len(array) // 2])
    return bool(middle.size <= MOST_MASK_VALUES and (middle % 1 == 0).all())


def _items(
    spec: DataSpec,
    pairs: Mapping[str, tuple[Path, Path]],
    *,
    problems: list[Problem],
    notes: list[str],
) -> tuple[Item, ...]:
    """One item a case; the case is the patient where ``data.patient`` does not say."""
    cases = sorted(pairs, key=natural)
    groups = cases
    if spec.patient is not None:
        groups = patients_by_pattern(spec.patient, cases, problems)
    elif look_like_slices(cases):
        notes.append(
            "each case counts as its own patient, though their names look as if some were of "
            f"the same, such as {cases[0]} and {cases[1]}: data.patient tells who is who"
        )
    return tuple(
        Item(case, group, (pairs[case][0],), (pairs[case][1],))
        for case, group in zip(cases, groups, strict=True)
    )


def _first(items: Sequence[Item], problems: list[Problem]) -> Picture | None:
    """The first image, for what all should have in common."""
    if not items:
        return None
    try:
        return read_array(items[0].images[0])
    except DataError as error:
        problems += error.problems
        return None


def _channels(
    spec: DataSpec, first: Picture, path: Path, problems: list[Problem]
) -> tuple[str, ...]:
    """Names of the channels, as many as the first image has."""
    count = first.array.shape[3] if first.array.ndim == 4 else 1
    names = spec.channels or (
        ("grey",) if count == 1 else tuple(f"channel_{number}" for number in range(count))
    )
    if len(names) != count:
        found = f"{len(names)} names ({', '.join(names)})"
        wanted = f"{count}, as {path.name} has {count} channel{'s' * (count > 1)}"
        problems.append(Problem("data.channels", found, wanted))
    elif len(set(names)) < count:
        problems.append(Problem("data.channels", "a channel named twice", "each once"))
    return tuple(names)
