"""DICOM files that are damaged, lie, or hold something else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib.data.readers import read_array, read_mask
from seglib.errors import DataError
from tests.seglib.data.dicom_files import (
    stored_ct,
    write_dicom,
    write_xray,
)

STORED = stored_ct(0)


def told(source: Path | tuple[Path, ...]) -> list[str]:
    with pytest.raises(DataError, match="problem") as caught:
        read_array(source)
    assert caught.value.__cause__ is None
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("elements", "text"),
    [
        ({"PhotometricInterpretation": "RGB"}, "found an image in colour (RGB) ; wanted grey"),
        ({"PixelData": None, "Modality": "SR"}, "found no image (modality SR) ; wanted a DICOM"),
        ({"Rows": 60000, "Columns": 60000}, "found a header that claims 1 x 60000 x 60000 pixels"),
        ({"NumberOfFrames": 2**31 - 1}, f"found a header that claims {2**31 - 1} x 40 x 36 pixels"),
        ({"Rows": 41}, "found an unreadable file (The number of bytes of pixel data is less"),
    ],
)
def test_what_cannot_be_an_image_is_refused(
    elements: dict[str, Any], text: str, tmp_path: Path
) -> None:
    (line,) = told(write_dicom(tmp_path / "a.dcm", STORED, **elements))
    assert line.startswith(f"a.dcm: {text}")


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, codec="jpeg2000")
    content = path.read_bytes()
    start = content.index(b"\xff\x4f\xff\x51")
    wide = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(content[: start + 8] + wide + content[start + 12 :])
    assert "its JPEG 2000 image has another size" in told(path)[0]


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.70", "JPEG Lossless"),
        ("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless"),
        ("1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian"),
    ],
)
def test_a_transfer_syntax_that_is_not_read_is_named(
    syntax: str, name: str, tmp_path: Path
) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED)
    content = path.read_bytes()
    start = content.index(b"1.2.840.10008.1.2.1\0")
    new = syntax.encode() + b"\0" * (len(syntax) % 2)
    length = len(new).to_bytes(2, "little")
    path.write_bytes(content[: start - 2] + length + new + content[start + 20 :])
    assert f"a.dcm: found transfer syntax {name}" in told(path)[0]


def test_a_dicom_mask_is_refused(tmp_path: Path) -> None:
    path = write_xray(tmp_path / "a.dcm", STORED)
    with pytest.raises(DataError, match=r"a\.dcm: found a DICOM file as a mask ; wanted PNG"):
        read_mask(path)


@pytest.mark.parametrize("name", ["gone.dcm", "gone"])
def test_a_missing_file_is_told(name: str, tmp_path: Path) -> None:
    assert told(tmp_path / name) == [f"{name}: found no such file"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("codec", ["", "jpeg2000"])
def test_truncated_files_are_unreadable(codec: str, share: float, tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, codec=codec)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "a.dcm: found" in told(path)[0]


@pytest.mark.parametrize("codec", ["", "jpeg2000"])
def test_damaged_files_are_read_or_refused_and_nothing_is_printed(
    codec: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, codec=codec)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    with caplog.at_level(logging.WARNING):
        for _ in range(150):
            damaged = bytearray(whole)
            for place in rng.integers(128, len(whole), 4):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            for source in (path, (path,)):
                try:
                    read_array(source)
                except DataError:
                    refused += 1
    assert refused > 0
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
