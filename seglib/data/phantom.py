"""Phantoms: made-up patients, written as real files in the layouts that are read.

They let everything run where no data may go: a demonstration, a test, a machine
check. The same layout, number, seed and size give the same bytes; patient number
``n`` does not depend on how many are made. A folder is whole or absent.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from seglib.data.phantom_ct import write_torso
from seglib.data.phantom_mri import write_brain
from seglib.data.phantom_xray import write_chest

__all__ = ["PHANTOMS", "write_phantoms"]

# Folder, number of the patient from 1, the patient's generator, pixels -> files.
PHANTOMS: dict[str, Callable[[Path, int, np.random.Generator, int], None]] = {
    "phantom-brats": write_brain,
    "phantom-xray": write_chest,
    "phantom-ct": write_torso,
}


def write_phantoms(layout: str, folder: Path, *, cases: int, seed: int, size: int = 96) -> None:
    """Writes phantom patients into a new folder.

    The files are written beside it and moved there at the end, so a run that is
    killed leaves no half folder. Two processes may do so at once: one folder
    stays, and the two would have been the same.

    Args:
        layout: ``phantom-brats``, ``phantom-xray`` or ``phantom-ct``.
        folder: Where to; absent or empty.
        cases: Patients to make, at least 1.
        seed: Which patients.
        size: Pixels in the plane, at least 16; stacks have a sixth as many slices.

    Raises:
        ValueError: No such layout, no case, or an image too small to draw in.
        FileExistsError: The folder is there and holds something.
    """
    if layout not in PHANTOMS:
        raise ValueError(f"layout: found '{layout}' ; wanted one of {', '.join(PHANTOMS)}")
    if cases < 1 or size < 16:
        raise ValueError(f"found {cases} cases of {size} pixels ; wanted at least 1 of 16")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds something already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        kind = list(PHANTOMS).index(layout)
        for number in range(1, cases + 1):
            rng = np.random.default_rng([seed, kind, number])
            PHANTOMS[layout](unfinished, number, rng, size)
        unfinished.chmod(0o755)
        _move(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _move(unfinished: Path, folder: Path) -> None:
    try:
        unfinished.replace(folder)
    except OSError:
        if not (folder.is_dir() and any(folder.iterdir())):
            raise
        # Another process was faster; what it wrote is the same.
