"""The folders of the lab that the tasks come from: CT with two lungs, MRI with tumour.

::

    CT/Image/Im3_40.png    CT/Mask/Im3_40_Mask.png    slice 40 of patient 3; 0, 156, 251
    MRI/Image/x.png        MRI/Mask/x_Tumor.png       0 and 255

The chest X-rays of the lab are plain pairs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from seglib.data.dataset import Dataset
from seglib.data.layout_pairs import Classes, Style, read_styled
from seglib.data.patients import SLICES_OF_A_PATIENT, look_like_slices, patients_by_pattern
from seglib.data.place import Place, paired_folders, visible_files
from seglib.data.readers import FLAT_SUFFIXES
from seglib.data.spec import DataSpec
from seglib.errors import Problem

__all__ = ["find_lab_ct", "find_lab_mri", "read_lab_ct", "read_lab_mri"]

_CT_IMAGE = re.compile(r"Im(?P<patient>\d+)_\d+")
_CT_MASK = re.compile(r"Im\d+_\d+_Mask")
_MRI_MASK = re.compile(r".+_Tumor")
_LEFT, _RIGHT = (156,), (251,)
_ORGANS = {"left_lung": _LEFT, "right_lung": _RIGHT}
_TUMOUR = {"tumour": (255,)}


def find_lab_ct(root: Path) -> list[Place]:
    """Paired folders whose names are mostly those of the lab's CT.

    Args:
        root: Where to look.

    Returns:
        A place for each.
    """
    return _find(root, lambda image: bool(_CT_IMAGE.fullmatch(image)), _CT_MASK)


def find_lab_mri(root: Path) -> list[Place]:
    """Paired folders whose masks are mostly named like the lab's MRI.

    Args:
        root: Where to look.

    Returns:
        A place for each.
    """
    return _find(root, lambda image: True, _MRI_MASK)


# Both sets are 8-bit images to which one window was applied for all slices of a patient
# before they were written: a grey value means the same in each. Percentiles would
# stretch every slice by its own content, the ends of a brain sevenfold.


def read_lab_ct(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers the CT slices of the lab.

    Args:
        spec: Target and the like.
        place: The two folders.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    classes: dict[str, Classes] = {
        "binary": {"lung": _LEFT + _RIGHT},
        "organs": _ORGANS,
        "regions": _ORGANS,
    }
    style = Style("lab-ct", classes, _ct_patients, windowed=True)
    return read_styled(spec, place, style, problems=problems)


def read_lab_mri(spec: DataSpec, place: Place, problems: list[Problem]) -> Dataset | None:
    """Gathers the MRI slices of the lab.

    Args:
        spec: Target and the like.
        place: The two folders.
        problems: Faults are added here.

    Returns:
        The dataset, or None after a fault.
    """
    classes: dict[str, Classes] = {"binary": _TUMOUR, "organs": _TUMOUR, "regions": _TUMOUR}
    style = Style("lab-mri", classes, _mri_patients, windowed=True)
    return read_styled(spec, place, style, problems=problems)


def _find(root: Path, image: Callable[[str], bool], mask: re.Pattern[str]) -> list[Place]:
    return [
        place
        for place in paired_folders(root)
        if _mostly(place.folders[0], image)
        and _mostly(place.folders[1], lambda name: bool(mask.fullmatch(name)))
    ]


def _mostly(folder: Path, fits: Callable[[str], bool]) -> bool:
    """More than half the files: a single odd one is a fault, not another layout."""
    names = [path.stem for path in visible_files(folder, FLAT_SUFFIXES)]
    return 2 * sum(map(fits, names)) > len(names)


def _ct_patients(stems: Sequence[str], problems: list[Problem], notes: list[str]) -> list[str]:
    matches = [_CT_IMAGE.fullmatch(stem) for stem in stems]
    problems += [
        Problem(stem, "a name without patient and slice", "Im<patient>_<slice>")
        for stem, match in zip(stems, matches, strict=True)
        if not match
    ]
    return [match["patient"] if match else "" for match in matches]


def _mri_patients(
    stems: Sequence[str], problems: list[Problem], notes: list[str]
) -> list[str] | None:
    like = look_like_slices(stems)
    if not like:
        return None
    notes.append(f"{like}: the name without its last number is taken for the patient")
    return patients_by_pattern(SLICES_OF_A_PATIENT, stems, problems)
