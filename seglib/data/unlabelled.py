"""Images to predict on: any layout that is read for training, without its masks.

=========================  =====================  ==========================================
what lies there            one image is           its mask
=========================  =====================  ==========================================
``<case>_flair.nii.gz``    a case of BraTS        ``<case>_seg.nii.gz``
``<case>_0000.nii.gz``     a case of nnU-Net      ``<case>.nii.gz``
``imagesTs/<case>.nii``    a file                 ``<case>.nii``
``<case>_ct.nii.gz``       a file                 ``<case>_mask.nii.gz``
DICOM files                a series               ``<patient>.nii.gz``
``x.png``                  a file                 ``x.png``
=========================  =====================  ==========================================

Masks that lie beside their images are passed by, in folders and by names that say so.
Masks keep the folders of their images, but for the last one where it is called ``Image`` or
the like. Only names and DICOM headers are looked at; what the files hold is seen later.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglib.data.channel_files import Wish, brats_cases, numbered_cases
from seglib.data.dataset import Item, plain_name
from seglib.data.dicom_header import read_header
from seglib.data.dicom_series import Series, dicom_files, find_series
from seglib.data.faults import gathered
from seglib.data.layout_brats import CHANNELS
from seglib.data.layout_nifti import holds_few_values
from seglib.data.mask_names import (
    Named,
    distinct_names,
    name_file,
    short_name,
)
from seglib.data.pair_names import MASK_SUFFIXES, natural
from seglib.data.place import Place, walk
from seglib.data.readers import FLAT_SUFFIXES, NIFTI_SUFFIXES, file_stem
from seglib.data.source import name_of
from seglib.data.spec import DataSpec
from seglib.data.volume_names import MAX_DEPTH, group_volumes, split_name
from seglib.data.writers import mask_suffix
from seglib.errors import DataError, Problem

__all__ = ["Unlabelled", "Wish", "find_unlabelled"]

_HOLD_MASKS = re.compile(
    r"(.*[-_. ])?(masks?|labels?|gt|ground_?truth|segmentations?|annotations?)"
    r"|(left|right|manual)masks?|masklabels|labelst[rs]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Unlabelled:
    """One image and where its mask goes.

    Args:
        item: The image; it has no mask.
        channels: Names of the channels that its files hold.
        mask: The file for the mask, below the folder for all masks.
    """

    item: Item
    channels: tuple[str, ...]
    mask: str


def find_unlabelled(
    source: Path, wish: Wish, notes: list[str] | None = None
) -> tuple[Unlabelled, ...]:
    """Every image in a file or folder, and a name for its mask.

    Args:
        source: An image, or a folder of images.
        wish: What the model can be given.
        notes: What is left out is told here.

    Returns:
        The images, x2 before x10; no two masks have the same name.

    Raises:
        DataError: There is no image, or names tell that they do not fit the model; all
            faults are listed.
    """
    told = notes if notes is not None else []
    if not source.exists():
        raise DataError(str(source), [Problem("INPUT", "nothing there", "an image or a folder")])
    problems: list[Problem] = []
    if source.is_dir():
        named = _in_folder(source, wish, problems, told)
    else:
        named = [name_file(source, source.parent, wide=wish.wide)]
    if not named and not problems:
        problems.append(_nothing(source))
    names = distinct_names(named, problems)
    if problems:
        raise DataError(str(source), gathered(problems))
    found = [
        Unlabelled(one.item, one.channels or wish.channels, name)
        for one, name in zip(named, names, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: natural(one.mask)))


def _nothing(source: Path) -> Problem:
    inside = sorted(path.name for path in source.iterdir())
    shown = ", ".join(inside[:5]) + f" and {len(inside) - 5} more" * (len(inside) > 5)
    kinds = ", ".join((*FLAT_SUFFIXES, *NIFTI_SUFFIXES, "DICOM"))
    return Problem("INPUT", shown or "an empty folder", f"images: {kinds}")


def _in_folder(root: Path, wish: Wish, problems: list[Problem], notes: list[str]) -> list[Named]:
    """What the model was trained on, volumes or pictures; if there is none, the other kind."""
    folders: dict[Path, list[str]] = {}
    passed: list[str] = []
    for here, below, names in walk(root, MAX_DEPTH):
        kept = [name for name in below if not wish.left_out(here / name)]
        passed += [name for name in kept if _HOLD_MASKS.fullmatch(name)]
        below[:] = [name for name in kept if not _HOLD_MASKS.fullmatch(name)]
        folders[here] = [name for name in names if not wish.left_out(here / name)]
    if passed:
        notes.append(f"folders of masks are passed by: {', '.join(sorted(set(passed)))}")
    dicom = {folder: files for folder in folders if (files := dicom_files(folder, folders[folder]))}
    nifti = _with_suffix(folders, NIFTI_SUFFIXES)
    pictures = _without_masks(_with_suffix(folders, FLAT_SUFFIXES), root, notes)
    if wish.flat:
        stacks = _stacks(dicom, root, wish, nifti=nifti, problems=problems, notes=notes)
        files = [*pictures, *(path for some in dicom.values() for path in some)]
        if files or stacks or problems:
            _tell_left(len(nifti), "volumes", notes)
            return [*stacks, *(name_file(path, root, wide=wish.wide) for path in files)]
    volumes = _series(dicom, root, wish, nifti=nifti, problems=problems, notes=notes)
    volumes += _volumes(nifti, root, wish, problems=problems, notes=notes)
    if volumes or problems:
        _tell_left(len(pictures), "pictures", notes)
        return volumes
    numbered = numbered_cases(pictures, root, wish, problems)
    return numbered or [name_file(path, root, wide=wish.wide) for path in pictures]


def _tell_left(count: int, kind: str, notes: list[str]) -> None:
    if count:
        notes.append(f"{kind} left out, as the model was trained on another kind: {count}")


def _with_suffix(folders: Mapping[Path, list[str]], suffixes: tuple[str, ...]) -> list[Path]:
    return [
        folder / name
        for folder, names in folders.items()
        for name in names
        if name.lower().endswith(suffixes)
    ]


def _without_masks(pictures: Sequence[Path], root: Path, notes: list[str]) -> list[Path]:
    """All but those that are called after another one of the same folder, as masks are."""
    stems = {(path.parent, path.stem) for path in pictures}
    masks = {
        path
        for path in pictures
        for suffix in MASK_SUFFIXES
        if path.stem.endswith(suffix) and (path.parent, path.stem.removesuffix(suffix)) in stems
    }
    _tell_masks(sorted(masks), root, notes)
    return [path for path in pictures if path not in masks]


def _volumes(
    paths: Sequence[Path],
    root: Path,
    wish: Wish,
    *,
    problems: list[Problem],
    notes: list[str],
) -> list[Named]:
    """NIfTI files: cases of BraTS or nnU-Net where their names say so, else each by itself."""
    if set(wish.seen) <= set(CHANNELS):
        cases = brats_cases(paths, wish, problems)
        if cases or problems:
            return cases
    numbered = numbered_cases(paths, root, wish, problems)
    if numbered or problems:
        return numbered
    images: list[Path] = []
    masks: list[Path] = []
    for group in group_volumes(paths).values():
        named = [one.path for one in group if one.role == "mask"]
        others = [one.path for one in group if one.role != "mask"]
        if len(others) == 2 and not named:
            named = [path for path in others if _looks_like_mask(path)]
            others = [path for path in others if path not in named]
        images, masks = images + others, masks + named
    if not images:  # a lung that is called so is an image where nothing else is there
        images, masks = masks, []
    _tell_masks(masks, root, notes)
    return [name_file(path, root, wide=wish.wide) for path in images]


def _looks_like_mask(path: Path) -> bool:
    try:
        return holds_few_values(path)
    except DataError:  # told when it is read
        return False


def _series(
    dicom: Mapping[Path, list[Path]],
    root: Path,
    wish: Wish,
    *,
    nifti: list[Path],
    problems: list[Problem],
    notes: list[str],
) -> list[Named]:
    """DICOM series; volumes that are called after one are its masks, and taken off the list."""
    if not dicom:
        return []
    place = Place(root, Path(os.path.commonpath(list(dicom))), tuple(dicom))
    told: list[str] = []
    found = find_series(DataSpec(), place, problems, told)
    notes += [note for note in told if "left out" in note]  # patients do not matter here
    names = {name for series in found for name in series.names(place.home)}
    masks = [path for path in nifti if _called_after(names, file_stem(path))]
    _tell_masks(masks, root, notes)
    nifti[:] = [path for path in nifti if path not in masks]
    return [_one_series(series, root, wish) for series in found]


def _stacks(
    dicom: dict[Path, list[Path]],
    root: Path,
    wish: Wish,
    *,
    nifti: list[Path],
    problems: list[Problem],
    notes: list[str],
) -> list[Named]:
    """Series whose slices have places: volumes for any model, and taken off the list."""
    faults: list[Problem] = []
    told: list[str] = []
    beside = list(nifti)
    found = _series(dicom, root, wish, nifti=beside, problems=faults, notes=told)
    stacks = [one for one in found if _is_stack(one.item.image_files)]
    if stacks:  # else each file is a picture, and its faults are its own
        problems += faults
        notes += told
        nifti[:] = beside
        alone = {one.item.image_files[0] for one in found if one not in stacks}
        for folder, paths in dicom.items():
            dicom[folder] = [path for path in paths if path in alone]
    return stacks


def _is_stack(files: Sequence[Path]) -> bool:
    return len(files) > 1 and read_header(files[0]).poses[0].position is not None


def _called_after(names: set[str], stem: str) -> bool:
    case, role = split_name(stem)
    return stem in names or (role == "mask" and case in names)


def _tell_masks(masks: Sequence[Path], root: Path, notes: list[str]) -> None:
    if masks:
        first = name_of(min(masks), root)
        notes.append(f"masks beside their images are passed by: {len(masks)}, such as {first}")


def _one_series(series: Series, root: Path, wish: Wish) -> Named:
    if not isinstance(series.source, tuple):
        return name_file(series.source, root, wide=wish.wide)
    case = plain_name(series.case)
    item = Item(case, plain_name(series.patient), (series.source,))
    where = str(series.first.parent.relative_to(root) / case)
    return Named(item, (short_name(case), where), mask_suffix(series.first, volume=True))
