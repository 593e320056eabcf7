"""The BraTS layouts: one NIfTI file per case and modality, told apart by name.

===========  ================================  =======================  ==========
challenge    file                              labels                   patient
===========  ================================  =======================  ==========
2018-2021    ``<case>_{flair,t1,t1ce,t2,seg}`` 1 NCR, 2 ED, 4 ET        the case
2023-        ``<case>-{t2f,t1n,t1c,t2w,seg}``  1 NCR, 2 ED, 3 ET        first number
===========  ================================  =======================  ==========

NCR is the necrotic core, ED the oedema, ET the enhancing tumour. Files may lie
in a folder per case, in HGG and LGG, or flat. Files whose names fit neither row
are not looked at.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seglib.data.dataset import Dataset, Item, target_from_classes
from seglib.data.place import Place, walk
from seglib.data.readers import NIFTI_SUFFIXES, file_stem
from seglib.data.spec import DataSpec
from seglib.errors import Problem
from seglib.target import Target

__all__ = ["CHANNELS", "BratsName", "brats_name", "find_brats", "read_brats"]

CHANNELS = ("flair", "t1ce", "t1", "t2")
_MAX_DEPTH = 4  # root / HGG / case / file, and one folder more that unpacking leaves


@dataclass(frozen=True)
class _Generation:
    name: str
    pattern: re.Pattern[str]
    parts: Mapping[str, str]  # as in the file's name -> channel, or seg
    enhancing: int
    patient: re.Pattern[str]


_GENERATIONS = (
    _Generation(
        "2018-2021",
        re.compile(r"(?P<case>.+)_(?P<part>flair|t1ce|t1|t2|seg)", re.IGNORECASE),
        {name: name for name in (*CHANNELS, "seg")},
        4,
        re.compile(r"(.+)"),
    ),
    _Generation(
        "2023 or later",
        re.compile(r"(?P<case>.+)-(?P<part>t2f|t1c|t1n|t2w|seg)", re.IGNORECASE),
        {"t2f": "flair", "t1c": "t1ce", "t1n": "t1", "t2w": "t2", "seg": "seg"},
        3,
        re.compile(r"(.+-\d+)-\d+"),  # the second number counts the visits of one patient
    ),
)

# BraTS 2020 ships case 355 with its mask under the name of the hospital's file.
_ODD_MASK = re.compile(r".+_Segm", re.IGNORECASE)

# Class -> labels, 3 standing for the enhancing tumour whatever its grey value.
_KNOWN_CLASSES: dict[str, dict[str, tuple[int, ...]]] = {
    "binary": {"WT": (1, 2, 3)},
    "regions": {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)},
    "organs": {"NCR": (1,), "ED": (2,), "ET": (3,)},
}

_Case = dict[str, Path]


def find_brats(root: Path) -> list[Place]:
    """The folder under which all files with a BraTS name lie.

    Args:
        root: Where to look.

    Returns:
        One place, or none without such a file.
    """
    names = {path: _name(path) for path in _nifti_files(root)}
    named = [path for path, name in names.items() if name is not None]
    # A mask alone tells nothing: others call theirs <case>_seg as well.
    if all(name[2] == "seg" for name in names.values() if name is not None):
        return []
    folders = tuple(dict.fromkeys(path.parent for path in named))
    return [Place(root, Path(os.path.commonpath(folders)), folders)]


def read_brats(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers the cases of a BraTS folder.

    Args:
        spec: Channels, target and the like.
        place: Where they lie.
        problems: Faults are added here.

    Returns:
        The dataset, or None when no target could be made.
    """
    cases, generations = _gather(place.home, problems)
    if len(generations) > 1:
        problems.append(
            Problem(
                "data folder",
                "file names of " + " and of ".join(sorted(g.name for g in generations)),
                "one of them",
                "their masks use different numbers for the enhancing tumour",
            )
        )
    notes: list[str] = []
    channels = _channels(spec, cases, problems, notes)
    for case, files in cases.items():
        lacking = [part for part in (*channels, "seg") if part not in files]
        if lacking:
            found = f"no file for {', '.join(lacking)}"
            problems.append(Problem(case, found, f"{', '.join(channels)} and seg"))
    if problems:
        return None
    target = _target(spec, generations[0], problems)
    if target is None:
        return None
    items = tuple(_item(case, files, channels, generations[0]) for case, files in cases.items())
    normalise = "zscore" if spec.normalise == "auto" else spec.normalise
    return Dataset(place.home, "brats", channels, target, items, normalise, tuple(notes))


