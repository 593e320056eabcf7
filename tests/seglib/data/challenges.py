"""Folders of the Decathlon and of nnU-Net with real volumes in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from tests.seglib.data.sources import SIZE, save_picture, write_volume

TUMOUR = {
    "0": "background",
    "1": "edema",
    "2": "non-enhancing tumor",
    "3": "enhancing tumour",
}


def write_json(root: Path, **fields: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(fields))
    return root


def write_decathlon(
    root: Path,
    *cases: str,
    channels: Iterable[str] = ("FLAIR", "T1w"),
    labels: Mapping[str, str] = TUMOUR,
) -> Path:
    """Four slices of each case, all channels in one file, every label in the mask."""
    names = list(channels)
    for case in cases:
        image, mask = _case(case, len(names), len(labels))
        volume = image if len(names) > 1 else image[0]
        write_channels(root / "imagesTr" / f"{case}.nii.gz", volume)
        write_volume(root / "labelsTr" / f"{case}.nii.gz", mask)
    return write_json(
        root,
        name="TRIAL",
        tensorImageSize="4D",
        modality={str(number): name for number, name in enumerate(names)},
        labels=labels,
        numTraining=len(cases),
        training=[
            {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"}
            for case in cases
        ],
        test=[],
    )


def write_channels(path: Path, array: np.ndarray) -> None:
    """Write ``(Z, H, W)`` or ``(C, Z, H, W)``; the file stores x, y, z and then channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = range(array.ndim)[::-1]
    stored = array.transpose(*axes) if array.ndim == 3 else array.transpose(3, 2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(stored, np.diag([1.0, 1.0, 2.0, 1.0])), path)


def write_nnunet(
    root: Path,
    *cases: str,
    channels: Iterable[str] = ("FLAIR", "T1w"),
    labels: Mapping[str, Any] = {"background": 0, "liver": 1},
    ending: str = ".nii.gz",
) -> Path:
    """The same cases in nnU-Net's names, version 2; ``ending`` .png or .tif writes pictures."""
    names = list(channels)
    for case in cases:
        image, mask = _case(case, len(names), 1 + max(_numbers(labels.values())))
        for number, volume in enumerate(image):
            _write(root / "imagesTr" / f"{case}_{number:04d}{ending}", volume)
        _write(root / "labelsTr" / f"{case}{ending}", mask)
    return write_json(
        root,
        channel_names={str(number): name for number, name in enumerate(names)},
        labels=labels,
        numTraining=len(cases),
        file_ending=ending,
    )


def write_splits(path: Path, *folds: tuple[list[str], list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"train": train, "val": val} for train, val in folds]))


def _case(name: str, num_channels: int, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(sum(name.encode()))
    image = rng.integers(10, 200, (num_channels, 4, SIZE, SIZE)).astype(np.int16)
    mask = np.zeros((4, SIZE, SIZE), np.uint8)
    for label in range(1, num_labels):
        mask[:, 4 * label : 4 * label + 4, 6:18] = label
    return image, mask


def _write(path: Path, volume: np.ndarray) -> None:
    if path.name.endswith(".nii.gz"):
        write_volume(path, volume)
    else:
        save_picture(path, volume[0].astype(np.uint8))


def _numbers(values: Iterable[Any]) -> list[int]:
    return [one for value in values for one in (value if isinstance(value, list) else [value])]
