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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seglib.data.dataset import Dataset, Item, Source
from seglib.data.dicom_header import DICOM_SUFFIXES, Header, is_dicom, read_header
from seglib.data.pair_names import natural
from seglib.data.patients import patients_by_pattern
from seglib.data.place import Place, paired_folders, visible_files, walk
from seglib.data.readers import FLAT_SUFFIXES, NIFTI_SUFFIXES, file_stem
from seglib.data.source import name_of
from seglib.data.spec import DataSpec
from seglib.data.stacks import arrange
from seglib.data.volume_names import (
    MAX_DEPTH,
    group_volumes,
    nifti_files,
    split_name,
)
from seglib.data.volume_values import find_target, normalise_of, window_note
from seglib.errors import DataError, Problem

__all__ = ["find_dicom", "read_dicom_folder"]

_XRAY = ("CR", "DX", "RG", "MG", "PX", "IO")
_NO_IMAGE = ("SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "REG", "DOC")
_OTHER_SUFFIXES = (*FLAT_SUFFIXES, *NIFTI_SUFFIXES, ".csv", ".json", ".md", ".txt", ".xml")
_INDEX = "DICOMDIR"


@dataclass(frozen=True)
class _Series:
    source: Source
    header: Header
    name: str  # of its first file, from the home of the data set on
    patient: str = ""
    case: str = ""

    @property
    def first(self) -> Path:
        return self.source[0] if isinstance(self.source, tuple) else self.source

    def names(self, home: Path) -> set[str]:
        """What a mask may be called after."""
        folders = self.first.parent.relative_to(home).parts or (home.name,)
        return {*folders, self.header.patient, self.header.series, self.case} - {""}


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
        if folder not in paired and any(map(is_dicom, _candidates(folder, names)))
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
    headers = _headers(place, problems, notes)
    found = _with_patients(spec, _all_series(headers, place.home), problems, notes)
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


def _candidates(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Files that may be DICOM; those whose names say that they are something else are not."""
    for name in names:
        if name.upper() != _INDEX and not name.lower().endswith(_OTHER_SUFFIXES):
            yield folder / name


def _headers(place: Place, problems: list[Problem], notes: list[str]) -> dict[Path, Header]:
    """Headers of all images; what is no image is counted in a note."""
    headers: dict[Path, Header] = {}
    left_out: Counter[str] = Counter()
    for folder, _, names in walk(place.root, MAX_DEPTH):
        for path in _candidates(folder, names) if folder in place.folders else ():
            if not is_dicom(path) and not path.name.lower().endswith(DICOM_SUFFIXES):
                continue
            try:
                header = read_header(path)
            except DataError as error:
                name = name_of(path, place.home)
                problems += [replace(problem, place=name) for problem in error.problems]
                continue
            if header.cut:
                found = "an unreadable file (it ends before its image)"
                problems.append(Problem(name_of(path, place.home), found, "a whole file"))
            elif header.num_frames == 0 or header.modality in _NO_IMAGE:
                left_out[f"of modality {header.modality or 'unknown'}, which is no image"] += 1
            elif "LOCALIZER" in header.image_type:
                left_out["that only show where slices lie (LOCALIZER)"] += 1
            else:
                headers[path] = header
    notes += [f"{count} files {kind} are left out" for kind, count in left_out.items()]
    return headers


def _all_series(headers: Mapping[Path, Header], home: Path) -> list[_Series]:
    """Stacks, and images that stand alone; files without a series go by their folder."""
    stacks: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path, header in headers.items():
        key = (header.study, header.series) if header.series else (str(path.parent),)
        alone = header.modality in _XRAY or header.num_frames > 1
        stacks[(*key, str(path)) if alone else key].append(path)
    found = []
    for paths in stacks.values():
        ordered = _in_order(paths, headers)
        first = headers[ordered[0]]
        flat = len(ordered) == 1 and (
            first.modality in _XRAY or first.num_frames > 1 or first.poses[0].position is None
        )
        source: Source = ordered[0] if flat else tuple(ordered)
        found.append(_Series(source, first, name_of(ordered[0], home)))
    return sorted(found, key=lambda series: natural(series.name))


def _in_order(paths: Sequence[Path], headers: Mapping[Path, Header]) -> list[Path]:
    """Along the stack, as the reader will put them; by name where they do not make one."""
    by_name = sorted(paths, key=lambda path: natural(str(path)))
    if len(by_name) == 1:
        return by_name
    grid = arrange([headers[path].poses[0] for path in by_name], list(map(str, by_name)), [])
    return by_name if grid is None else [by_name[number] for number in grid.order]


def _with_patients(
    spec: DataSpec, found: Sequence[_Series], problems: list[Problem], notes: list[str]
) -> list[_Series]:
    """Each series with its patient, and a case of its own."""
    if spec.patient is not None:
        patients = patients_by_pattern(spec.patient, [one.name for one in found], problems)
    else:
        patients = [one.header.patient or one.header.study or _folder(one) for one in found]
        notes += _doubts(found)
    number_of = Counter(patients)
    numbered: Counter[str] = Counter()
    named: list[_Series] = []
    taken: set[str] = set()
    for series, patient in zip(found, patients, strict=True):
        numbered[patient] += 1
        case = name = patient.replace("/", "-")
        if number_of[patient] > 1:
            case = f"{name}_{series.header.series_number or numbered[patient]}"
            case = f"{name}_{numbered[patient]}" if case in taken else case
        while case in taken:
            case += "_"
        taken.add(case)
        named.append(replace(series, patient=patient, case=case))
    return named


def _folder(series: _Series) -> str:
    return str(Path(series.name).parent) if "/" in series.name else series.first.parent.name


def _doubts(found: Sequence[_Series]) -> list[str]:
    """Where headers leave open who the patient is."""
    ids = {series.header.patient for series in found}
    studies = {series.header.study for series in found}
    empty = [series for series in found if not series.header.patient]
    if empty:
        instead = "the study" if all(series.header.study for series in empty) else "the folder"
        return [
            f"{len(empty)} series without a PatientID: {instead} counts as the patient; "
            "data.patient finds it in the path of a file"
        ]
    if len(ids) == 1 and len(studies) > 1:
        return [
            f"all {len(studies)} studies are of one patient, {min(ids)!r}; if that is what "
            "an anonymiser wrote, data.patient finds the patient in the path of a file"
        ]
    return []


def _masks(found: Sequence[_Series], place: Place, problems: list[Problem]) -> dict[str, Path]:
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
    spec: DataSpec, found: Sequence[_Series], problems: list[Problem], notes: list[str]
) -> str:
    """As asked for, else as the modality wants it; that must be one."""
    kinds = Counter(
        "X-ray" if one.header.modality in _XRAY else one.header.modality or "unknown"
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
