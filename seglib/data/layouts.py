"""Which layout is this folder? One row of a table per layout.

Adding a layout is adding a row and a test: a test for "is it this one?" that
looks at names only, and a function that turns the folder into a Dataset. Both
gather their faults, so the user sees all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seglib.data.dataset import Dataset, Item
from seglib.data.layout_brats import is_brats, read_brats
from seglib.data.layout_pairs import is_pairs, read_pairs
from seglib.data.spec import DataSpec
from seglib.errors import DataError, Problem

__all__ = ["LAYOUTS", "Dataset", "Item", "Layout", "find_dataset"]


@dataclass(frozen=True)
class Layout:
    """One way of laying out a data folder.

    Args:
        looks_like: What such a folder holds, for the message when none fits.
        fits: Does the folder look like this? Reads names, never files.
        read: Spec, folder and a list for faults -> the dataset, or None after a fault.
    """

    looks_like: str
    fits: Callable[[Path], bool]
    read: Callable[[DataSpec, Path, list[Problem]], Dataset | None]


LAYOUTS: dict[str, Layout] = {
    "brats": Layout(
        "<case>_flair.nii.gz with <case>_seg.nii.gz, or <case>-t2f.nii.gz with <case>-seg.nii.gz",
        is_brats,
        read_brats,
    ),
    "pairs": Layout(
        "folders Image and Mask side by side, with PNG, TIFF or JPEG files of the same names",
        is_pairs,
        read_pairs,
    ),
}

# The layout that each kind of phantom is written in.
_WRITTEN_AS = {"phantom-brats": "brats", "phantom-xray": "pairs", "phantom-ct": "pairs"}
_PHANTOM_LUNGS = {"lung": (156, 251)}


def find_dataset(spec: DataSpec, root: Path) -> Dataset:
    """Finds every image and mask under a folder, and how the masks are read.

    Only names are looked at, and the first image of ``pairs`` for its number of
    channels; what the files hold is checked when they are prepared.

    Args:
        spec: Layout (or ``auto``), channels, target and the like.
        root: The folder; for a phantom layout, the folder it was written to.

    Returns:
        The dataset, with at least one item.

    Raises:
        DataError: No layout fits, or the folder has faults; all are listed.
    """
    _check_folder(root)
    name = _WRITTEN_AS.get(spec.layout, spec.layout)
    if spec.layout == "phantom-ct" and spec.target == "binary" and spec.classes is None:
        spec = spec.model_copy(update={"classes": _PHANTOM_LUNGS})
    if name == "auto":
        name = _recognise(root)
    elif not LAYOUTS[name].fits(root):
        raise _unknown(root, [name])
    problems: list[Problem] = []
    dataset = LAYOUTS[name].read(spec, root, problems)
    if problems or dataset is None:
        raise DataError(str(root), problems)
    return dataset


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise DataError(str(root), [Problem("data folder", "no such folder")])
    if not root.is_dir():
        raise DataError(str(root), [Problem("data folder", "a file", "a folder")])


def _recognise(root: Path) -> str:
    names = [name for name, layout in LAYOUTS.items() if layout.fits(root)]
    if not names:
        raise _unknown(root, list(LAYOUTS))
    if len(names) > 1:
        problem = Problem(
            "data.layout",
            f"a folder that fits {' and '.join(names)}",
            "one layout",
            f"give data.layout: {names[0]}, or a folder further in",
        )
        raise DataError(str(root), [problem])
    return names[0]


def _unknown(root: Path, names: list[str]) -> DataError:
    inside = sorted(path.name for path in root.iterdir())
    shown = ", ".join(inside[:5]) + (f" and {len(inside) - 5} more" if len(inside) > 5 else "")
    wanted = " ; or ".join(f"{name}: {LAYOUTS[name].looks_like}" for name in names)
    found = shown or "an empty folder"
    hint = "DICOM is not read yet: make NIfTI or PNG of it" if _holds_dicom(root) else ""
    return DataError(str(root), [Problem("data folder", found, wanted, hint)])


def _holds_dicom(root: Path) -> bool:
    """Does the first file say of itself that it is DICOM?"""
    for path in sorted(root.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(132)[128:] == b"DICM"
    return False
