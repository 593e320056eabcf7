"""Which layout is this folder? One row of a table per layout.

Adding a layout is adding a row and a test: a function that finds the places where
such a data set lies, which looks at names only, and one that turns a place into a
Dataset. The second gathers its faults, so the user sees all of them at once.

A folder may hold several data sets. The rows go from the specific to the general:
what one row has found is left alone by the rows after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from seglib.data.dataset import Dataset, Item
from seglib.data.faults import gathered
from seglib.data.layout_brats import find_brats, read_brats
from seglib.data.layout_decathlon import find_decathlon, read_decathlon
from seglib.data.layout_dicom import find_dicom, read_dicom_folder
from seglib.data.layout_lab import find_lab_ct, find_lab_mri, read_lab_ct, read_lab_mri
from seglib.data.layout_montgomery import find_montgomery, read_montgomery
from seglib.data.layout_nifti import find_nifti, read_nifti_pairs
from seglib.data.layout_nnunet import find_nnunet, read_nnunet
from seglib.data.layout_pairs import find_pairs, read_pairs
from seglib.data.place import Place, meant_instead
from seglib.data.spec import DataSpec
from seglib.errors import DataError, Problem

__all__ = ["LAYOUTS", "Dataset", "Item", "Layout", "Place", "find_dataset", "find_datasets"]


@dataclass(frozen=True)
class Layout:
    """One way of laying out a data folder.

    Args:
        looks_like: What such a folder holds, for the message when none fits.
        find: Every place under a folder that looks like this. Reads names, and at most the
            first bytes of a file.
        read: Spec, place and a list for faults -> the dataset, or None after a fault.
    """

    looks_like: str
    find: Callable[[Path], list[Place]]
    read: Callable[[DataSpec, Place, list[Problem]], Dataset | None]


# From the specific to the general.
LAYOUTS: dict[str, Layout] = {
    "brats": Layout(
        "<case>_flair.nii.gz with <case>_seg.nii.gz, or <case>-t2f.nii.gz with <case>-seg.nii.gz",
        find_brats,
        read_brats,
    ),
    "nnunet": Layout(
        "imagesTr/<case>_0000.nii.gz and labelsTr/<case>.nii.gz with dataset.json",
        find_nnunet,
        read_nnunet,
    ),
    "decathlon": Layout(
        "imagesTr/<case>.nii.gz and labelsTr/<case>.nii.gz with dataset.json",
        find_decathlon,
        read_decathlon,
    ),
    "lab-ct": Layout(
        "Image/Im<patient>_<slice>.png with Mask/Im<patient>_<slice>_Mask.png",
        find_lab_ct,
        read_lab_ct,
    ),
    "lab-mri": Layout("Image/<x>.png with Mask/<x>_Tumor.png", find_lab_mri, read_lab_mri),
    "montgomery": Layout(
        "CXR_png/<x>.png with leftMask/<x>.png and rightMask/<x>.png",
        find_montgomery,
        read_montgomery,
    ),
    "dicom": Layout(
        "DICOM files, in any folders and by any names; masks <PatientID>.nii.gz",
        find_dicom,
        read_dicom_folder,
    ),
    "nifti": Layout(
        "<case>_ct.nii.gz or <case>.nii.gz with <case>_mask.nii.gz, or in folders Image and Mask",
        find_nifti,
        read_nifti_pairs,
    ),
    "pairs": Layout(
        "folders Image and Mask side by side, with PNG, TIFF or JPEG files of the same names",
        find_pairs,
        read_pairs,
    ),
}

# The layout that each kind of phantom is written in.
_WRITTEN_AS = {"phantom-brats": "brats", "phantom-xray": "pairs", "phantom-ct": "lab-ct"}
_ONE_IMAGE_EACH = "(.+)"  # a drawn chest is a patient of its own, and known to be


def find_datasets(
    spec: DataSpec, root: Path, problems: list[Problem] | None = None
) -> list[Dataset]:
    """Finds every data set that lies in a folder.

    Only names are looked at, small files of description, and the first image of a
    folder of pictures; what the files hold is checked when they are prepared.

    Args:
        spec: Layout (or ``auto``), channels, target and the like.
        root: The folder; for a phantom layout, the folder it was written to.
        problems: Faults of single data sets are added here; without it, they are raised.

    Returns:
        The data sets without faults, in the order of ``LAYOUTS``.

    Raises:
        DataError: Nothing fits, or, without ``problems``, a data set has faults; all
            are listed.
    """
    found = _recognise(spec, root)
    told: list[Problem] = []
    datasets = []
    for name, place in found:
        faults: list[Problem] = []
        dataset = LAYOUTS[name].read(spec, place, faults)
        # One of several data sets is named before its faults.
        of = f"{_shown(place)}: " if len(found) > 1 else ""
        told += [replace(fault, place=f"{of}{fault.place}") for fault in gathered(faults)]
        if dataset is not None and not faults:
            datasets.append(dataset.with_plain_names())
    if told and problems is None:
        raise DataError(str(root), told)
    if problems is not None:
        problems += told
    return datasets


def find_dataset(spec: DataSpec, root: Path) -> Dataset:
    """Finds the one data set that lies in a folder.

    Args:
        spec: As for :func:`find_datasets`.
        root: The folder.

    Returns:
        The dataset, with at least one item.

    Raises:
        DataError: As for :func:`find_datasets`, or several data sets lie there.
    """
    found = _recognise(spec, root)
    if len(found) > 1:
        raise DataError(str(root), [_several(found)])
    name, place = found[0]
    problems: list[Problem] = []
    if spec.layout == "phantom-xray":
        spec = spec.model_copy(update={"patient": spec.patient or _ONE_IMAGE_EACH})
    dataset = LAYOUTS[name].read(spec, place, problems)
    if problems or dataset is None:
        raise DataError(str(root), gathered(problems))
    return dataset.with_plain_names()


def _recognise(spec: DataSpec, root: Path) -> list[tuple[str, Place]]:
    """The places of each layout that is looked for, those of an earlier row left out."""
    if not root.exists():
        raise DataError(str(root), [Problem("data folder", "no such folder")])
    if not root.is_dir():
        raise DataError(str(root), [Problem("data folder", "a file", "a folder")])
    name = _WRITTEN_AS.get(spec.layout, spec.layout)
    wanted = list(LAYOUTS) if name == "auto" else [name]
    found: list[tuple[str, Place]] = []
    for name in wanted:
        taken = {folder for _, place in found for folder in place.folders}
        found += [
            (name, place) for place in LAYOUTS[name].find(root) if taken.isdisjoint(place.folders)
        ]
    if not found:
        raise _unknown(root, wanted)
    return found


def _shown(place: Place) -> str:
    """The folder of a data set, as seen from the folder that the user gave."""
    return str(place.home.relative_to(place.root)) if place.home != place.root else "this folder"


def _several(found: list[tuple[str, Place]]) -> Problem:
    names = [name for name, _ in found]
    listed = ", ".join(f"{name} in {_shown(place)}" for name, place in found)
    ways = [f"data.layout: {name}" for name in names if names.count(name) == 1][:1]
    ways += [f"the folder {_shown(p)}" for _, p in found if p.home != p.root][:1]
    hint = "give " + ", or ".join(ways) if ways else "give a folder further in"
    return Problem("data folder", f"{len(found)} data sets ({listed})", "one", hint)


def _unknown(root: Path, names: list[str]) -> DataError:
    inside = sorted(path.name for path in root.iterdir())
    shown = ", ".join(inside[:5]) + (f" and {len(inside) - 5} more" if len(inside) > 5 else "")
    looks = [f"{name}: {LAYOUTS[name].looks_like}" for name in names]
    meant = meant_instead(root)
    if len(names) == 1:
        problem = Problem("data folder", shown or "an empty folder", looks[0], meant)
        return DataError(str(root), [problem])
    hint = meant or "the layouts are\n  " + "\n  ".join(looks)
    problem = Problem("data folder", shown or "an empty folder", "images with their masks", hint)
    return DataError(str(root), [problem])
