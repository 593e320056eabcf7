"""DICOM files as images: which files make one series, and whose it is.

A series is one image: its slices are a stack; an X-ray or a file with several frames is an
image by itself. The patient is the PatientID. Only headers are read here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seglib.data.dataset import Source
from seglib.data.dicom_header import DICOM_SUFFIXES, Header, is_dicom, read_header
from seglib.data.pair_names import natural
from seglib.data.patients import patients_by_pattern
from seglib.data.place import Place, walk
from seglib.data.readers import FLAT_SUFFIXES, NIFTI_SUFFIXES
from seglib.data.source import name_of
from seglib.data.spec import DataSpec
from seglib.data.stacks import arrange
from seglib.data.volume_names import MAX_DEPTH
from seglib.errors import DataError, Problem

__all__ = ["XRAY", "Series", "dicom_files", "find_series", "holds_dicom"]

XRAY = ("CR", "DX", "RG", "MG", "PX", "IO")
"""Modalities whose files are images by themselves."""

_NO_IMAGE = ("SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "REG", "DOC")
_OTHER_SUFFIXES = (*FLAT_SUFFIXES, *NIFTI_SUFFIXES, ".csv", ".json", ".md", ".txt", ".xml")
_INDEX = "DICOMDIR"


@dataclass(frozen=True)
class Series:
    """Files that are one image.

    Args:
        source: The file, or the files of a stack in their order.
        header: Of the first.
        name: Of the first file, from the home of the data set on.
        patient: Whose it is.
        case: A name of its own.
    """

    source: Source
    header: Header
    name: str
    patient: str = ""
    case: str = ""

    @property
    def first(self) -> Path:
        """Its first file."""
        return self.source[0] if isinstance(self.source, tuple) else self.source

    def names(self, home: Path) -> set[str]:
        """What a mask may be called after.

        Args:
            home: Of the data set.

        Returns:
            Names of its folders, its patient, its number and its case.
        """
        folders = self.first.parent.relative_to(home).parts or (home.name,)
        return {*folders, self.header.patient, self.header.series, self.case} - {""}


def holds_dicom(folder: Path, names: Iterable[str]) -> bool:
    """Is one of the files of a folder DICOM? Names that say something else are believed.

    Args:
        folder: The folder.
        names: Of the files in it.

    Returns:
        Yes or no.
    """
    return any(map(is_dicom, _candidates(folder, names)))


def dicom_files(folder: Path, names: Iterable[str]) -> list[Path]:
    """The DICOM files of a folder.

    Args:
        folder: The folder.
        names: Of the files in it.

    Returns:
        Those that begin as DICOM does.
    """
    return [path for path in _candidates(folder, names) if is_dicom(path)]


def find_series(
    spec: DataSpec, place: Place, problems: list[Problem], notes: list[str]
) -> list[Series]:
    """The series in some folders, each with its patient and a case of its own.

    Args:
        spec: May say how to find the patient.
        place: The folders.
        problems: Faults are added here.
        notes: What is left out, and doubts, are told here.

    Returns:
        The series, by the names of their files.
    """
    headers = _headers(place, problems, notes)
    return _with_patients(spec, _all_series(headers, place.home), problems, notes)


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


def _all_series(headers: Mapping[Path, Header], home: Path) -> list[Series]:
    """Stacks, and images that stand alone; files without a series go by their folder."""
    stacks: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path, header in headers.items():
        key = (header.study, header.series) if header.series else (str(path.parent),)
        alone = header.modality in XRAY or header.num_frames > 1
        stacks[(*key, str(path)) if alone else key].append(path)
    found = []
    for paths in stacks.values():
        ordered = _in_order(paths, headers)
        first = headers[ordered[0]]
        flat = len(ordered) == 1 and (
            first.modality in XRAY or first.num_frames > 1 or first.poses[0].position is None
        )
        source: Source = ordered[0] if flat else tuple(ordered)
        found.append(Series(source, first, name_of(ordered[0], home)))
    return sorted(found, key=lambda series: natural(series.name))


def _in_order(paths: Sequence[Path], headers: Mapping[Path, Header]) -> list[Path]:
    """Along the stack, as the reader will put them; by name where they do not make one."""
    by_name = sorted(paths, key=lambda path: natural(str(path)))
    if len(by_name) == 1:
        return by_name
    grid = arrange([headers[path].poses[0] for path in by_name], list(map(str, by_name)), [])
    return by_name if grid is None else [by_name[number] for number in grid.order]


def _with_patients(
    spec: DataSpec, found: Sequence[Series], problems: list[Problem], notes: list[str]
) -> list[Series]:
    """Each series with its patient, and a case of its own."""
    if spec.patient is not None:
        patients = patients_by_pattern(spec.patient, [one.name for one in found], problems)
    else:
        patients = [one.header.patient or one.header.study or _folder(one) for one in found]
        notes += _doubts(found)
    number_of = Counter(patients)
    numbered: Counter[str] = Counter()
    named: list[Series] = []
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


def _folder(series: Series) -> str:
    return str(Path(series.name).parent) if "/" in series.name else series.first.parent.name


def _doubts(found: Sequence[Series]) -> list[str]:
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
