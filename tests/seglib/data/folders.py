"""Small data folders to try layouts on, and the ways to ask about them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglib.data.layouts import Dataset, find_dataset
from seglib.data.spec import DataSpec
from seglib.errors import DataError

OLD = ("flair", "t1", "t1ce", "t2", "seg")
NEW = ("t2f", "t1n", "t1c", "t2w", "seg")


def touch(root: Path, *names: str) -> Path:
    """Empty files: layouts look at names only."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def old_case(case: str, parts: Iterable[str] = OLD, suffix: str = ".nii.gz") -> list[str]:
    return [f"{case}/{Path(case).name}_{part}{suffix}" for part in parts]


def new_case(case: str, parts: Iterable[str] = NEW) -> list[str]:
    return [f"{case}/{case}-{part}.nii.gz" for part in parts]


def pictures(root: Path, *names: str, channels: int = 1) -> Path:
    shape = (4, 4) if channels == 1 else (4, 4, channels)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros(shape, np.uint8)).save(root / name)
    return root


def find(root: Path, **spec: Any) -> Dataset:
    return find_dataset(DataSpec.model_validate(spec), root)


def names(dataset: Dataset) -> list[tuple[list[str], str]]:
    return [([path.name for path in item.images], item.masks[0].name) for item in dataset.items]


def faults(root: Path, **spec: Any) -> list[str]:
    with pytest.raises(DataError, match="problem") as caught:
        find(root, **spec)
    return [str(problem) for problem in caught.value.problems]
