from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from seglib.data.readers import read_array
from seglib.errors import DataError
from tests.seglib.data.dicom_files import (
    ROOT,
    stored_ct,
    write_dicom,
    write_enhanced,
    write_series,
    write_slice,
    write_xray,
)

STORED = stored_ct(0)


def told(source: Path | tuple[Path, ...]) -> list[str]:
    with pytest.raises(DataError, match="problem") as caught:
        read_array(source)
    assert caught.value.__cause__ is None
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("codec", ["", "jpeg2000"])
@pytest.mark.parametrize("name", ["a.dcm", "IM0001", "CT.1.2.840.16573"])
def test_a_file_is_read_by_its_content_in_hounsfield_units(
    name: str, codec: str, tmp_path: Path
) -> None:
    picture = read_array(write_dicom(tmp_path / name, STORED, codec=codec))
    assert picture.array.dtype == np.int16
    assert (picture.array == STORED.astype(int) - 1024).all()
    assert not picture.volume
    assert picture.spacing_mm == (1.0, 2.0, 1.5)
    assert picture.measured


def test_a_slope_that_is_no_whole_number_gives_real_values(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", STORED, RescaleSlope=0.5, RescaleIntercept=-3)
    picture = read_array(path)
    assert picture.array.dtype == np.float32
    assert (picture.array == STORED * 0.5 - 3).all()


def test_signed_and_eight_bit_values_come_out_as_stored(tmp_path: Path) -> None:
    signed = STORED.astype(np.int16) - 2000
    path = write_dicom(tmp_path / "a", signed, RescaleSlope=None, RescaleIntercept=None)
    assert (read_array(path).array == signed).all()
    small = (STORED % 256).astype(np.uint8)
    picture = read_array(write_xray(tmp_path / "b", small))
    assert picture.array.dtype == np.uint8
    assert (picture.array == small).all()


@pytest.mark.parametrize(("bits", "highest"), [(16, 65535), (12, 4095)])
def test_monochrome1_is_turned_so_that_bright_is_dense(
    bits: int, highest: int, tmp_path: Path
) -> None:
    path = write_xray(
        tmp_path / "a",
        STORED,
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=bits,
        HighBit=bits - 1,
    )
    assert (read_array(path).array == highest - STORED.astype(int)).all()


def test_monochrome1_is_turned_within_what_the_rescale_makes_of_its_range(tmp_path: Path) -> None:
    small = (STORED % 256).astype(np.uint8)
    path = write_dicom(
        tmp_path / "a",
        small,
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope=2,
        RescaleIntercept=10,
    )
    assert (read_array(path).array == (10 + 520) - (small * 2.0 + 10)).all()


def test_an_xray_tells_its_spacing_but_not_where_it_lies(tmp_path: Path) -> None:
    picture = read_array(write_xray(tmp_path / "a", STORED))
    assert picture.spacing_mm == (1.0, 0.2, 0.1)
    assert picture.measured
    assert picture.affine is None
    nothing = read_array(write_xray(tmp_path / "b", STORED, ImagerPixelSpacing=None))
    assert nothing.spacing_mm == (1.0, 1.0, 1.0)
    assert not nothing.measured


def test_a_series_is_sorted_by_position_whatever_the_order_of_files(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    for paths in (files, files[::-1]):
        picture = read_array(paths)
        assert picture.array.shape == (5, 40, 36)
        for z in range(5):
            assert (picture.array[z] == stored_ct(z).astype(int) - 1024).all()
        assert picture.spacing_mm == (2.5, 2.0, 1.5)


def test_a_series_lies_where_its_headers_say(tmp_path: Path) -> None:
    affine = read_array(write_series(tmp_path)).affine
    assert affine is not None
    # Column 3, row 2, slice 4 in LPS; RAS turns left and back round.
    x, y, z = -30 + 3 * 1.5, -40 + 2 * 2.0, 4 * 2.5
    assert np.allclose(affine @ [3, 2, 4, 1], [-x, -y, z, 1])
    assert nibabel.aff2axcodes(affine) == ("L", "P", "S")


def test_a_sagittal_series_lies_where_its_headers_say(tmp_path: Path) -> None:
    files = [
        write_slice(
            tmp_path / f"{number}",
            number,
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
            ImagePositionPatient=[10.0 + 4 * number, -50, 60],
        )
        for number in range(3)
    ]
    picture = read_array(tuple(files))
    assert picture.spacing_mm == (4.0, 2.0, 1.5)
    assert picture.affine is not None
    assert nibabel.aff2axcodes(picture.affine) == ("P", "I", "R")
    # The normal points to the right, so the file furthest to the left comes first.
    assert (picture.array[2] == stored_ct(0).astype(int) - 1024).all()
    assert np.allclose(picture.affine @ [0, 0, 2, 1], [-10, 50, 60, 1])


def test_positions_may_be_rounded(tmp_path: Path) -> None:
    heights = (0.0, 0.6, 1.3, 1.9, 2.5)
    files = [
        write_slice(tmp_path / f"{number}", number, ImagePositionPatient=[0, 0, height])
        for number, height in enumerate(heights)
    ]
    assert read_array(tuple(files)).spacing_mm[0] == pytest.approx(0.625)


def test_a_series_without_positions_goes_by_number_and_lies_nowhere(tmp_path: Path) -> None:
    picture = read_array(write_series(tmp_path, ImagePositionPatient=None))
    assert (picture.array[0] == stored_ct(4).astype(int) - 1024).all()  # number 96
    assert picture.affine is None
    assert picture.spacing_mm == (1.0, 1.0, 1.0)
    lost = write_series(tmp_path, ImagePositionPatient=None, InstanceNumber=None)
    assert "found 5 slices without an order ; wanted positions, or instance" in told(lost)[0]


def test_a_missing_slice_is_told_with_its_neighbours(tmp_path: Path) -> None:
    files = write_series(tmp_path, 6)
    assert told((*files[:3], *files[4:])) == [
        "IM002: found 5 mm from IM004 to here ; wanted 2.5 mm, as elsewhere\n"
        "    hint: 1 slice missing?"
    ]


def test_all_faults_of_a_series_are_told_at_once(tmp_path: Path) -> None:
    files = write_series(tmp_path, 8)
    other = {"step": 2.5, "SeriesInstanceUID": f"{ROOT}.9"}
    write_slice(files[1], 1, **other)
    write_dicom(files[2], stored_ct(2, (40, 37)), ImagePositionPatient=[-30, -40, 5])
    write_slice(files[3], 3, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    write_slice(files[4], 4, PixelSpacing=[3, 3])
    files[5].write_bytes(files[5].read_bytes()[:-40])
    files[6].write_text("no picture")
    files[7].unlink()
    lines = told(files)
    for name, text in (
        ("IM007", f"found series {ROOT}.9 ; wanted series {ROOT}.1.1, as in IM008"),
        ("IM006", "found 40 x 37 pixels ; wanted 40 x 36 pixels, as in IM008"),
        ("IM005", "found orientation 0, 1, 0, 0, 0, -1 ; wanted orientation 1, 0, 0, 0, 1, 0"),
        ("IM004", "found pixel spacing 3, 3 ; wanted pixel spacing 2, 1.5, as in IM008"),
        ("IM003", "found an unreadable file (The number of bytes of pixel data is less"),
        ("IM002", "found an unreadable file (no DICOM in it)"),
        ("IM001", "found no such file"),
    ):
        assert sum(line.startswith(f"{name}: {text}") for line in lines) == 1, (name, lines)
    assert len(lines) == 7


def test_two_slices_at_one_position_are_told(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    twin = write_slice(tmp_path / "twin", 2)
    (line,) = told((*files, twin))
    assert line.startswith("twin: found the position of IM003 ; wanted one of its own")


def test_files_of_nested_folders_are_named_from_the_folder_they_share(tmp_path: Path) -> None:
    files = (write_slice(tmp_path / "a" / "1", 0), write_slice(tmp_path / "b" / "1", 0))
    assert told(files)[0].startswith(f"{Path('b/1')}: found the position of {Path('a/1')}")


def test_frames_of_an_enhanced_file_make_a_volume(tmp_path: Path) -> None:
    stored = np.stack([stored_ct(number) for number in range(3)])
    picture = read_array(write_enhanced(tmp_path / "a.dcm", stored, [8.0, 4.0, 0.0]))
    assert (picture.array == stored[::-1] * 2 + 5).all()
    assert picture.spacing_mm == (4.0, 2.0, 1.5)
    assert picture.volume
    (line,) = told(write_enhanced(tmp_path / "b.dcm", stored, [0.0, 4.0, 4.0]))
    assert line.startswith("b.dcm, frame 3: found the position of b.dcm, frame 2")


def test_frames_that_lie_nowhere_are_refused(tmp_path: Path) -> None:
    stored = np.stack([STORED] * 3)
    (line,) = told(write_dicom(tmp_path / "a.dcm", stored, NumberOfFrames=3))
    assert "found 3 frames that do not say where they lie ; wanted one image per file" in line
