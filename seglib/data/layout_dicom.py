"""Folders of DICOM files, told by what the files begin with; names and nesting do not matter.

A series is one item: its slices are a stack, an X-ray or a file with several frames is an
item by itself. The patient is the PatientID. The truth is a NIfTI file anywhere in the folder
that is named after the series: its folder, PatientID, SeriesInstanceUID or case, with
or without an ending such as ``_mask``.

Only headers are read here.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from seglib.data.dataset import Dataset, Item
from seglib.data.dicom_series import XRAY, Series, find_series, holds_dicom
from seglib.data.place import Place, paired_folders, visible_files, walk
from seglib.data.readers import FLAT_SUFFIXES, file_stem
from seglib.data.source import name_of
from seglib.data.spec import DataSpec
from seglib.data.volume_names import (
    MAX_DEPTH,
    group_volumes,
    nifti_files,
    split_name,
)
from seglib.data.volume_values import find_target, normalise_of, window_note
from seglib.errors import Problem

__all__ = ["find_dicom", "read_dicom_folder"]


def find_dicom(root: Path) -> list[Place]:
    """The folder under which DICOM files lie, with the NIfTI files that may be their masks.

    DICOM images that lie in an ``Image`` folder beside a ``Mask`` folder of pictures are
    left to the layout of pairs.

    Args:
        root: Where to look.

    Returns:
        One place, or none.
    """
    paired = {
        place.folders[0]
        for place in paired_folders(root)
        if visible_files(place.folders[1], FLAT_SUFFIXES)
    }
    folders = [
        folder
        for folder, _, names in walk(root, MAX_DEPTH)
        if folder not in paired and holds_dicom(folder, names)
    ]
    if not folders:
        return []
    masks = nifti_files(root)
    # Volumes that come in twos are images with masks: a data set of their own.
    if all(len(group) == 1 for group in group_volumes(masks).values()):
        folders += [path.parent for path in masks]
    folders = list(dict.fromkeys(folders))
    return [Place(root, Path(os.path.commonpath(folders)), tuple(folders))]


def read_dicom_folder(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers the series of a folder and the masks that are named after them.

    Args:
        spec: Patient, channels, target and the like.
        place: Where they lie.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    notes: list[str] = []
    found = find_series(spec, place, problems, notes)
    masks = _masks(found, place, problems)
    if masks:
        others = sum(series.case not in masks for series in found)
        found = [series for series in found if series.case in masks]
        notes += [f"{others} series have no mask and are left out"] if others else []
    elif found:
        notes.append("no masks: the images can be looked at and predicted on, not trained on")
    normalise = _normalise(spec, found, problems, notes)
    target = find_target(spec, list(masks.values()), problems, notes)
    channels = spec.channels or ("grey",)
    if len(channels) != 1:
        found_names = f"{len(channels)} names ({', '.join(channels)})"
        problems.append(Problem("data.channels", found_names, "1, as DICOM images are grey"))
    if not found and not problems:
        problems.append(Problem("data folder", "no DICOM image", "at least one"))
    if problems or target is None:
        return None
    items = tuple(
        Item(series.case, series.patient, (series.source,), _truth(masks, series.case))
        for series in found
    )
    return Dataset(place.home, "dicom", channels, target, items, normalise, tuple(notes))


def _truth(masks: Mapping[str, Path], case: str) -> tuple[Path, ...]:
    return (masks[case],) if case in masks else ()


def _masks(found: Sequence[Series], place: Place, problems: list[Problem]) -> dict[str, Path]:
    """Case -> its mask; a mask that fits no series, or several, is a fault."""
    of_case: dict[str, list[Path]] = defaultdict(list)
    of_name: dict[str, list[str]] = defaultdict(list)
    for series in found:
        for name in series.names(place.home):
            of_name[name].append(series.case)
    for path in nifti_files(place.root):
        if path.parent not in place.folders:
            continue
        stem = file_stem(path)
        case, role = split_name(stem)
        names = {stem, case or path.parent.name} if role == "mask" else {stem}
        fitting = list(dict.fromkeys(case for name in sorted(names) for case in of_name[name]))
        if len(fitting) == 1:
            of_case[fitting[0]].append(path)
            continue
        wanted = "the name of a series' folder, PatientID, SeriesInstanceUID or case"
        fits = f"fits {len(fitting)} series ({', '.join(fitting[:3])})" if fitting else "fits none"
        problems.append(Problem(name_of(path, place.home), f"a mask that {fits}", wanted))
    for case, paths in of_case.items():
        if len(paths) > 1:
            listed = ", ".join(name_of(path, place.home) for path in paths)
            problems.append(Problem(case, f"{len(paths)} masks ({listed})", "one"))
    return {case: paths[0] for case, paths in of_case.items()}


def _normalise(
    spec: DataSpec, found: Sequence[Series], problems: list[Problem], notes: list[str]
) -> str:
    """As asked for, else as the modality wants it; that must be one."""
    kinds = Counter(
        "X-ray" if one.header.modality in XRAY else one.header.modality or "unknown"
        for one in found
    )
    if len(kinds) > 1:
        listed = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
        hint = "give a folder with one of them"
        problems.append(Problem("data folder", f"images of modalities {listed}", "one", hint))
    if spec.normalise != "auto" or not found:
        return spec.normalise
    normalise = normalise_of(found[0].header)
    if normalise == "window":
        notes.append(window_note(spec.window_hu))
    elif found[0].header.modality == "CT":
        notes.append("CT without a rescale intercept is not in Hounsfield units: percentile")
    return normalise
