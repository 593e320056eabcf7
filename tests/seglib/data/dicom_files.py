"""Real DICOM files, written by pydicom: slices, series, X-rays, Enhanced CT."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
)

AXIAL = [1, 0, 0, 0, 1, 0]
ROOT = "1.2.826.0.1.3680043.8.498"


def stored_ct(number: int, shape: tuple[int, int] = (40, 36)) -> np.ndarray:
    """Stored numbers of a slice: air with a body in the middle, no slice like another."""
    rng = np.random.default_rng(number)
    stored = np.full(shape, 24, np.uint16)
    stored[2:-2, 2:-2] = rng.integers(900, 1300, (shape[0] - 4, shape[1] - 4))
    return stored


def write_dicom(path: Path, stored: np.ndarray, *, codec: str = "", **elements: Any) -> Path:
    """One file; ``elements`` replace or add to those of a CT slice, None takes one away."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = elements.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.{crc32(path.name.encode())}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    standard = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientID": "P1",
        "StudyInstanceUID": f"{ROOT}.1",
        "SeriesInstanceUID": f"{ROOT}.1.1",
        "SeriesNumber": 1,
        "Modality": "CT",
        "PixelSpacing": [2.0, 1.5],
        "ImageOrientationPatient": AXIAL,
        "ImagePositionPatient": [-30.0, -40.0, 0.0],
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
        "BitsAllocated": stored.dtype.itemsize * 8,
        "BitsStored": stored.dtype.itemsize * 8,
        "HighBit": stored.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": stored.tobytes(),
    }
    for keyword, value in {**standard, **elements}.items():
        if value is not None:
            setattr(data, keyword, value)
    if codec == "jpeg2000":
        data.compress(JPEG2000Lossless, stored)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def write_slice(path: Path, number: int, *, step: float = 2.5, **elements: Any) -> Path:
    """A slice of a CT series, ``number`` steps above the first."""
    place = {"ImagePositionPatient": [-30.0, -40.0, step * number], "InstanceNumber": 100 - number}
    return write_dicom(path, stored_ct(number), **{**place, **elements})


def write_series(folder: Path, count: int = 5, **elements: Any) -> tuple[Path, ...]:
    """Files without a suffix, whose names run against their order in the body."""
    return tuple(
        write_slice(folder / f"IM{count - number:03d}", number, **elements)
        for number in range(count)
    )


def write_xray(path: Path, stored: np.ndarray, **elements: Any) -> Path:
    """A chest X-ray, which says nothing of where it lies."""
    nowhere = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
    rescale = {"RescaleSlope": None, "RescaleIntercept": None}
    detector = {"Modality": "DX", "ImagerPixelSpacing": [0.2, 0.1]}
    return write_dicom(path, stored, **{**nowhere, **rescale, **detector, **elements})


def write_enhanced(path: Path, stored: np.ndarray, positions: list[float]) -> Path:
    """An Enhanced CT: one file, its frames at these heights."""
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_with(PixelSpacing=[2.0, 1.5], SliceThickness=3)])
    shared.PlaneOrientationSequence = Sequence([_with(ImageOrientationPatient=AXIAL)])
    shared.PixelValueTransformationSequence = Sequence([_with(RescaleSlope=2, RescaleIntercept=5)])
    frames = []
    for height in positions:
        frame = Dataset()
        place = _with(ImagePositionPatient=[-30.0, -40.0, height])
        frame.PlanePositionSequence = Sequence([place])
        frames.append(frame)
    top = ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")
    return write_dicom(
        path,
        stored,
        SOPClassUID=EnhancedCTImageStorage,
        NumberOfFrames=len(stored),
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(frames),
        **dict.fromkeys((*top, "RescaleSlope", "RescaleIntercept")),
    )


def _with(**elements: Any) -> Dataset:
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data