@dataclass(frozen=True)
class BratsName:
    """What the name of a file says.

    Args:
        case: The case.
        part: A channel, or ``seg``.
        mask: What the mask of that case is called, without a suffix.
    """

    case: str
    part: str
    mask: str


def brats_name(path: Path) -> BratsName | None:
    """What the name of a file says, if it is one of BraTS.

    Args:
        path: A NIfTI file.

    Returns:
        Case and part, or None.
    """
    name = _name(path)
    if name is None:
        return None
    generation, case, part = name
    joint = "_" if generation is _GENERATIONS[0] else "-"
    return BratsName(case, part, f"{case}{joint}seg")


def _item(case: str, files: _Case, channels: tuple[str, ...], generation: _Generation) -> Item:
    patient = generation.patient.fullmatch(case)
    group = patient.group(1) if patient else case
    return Item(case, group, tuple(files[name] for name in channels), (files["seg"],))


def _nifti_files(root: Path) -> Iterator[Path]:
    for here, _, names in walk(root, _MAX_DEPTH):
        yield from (here / name for name in names if name.lower().endswith(NIFTI_SUFFIXES))


def _name(path: Path) -> tuple[_Generation, str, str] | None:
    for generation in _GENERATIONS:
        match = generation.pattern.fullmatch(file_stem(path))
        if match:
            return generation, match["case"], generation.parts[match["part"].lower()]
    return None


def _gather(root: Path, problems: list[Problem]) -> tuple[dict[str, _Case], list[_Generation]]:
    cases: dict[str, _Case] = defaultdict(dict)
    generations: list[_Generation] = []
    case_of_folder: dict[Path, str] = {}
    odd: list[Path] = []
    for path in _nifti_files(root):
        name = _name(path)
        if name is None:
            odd += [path] if _ODD_MASK.fullmatch(file_stem(path)) else []
            continue
        generation, case, part = name
        if generation not in generations:
            generations.append(generation)
        _add(path, (case, part), cases, problems)
        case_of_folder[path.parent] = case
    for path in odd:
        case = case_of_folder.get(path.parent, "")
        if case and "seg" not in cases[case]:
            cases[case]["seg"] = path
    return dict(sorted(cases.items())), generations


def _add(
    path: Path, key: tuple[str, str], cases: dict[str, _Case], problems: list[Problem]
) -> None:
    case, part = key
    if part in cases[case]:
        both = f"two files for {part}: {cases[case][part]} and {path}"
        problems.append(Problem(case, both, "one"))
    else:
        cases[case][part] = path


def _channels(
    spec: DataSpec, cases: Mapping[str, _Case], problems: list[Problem], notes: list[str]
) -> tuple[str, ...]:
    if spec.channels is not None:
        for name in spec.channels:
            if name not in CHANNELS:
                wanted = f"one of {', '.join(CHANNELS)}"
                problems.append(Problem("data.channels", f"'{name}'", wanted))
        if len(set(spec.channels)) < len(spec.channels):
            problems.append(Problem("data.channels", "a channel named twice", "each once"))
        return tuple(name for name in spec.channels if name in CHANNELS)
    count = {name: sum(name in files for files in cases.values()) for name in CHANNELS}
    full = tuple(name for name in CHANNELS if count[name] == len(cases))
    if not full:
        problems.append(
            Problem(
                "data folder", "no channel that every case has", f"one of {', '.join(CHANNELS)}"
            )
        )
    notes.extend(
        f"{name} is left out: {count[name]} of {len(cases)} cases have it"
        for name in CHANNELS
        if 0 < count[name] < len(cases)
    )
    return full


def _target(spec: DataSpec, generation: _Generation, problems: list[Problem]) -> Target | None:
    classes: Mapping[str, tuple[int, ...]] | None = spec.classes
    if classes is None:
        greys = {1: 1, 2: 2, 3: generation.enhancing}
        classes = {
            name: tuple(greys[label] for label in labels)
            for name, labels in _KNOWN_CLASSES[spec.target].items()
        }
    return target_from_classes(spec, classes, problems)
