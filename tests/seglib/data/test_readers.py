from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from seglib.data.readers import file_stem, read_array, read_mask
from seglib.errors import DataError

GREY = np.random.default_rng(0).integers(0, 256, (20, 21), dtype=np.uint8)
VOLUME = np.random.default_rng(0).integers(-900, 900, (8, 9, 5)).astype(np.int16)


def save_nifti(
    path: Path, array: npt.NDArray[np.generic], zooms: tuple[float, ...] = (1.0, 2.0, 3.0)
) -> Path:
    image = nibabel.Nifti1Image(array, np.diag([*zooms, 1.0]))
    nibabel.save(image, path)
    return path


def save_flat(path: Path, array: npt.NDArray[np.generic]) -> Path:
    Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF"])
def test_flat_greys_come_out_as_stored(name: str, tmp_path: Path) -> None:
    path = save_flat(tmp_path / name, GREY)
    for read in (read_array, read_mask):
        picture = read(path)
        assert picture.array.dtype == np.uint8
        assert (picture.array == GREY).all()
        assert picture.spacing_mm == (1.0, 1.0, 1.0)
        assert not picture.volume


def test_sixteen_bit_greys_come_out_as_stored(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 257
    for name in ("a.png", "a.tif"):
        assert (read_array(save_flat(tmp_path / name, deep)).array == deep).all()


def test_colours_are_the_last_axis(tmp_path: Path) -> None:
    colours = np.stack([GREY, GREY // 2, GREY // 3], axis=-1)
    assert (read_array(save_flat(tmp_path / "a.png", colours)).array == colours).all()


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path: Path) -> None:
    colours = np.stack([GREY, GREY, GREY, np.full_like(GREY, 255)], axis=-1)
    assert read_array(save_flat(tmp_path / "a.png", colours)).array.shape == (20, 21, 3)
    colours[3, 3, 3] = 7
    with pytest.raises(DataError, match=r"b\.png: found transparent pixels"):
        read_array(save_flat(tmp_path / "b.png", colours))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_masks_of_few_bits_keep_their_numbers(bits: int, tmp_path: Path) -> None:
    labels = (GREY % 2**bits).astype(np.uint8)
    path = tmp_path / "a.png"
    write_png(path, labels, bits)
    assert (read_mask(path).array == labels).all()


def write_png(path: Path, labels: npt.NDArray[np.uint8], bits: int) -> None:
    """A grey PNG of 1, 2 or 4 bits, which Pillow itself cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = labels.shape
    planes = (labels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(planes.reshape(height, -1).astype(np.uint8), axis=1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_a_grey_palette_is_a_mask_and_a_coloured_one_is_not(tmp_path: Path) -> None:
    image = Image.fromarray(GREY % 3)
    grey = image.convert("P")
    grey.putpalette([level for i in range(256) for level in (i, i, i)])
    grey.save(tmp_path / "grey.png")
    assert (read_mask(tmp_path / "grey.png").array == GREY % 3).all()
    grey.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    grey.save(tmp_path / "colour.png")
    with pytest.raises(DataError, match="palette colours"):
        read_mask(tmp_path / "colour.png")
    assert read_array(tmp_path / "colour.png").array.shape == (20, 21, 3)


def test_a_mask_in_colour_is_refused_unless_its_channels_agree(tmp_path: Path) -> None:
    agree = np.stack([GREY, GREY, GREY], axis=-1)
    assert (read_mask(save_flat(tmp_path / "a.png", agree)).array == GREY).all()
    agree[0, 0, 1] ^= 1
    with pytest.raises(DataError, match=r"b\.png: found a mask in colour"):
        read_mask(save_flat(tmp_path / "b.png", agree))


def test_jpeg_is_an_image_but_no_mask(tmp_path: Path) -> None:
    path = save_flat(tmp_path / "a.jpg", GREY)
    assert read_array(path).array.shape == GREY.shape
    with pytest.raises(DataError, match="JPEG changes the grey values"):
        read_mask(path)


def test_a_tiff_of_several_pages_is_refused(tmp_path: Path) -> None:
    page = Image.fromarray(GREY)
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page, page])
    with pytest.raises(DataError, match=r"a\.tif: found 3 pages ; wanted one image per file"):
        read_array(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_volume_has_z_first_and_keeps_its_type(name: str, tmp_path: Path) -> None:
    picture = read_array(save_nifti(tmp_path / name, VOLUME))
    assert picture.volume
    assert picture.spacing_mm == (3.0, 2.0, 1.0)
    assert picture.array.dtype == np.int16
    assert picture.array[4, 7, 2] == VOLUME[2, 7, 4]
    assert (picture.array == VOLUME.transpose(2, 1, 0)).all()


def test_byte_order_and_units_of_the_file_do_not_matter(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOLUME, np.diag([1000.0, 2000.0, 3000.0, 1.0]))
    image.header.set_xyzt_units("micron")
    header = image.header.as_byteswapped(">")
    nibabel.save(
        nibabel.Nifti1Image(VOLUME.astype(">i2"), image.affine, header), tmp_path / "a.nii"
    )
    picture = read_array(tmp_path / "a.nii")
    assert picture.array.dtype.isnative
    assert (picture.array == VOLUME.transpose(2, 1, 0)).all()
    assert picture.spacing_mm == pytest.approx((3.0, 2.0, 1.0))


def test_scaled_voxels_are_scaled(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOLUME, np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "a.nii")
    picture = read_array(tmp_path / "a.nii")
    assert picture.array.dtype == np.float32
    assert (picture.array == VOLUME.transpose(2, 1, 0) * 0.5 + 10).all()


def test_a_last_axis_of_one_is_no_fourth_dimension(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", VOLUME[..., None])
    assert read_array(path).array.shape == (5, 9, 8)


def test_channels_of_a_volume_are_the_last_axis(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", np.stack([VOLUME, VOLUME + 1], axis=-1))
    picture = read_array(path)
    assert picture.array.shape == (5, 9, 8, 2)
    assert (picture.array[..., 1] == VOLUME.transpose(2, 1, 0) + 1).all()
    assert picture.spacing_mm == (3.0, 2.0, 1.0)
    with pytest.raises(DataError, match=r"a\.nii\.gz: found a mask of 2 channels ; wanted one"):
        read_mask(path)


def test_five_dimensions_are_refused(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", np.zeros((8, 9, 5, 2, 2), np.int16))
    with pytest.raises(DataError, match=r"a\.nii\.gz: found 5 dimensions \(8, 9, 5, 2, 2\)"):
        read_array(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(bad: float, tmp_path: Path) -> None:
    array = VOLUME.astype(np.float32)
    array[1, 2, 3] = array[4, 4, 4] = bad
    path = save_nifti(tmp_path / "a.nii.gz", array)
    for read in (read_array, read_mask):
        with pytest.raises(DataError, match=r"a\.nii\.gz: found 2 values that are NaN or infinite"):
            read(path)
    flat = save_flat(tmp_path / "a.tif", array[..., 3])
    with pytest.raises(DataError, match="found 1 values that are NaN"):
        read_array(flat)


def test_float_masks_must_hold_whole_numbers(tmp_path: Path) -> None:
    labels = (np.abs(VOLUME) % 5).astype(np.float32)
    picture = read_mask(save_nifti(tmp_path / "a.nii", labels))
    assert picture.array.dtype.kind == "i"
    assert (picture.array == labels.transpose(2, 1, 0)).all()
    labels[0, 0, 0] = 0.5
    labels[0, 0, 1] = 1.25
    with pytest.raises(DataError, match=r"b\.nii: found grey values 0\.5, 1\.25 ; wanted whole"):
        read_mask(save_nifti(tmp_path / "b.nii", labels))


def test_a_label_too_large_for_a_label_is_refused(tmp_path: Path) -> None:
    labels = np.full((3, 3, 3), 1e12, np.float64)
    with pytest.raises(DataError, match="found grey values 1e"):
        read_mask(save_nifti(tmp_path / "a.nii", labels))


def save_whole(folder: Path, name: str) -> Path:
    return (save_nifti if ".nii" in name else save_flat)(
        folder / name, VOLUME if ".nii" in name else GREY
    )


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.nii", "a.nii.gz"])
def test_truncated_files_are_unreadable_and_named(name: str, share: float, tmp_path: Path) -> None:
    path = save_whole(tmp_path, name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=rf"{name}: found an unreadable file \(.+\)") as caught:
        read_array(path)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.nii", "a.nii.gz"])
def test_damaged_files_are_read_or_refused_but_never_crash(name: str, tmp_path: Path) -> None:
    path = save_whole(tmp_path, name)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 400), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        for read in (read_array, read_mask):
            try:
                read(path)
            except DataError:
                refused += 1
    assert refused > 0


def test_wrong_content_under_a_right_name_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"no volume" * 100))
    for name in ("a.png", "a.nii.gz"):
        with pytest.raises(DataError, match="found an unreadable file"):
            read_array(tmp_path / name)


@pytest.mark.parametrize("read", [read_array, read_mask])
def test_missing_and_unknown_files_are_named(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"gone\.png: found no such file"):
        read(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"gone\.nii\.gz: found no such file"):
        read(tmp_path / "gone.nii.gz")
    with pytest.raises(DataError, match=r"a\.bmp: found a file of kind '\.bmp' ; wanted \.png"):
        read(tmp_path / "a.bmp")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.b.nii.gz", "a.b"),
        ("a.NII.GZ", "a"),
        ("a.b.png", "a.b"),
        ("W39_1998.09.19_Segm.nii", "W39_1998.09.19_Segm"),
    ],
)
def test_a_stem_is_the_name_without_its_suffix(name: str, stem: str) -> None:
    assert file_stem(Path(name)) == stem
