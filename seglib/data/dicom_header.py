"""DICOM headers: what a file says of itself before its pixels are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglib.data.picture import fault, reading
from seglib.data.stacks import Pose
from seglib.foreign import file_size

__all__ = [
    "DICOM_SUFFIXES",
    "Header",
    "find_number",
    "header_of",
    "is_dicom",
    "open_dicom",
    "read_header",
]

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Names that DICOM files often have, and need not have."""

_MAGIC, _MAGIC_FROM = b"DICM", 128
_DEFLATED = "1.2.840.10008.1.2.1.99"  # a small file could unpack to any size
_TAGS = [
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleIntercept",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
# Where the frames of an Enhanced CT or MR keep what single slices have at the top.
_MACROS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
)
_UNIT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Header:
    """What a layout and a reader ask of a file; a text is empty where it says nothing.

    Args:
        patient: PatientID.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        series_number: As a text.
        modality: Such as CT, MR or DX.
        kind: Name of its SOP class, such as CT Image Storage.
        image_type: Words such as ORIGINAL and LOCALIZER.
        num_frames: 0 where the file is no image.
        poses: One for each frame; none where several frames do not say where they lie.
        rescaled: It says how stored numbers become those of the modality.
    """

    patient: str
    study: str
    series: str
    series_number: str
    modality: str
    kind: str
    image_type: tuple[str, ...]
    num_frames: int
    poses: tuple[Pose, ...]
    rescaled: bool

    @property
    def cut(self) -> bool:
        """It should be an image, and ends before it."""
        return self.num_frames == 0 and "Image Storage" in self.kind


def is_dicom(path: Path) -> bool:
    """Does the file begin as DICOM does? Its name does not matter."""
    try:
        file_size(path)
        with path.open("rb") as file:
            return file.read(_MAGIC_FROM + len(_MAGIC))[_MAGIC_FROM:] == _MAGIC
    except OSError:
        return False


def read_header(path: Path) -> Header:
    """Read what a file says of itself; its pixels stay unread.

    Args:
        path: The file.

    Returns:
        The header.

    Raises:
        DataError: The file is missing, damaged or no DICOM.
    """
    with reading(path):
        return header_of(open_dicom(path, stop_before_pixels=True, specific_tags=_TAGS))


def open_dicom(path: Path, **options: Any) -> Any:
    """The data set of a file, by pydicom; call it inside :func:`seglib.data.picture.reading`.

    Args:
        path: The file.
        **options: Of ``pydicom.dcmread``.

    Returns:
        A ``pydicom.Dataset``.

    Raises:
        DataError: The file is no DICOM, or is packed as a whole.
    """
    import pydicom  # a folder of PNG files need not wait for it
    from pydicom.filereader import read_file_meta_info

    file_size(path)
    if not is_dicom(path):
        raise fault(path, "an unreadable file (no DICOM in it)", "a whole, undamaged file")
    if read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
        raise fault(path, "transfer syntax Deflated Explicit VR Little Endian", "it unpacked")
    return pydicom.dcmread(path, **options)


def header_of(data: Any) -> Header:
    """What an open data set says.

    Args:
        data: A ``pydicom.Dataset``.

    Returns:
        The header.
    """
    shape = (int(data.get("Rows") or 0), int(data.get("Columns") or 0))
    num_frames = max(0, int(data.get("NumberOfFrames") or 1)) if min(shape) > 0 else 0
    kinds = data.get("ImageType") or ()
    return Header(
        patient=_text(data, "PatientID"),
        study=_text(data, "StudyInstanceUID"),
        series=_text(data, "SeriesInstanceUID"),
        series_number=_text(data, "SeriesNumber"),
        modality=_text(data, "Modality").upper(),
        kind=str(getattr(data.file_meta.get("MediaStorageSOPClassUID"), "name", "")),
        image_type=tuple(map(str, (kinds,) if isinstance(kinds, str) else kinds)),
        num_frames=num_frames,
        poses=_poses(data, shape, num_frames),
        rescaled=num_frames > 0 and find_number(data, 0, "RescaleIntercept") is not None,
    )


def find_number(data: Any, frame: int, keyword: str) -> float | None:
    """A number that the header gives for a frame; None where it gives none.

    Args:
        data: A ``pydicom.Dataset``.
        frame: From 0.
        keyword: Name of the element.

    Returns:
        A finite number, or None.
    """
    values = _numbers(_parts(data, frame), keyword, 1)
    return values[0] if values else None


def _poses(data: Any, shape: tuple[int, int], num_frames: int) -> tuple[Pose, ...]:
    if num_frames > 1 and len(data.get("PerFrameFunctionalGroupsSequence") or ()) != num_frames:
        return ()
    number = find_number(data, 0, "InstanceNumber")
    poses = []
    for frame in range(num_frames):
        parts = _parts(data, frame)
        spacing = (
            _numbers(parts, "PixelSpacing", 2)
            or _numbers(parts, "ImagerPixelSpacing", 2)
            or _numbers(parts, "NominalScannedPixelSpacing", 2)
        )
        thickness = _numbers(parts, "SliceThickness", 1)
        poses.append(
            Pose(
                shape=shape,
                series=_text(data, "SeriesInstanceUID"),
                number=None if number is None else int(number),
                spacing_mm=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
                position=_numbers(parts, "ImagePositionPatient", 3),
                orientation=_orientation(parts),
                thickness_mm=thickness[0] if thickness and thickness[0] > 0 else None,
            )
        )
    return tuple(poses)


def _parts(data: Any, frame: int) -> list[Any]:
    """Where the elements of a frame may stand: at the top, or in a functional group."""
    parts = [data]
    own = data.get("PerFrameFunctionalGroupsSequence") or ()
    shared = data.get("SharedFunctionalGroupsSequence") or ()
    for group in (*own[frame : frame + 1], *shared[:1]):
        parts += [group.get(name)[0] for name in _MACROS if group.get(name)]
    return parts


def _numbers(parts: Sequence[Any], keyword: str, count: int) -> tuple[float, ...] | None:
    """The first such element, if it holds so many finite numbers."""
    for part in parts:
        value = part.get(keyword)
        if value is None or value == "":
            continue
        several = value if hasattr(value, "__len__") and not isinstance(value, str) else (value,)
        numbers = tuple(map(float, several))
        if len(numbers) == count and all(map(math.isfinite, numbers)):
            return numbers
    return None


def _orientation(parts: Sequence[Any]) -> tuple[float, ...] | None:
    """Two directions at a right angle, or None."""
    numbers = _numbers(parts, "ImageOrientationPatient", 6)
    if numbers is None:
        return None
    row, column = numbers[:3], numbers[3:]
    lengths = (math.hypot(*row), math.hypot(*column))
    slant = sum(a * b for a, b in zip(row, column, strict=True))
    near = all(abs(length - 1) < _UNIT_TOLERANCE for length in lengths)
    return numbers if near and abs(slant) < _UNIT_TOLERANCE else None


def _text(data: Any, keyword: str) -> str:
    value = data.get(keyword)
    return "" if value is None else str(value).strip()
