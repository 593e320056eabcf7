"""The Medical Segmentation Decathlon: ``dataset.json`` lists images and labels.

::

    dataset.json            "training": [{"image": "./imagesTr/x.nii.gz", "label": ...}]
    imagesTr/x.nii.gz       all channels in one file, the fourth axis
    labelsTr/x.nii.gz
    imagesTs/y.nii.gz       without truth: not looked at
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from seglib.data.challenge import challenge_notes, challenge_patients, training_places
from seglib.data.dataset import Dataset, Item
from seglib.data.dataset_json import DATASET_JSON, Description, read_description
from seglib.data.pair_names import natural
from seglib.data.place import Place, visible_files
from seglib.data.readers import NIFTI_SUFFIXES, file_stem
from seglib.data.spec import DataSpec
from seglib.errors import Problem
from seglib.foreign import is_file

__all__ = ["find_decathlon", "read_decathlon"]

_ENTRY = '{"image": "./imagesTr/x.nii.gz", "label": "./labelsTr/x.nii.gz"}'


def find_decathlon(root: Path) -> list[Place]:
    """Folders of a Decathlon task, two levels down at most.

    Args:
        root: Where to look.

    Returns:
        A place for each.
    """
    return training_places(root, numbered=False)


def read_decathlon(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers the images and labels that ``dataset.json`` lists.

    Args:
        spec: Target and the like.
        place: Where they lie.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    description = read_description(place.home, problems)
    if description is None:
        return None
    target = description.target(spec, problems)
    pairs = _listed(description, place.home, problems)
    _check_channels(spec, description, problems)
    cases = [file_stem(image) for image, _ in pairs]
    groups = challenge_patients(spec, cases, problems)
    if problems or target is None:
        return None
    items = [
        Item(case, group, (image,), (label,))
        for case, group, (image, label) in zip(cases, groups, pairs, strict=True)
    ]
    return Dataset(
        root=place.home,
        layout="decathlon",
        channels=description.channels,
        target=target,
        items=tuple(sorted(items, key=lambda item: natural(item.case))),
        normalise=description.normalise(spec),
        notes=(*_unlisted(place, pairs), *challenge_notes(place, description, len(items))),
    )


def _listed(
    description: Description, home: Path, problems: list[Problem]
) -> list[tuple[Path, Path]]:
    """Image and label of each entry under ``training``; both must be there."""
    place = f"{DATASET_JSON}: training"
    entries = description.content.get("training")
    if not isinstance(entries, list) or not entries:
        problems.append(Problem(place, "no list of images and labels", f"[{_ENTRY}, ...]"))
        return []
    pairs, odd = [], []
    for entry in entries:
        names = [entry.get(key) if isinstance(entry, dict) else None for key in ("image", "label")]
        if all(isinstance(name, str) and name for name in names):
            pairs.append((home / str(names[0]), home / str(names[1])))
        else:
            odd.append(entry)
    if odd:
        problems.append(Problem(place, f"{len(odd)} odd entries, such as {odd[0]!r}", _ENTRY))
    for number, kind in enumerate(("image", "label")):
        files = [pair[number] for pair in pairs]
        problems += [
            Problem(os.path.relpath(path, home), "no such file", f"the {kind} that {place} names")
            for path in files
            if not is_file(path)
        ]
        problems += [
            Problem(place, f"{path.name} {count} times as {kind}", "once")
            for path, count in Counter(files).items()
            if count > 1
        ]
    return pairs


def _check_channels(spec: DataSpec, description: Description, problems: list[Problem]) -> None:
    """All channels are in one file, so none can be left out while reading."""
    if spec.channels not in (None, description.channels):
        found = ", ".join(spec.channels or ())
        wanted = f"{', '.join(description.channels)}, as they lie in each file"
        problems.append(Problem("data.channels", found, wanted, "leave data.channels away"))


def _unlisted(place: Place, pairs: Sequence[tuple[Path, Path]]) -> list[str]:
    notes = []
    for number, folder in enumerate(place.folders[:2]):
        listed = {pair[number] for pair in pairs}
        others = sum(path not in listed for path in visible_files(folder, NIFTI_SUFFIXES))
        if others:
            notes.append(
                f"{others} files of {folder.name} are not in {DATASET_JSON} and are left out"
            )
    return notes
