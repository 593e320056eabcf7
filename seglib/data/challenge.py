"""What the Medical Decathlon and nnU-Net share: ``imagesTr``, ``labelsTr``, ``imagesTs``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from seglib.data.dataset_json import DATASET_JSON, Description
from seglib.data.patients import patients_by_pattern
from seglib.data.place import Place, visible_files, walk
from seglib.data.readers import FLAT_SUFFIXES, NIFTI_SUFFIXES, file_stem
from seglib.data.spec import DataSpec
from seglib.errors import Problem

__all__ = ["CHANNEL_FILE", "challenge_notes", "challenge_patients", "training_places"]

CHANNEL_FILE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
"""How nnU-Net names an image: case and number of the channel."""

_PARTS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
_SUFFIXES = FLAT_SUFFIXES + NIFTI_SUFFIXES


def training_places(root: Path, *, numbered: bool) -> list[Place]:
    """Folders that hold ``imagesTr`` beside ``labelsTr`` or ``dataset.json``.

    Args:
        root: Where to look, two levels down at most.
        numbered: Want those whose images have the number of a channel in their name
            (nnU-Net), or those whose images have not.

    Returns:
        A place for each; its first folders are images and labels.
    """
    return [
        Place(root, here, tuple(here / part for part in _PARTS))
        for here, folders, files in walk(root, 2)
        if "imagesTr" in folders and ("labelsTr" in folders or DATASET_JSON in files)
        if _is_numbered(here) == numbered
    ]


def challenge_notes(place: Place, description: Description, num_cases: int) -> list[str]:
    """What lies there and is not used, or is said to lie there and does not.

    Args:
        place: The data set.
        description: Its ``dataset.json``.
        num_cases: Cases found.

    Returns:
        Sentences for the user.
    """
    notes = []
    without_truth = len(visible_files(place.home / "imagesTs", _SUFFIXES))
    if without_truth:
        notes.append(f"imagesTs is not looked at: {without_truth} images without truth")
    said = description.content.get("numTraining", num_cases)
    if said != num_cases:
        notes.append(f"{DATASET_JSON} says {said} cases for training, {num_cases} are there")
    return notes


def challenge_patients(spec: DataSpec, cases: Sequence[str], problems: list[Problem]) -> list[str]:
    """The patient of each case: by ``data.patient``, else the case itself.

    Args:
        spec: May give a pattern.
        cases: Names of the cases.
        problems: Names that the pattern misses are added here.

    Returns:
        A patient for each case.
    """
    if spec.patient is None:
        return list(cases)
    return patients_by_pattern(spec.patient, cases, problems)


def _is_numbered(home: Path) -> bool:
    """Do names end in four digits, and is that not simply how the cases are called?"""
    images, labels = (
        {file_stem(path) for path in visible_files(home / part, _SUFFIXES)} for part in _PARTS[:2]
    )
    return images.isdisjoint(labels) and any(map(CHANNEL_FILE.fullmatch, images))
