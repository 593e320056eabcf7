"""A mask lies where its image lies, whatever kind of file that is."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from seglib.data.readers import read_array, read_mask
from seglib.data.writers import mask_suffix, write_mask
from seglib.errors import UnwritableError
from tests.seglib.data.dicom_files import stored_ct, write_enhanced, write_series, write_xray

OBLIQUE = np.array(
    [[0.9, -0.3, 0.2, -80], [0.35, 1.1, -0.1, 12.5], [-0.1, 0.25, 2.9, 3], [0, 0, 0, 1]]
)
SHAPE = (4, 6, 5)  # x, y, z


def grey(shape=(5, 6, 4), values=(0, 1, 2, 4), dtype=np.uint8):
    return np.random.default_rng(0).choice(values, shape).astype(dtype)


def nifti(path, shape=SHAPE, affine=OBLIQUE, dtype=np.int16, kind=nibabel.Nifti1Image):
    array = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    image = kind(array, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=2)
    image.set_qform(affine, code=1, strip_shears=True)
    nibabel.save(image, path)
    return path


def write(path: Path, array, source):
    picture = read_array(source)
    first = source[0] if isinstance(source, tuple) else source
    spacing = picture.spacing_mm if picture.measured else None
    write_mask(path, array, first, spacing_mm=spacing, affine=picture.affine)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_an_oblique_volume_keeps_both_affines_their_codes_and_its_units(tmp_path, suffix, kind):
    source = nifti(tmp_path / f"image{suffix}", kind=kind)
    path = write(tmp_path / f"mask{suffix}", grey(), source)
    image, mask = nibabel.load(source), nibabel.load(path)
    assert type(mask) is type(image)
    assert mask.shape == SHAPE
    assert mask.get_data_dtype() == np.uint8
    for name in ("get_sform", "get_qform"):
        ours, theirs = (getattr(one.header, name)(coded=True) for one in (mask, image))
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1] > 0
    assert mask.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(mask.header["pixdim"][:4], image.header["pixdim"][:4])
    np.testing.assert_array_equal(np.asarray(mask.dataobj).T, grey())
    np.testing.assert_array_equal(read_mask(path).array, grey())


@pytest.mark.parametrize(
    ("shape", "kept"), [((4, 6, 5, 3), (4, 6, 5)), ((4, 6, 5, 1, 2), (4, 6, 5)), ((4, 6), (4, 6))]
)
def test_a_mask_has_the_grid_of_its_image_and_no_channels(tmp_path, shape, kept):
    source = nifti(tmp_path / "image.nii", shape)
    array = grey((kept[2] if len(kept) > 2 else 1, 6, 4))
    path = write(tmp_path / "mask.nii", array, source)
    assert nibabel.load(path).shape == kept
    np.testing.assert_array_equal(read_mask(path).array, array)
    np.testing.assert_array_equal(nibabel.load(path).affine, nibabel.load(source).affine)


def test_numbers_of_an_image_that_is_scaled_are_not_scaled(tmp_path):
    image = nibabel.Nifti1Image(np.zeros(SHAPE, np.int16), OBLIQUE)
    image.header.set_slope_inter(0.5, -1024)
    nibabel.save(image, tmp_path / "image.nii")
    path = write(tmp_path / "mask.nii", grey(), tmp_path / "image.nii")
    assert nibabel.load(path).header.get_slope_inter() in ((1.0, 0.0), (None, None))
    np.testing.assert_array_equal(read_mask(path).array, grey())


@pytest.mark.parametrize(("values", "dtype"), [((0, 1000), np.int16), ((-3, 70000), np.int32)])
def test_large_grey_values_fit(tmp_path, values, dtype):
    array = grey(values=values, dtype=dtype)
    path = write(tmp_path / "mask.nii.gz", array, nifti(tmp_path / "image.nii.gz"))
    assert nibabel.load(path).get_data_dtype() == dtype
    np.testing.assert_array_equal(read_mask(path).array, array)


def test_the_same_mask_is_the_same_file(tmp_path):
    source = nifti(tmp_path / "image.nii.gz")
    paths = [write(tmp_path / name, grey(), source) for name in ("a.nii.gz", "b.nii.gz")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_dicom_series_becomes_a_volume_that_lies_where_its_slices_lie(tmp_path):
    source = write_series(
        tmp_path / "series", 3, ImageOrientationPatient=[0.8, 0.6, 0, -0.6, 0.8, 0]
    )
    picture = read_array(source)
    array = grey((3, 40, 36))
    path = write(tmp_path / "mask.nii.gz", array, source)
    mask = nibabel.load(path)
    np.testing.assert_allclose(mask.affine, picture.affine, atol=1e-5)
    np.testing.assert_allclose(mask.header.get_zooms(), picture.spacing_mm[::-1], rtol=1e-6)
    assert mask.header["sform_code"] == mask.header["qform_code"] == 1
    assert mask.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(read_mask(path).array, array)


def test_a_tilted_gantry_is_told_by_the_affine_that_can(tmp_path):
    stored = np.stack([stored_ct(number) for number in range(3)])
    source = write_enhanced(tmp_path / "enhanced", stored, [0.0, 3.0, 6.0])
    picture = read_array(source)
    tilted = picture.affine.copy()
    tilted[1, 2] = 0.7
    write_mask(tmp_path / "m.nii", grey((3, 40, 36)), source, spacing_mm=(3, 2, 1.5), affine=tilted)
    mask = nibabel.load(tmp_path / "m.nii")
    np.testing.assert_allclose(mask.affine, tilted, atol=1e-5)
    assert mask.header["qform_code"] == 0


def test_slices_that_say_nothing_of_their_place_keep_their_spacing(tmp_path):
    source = nifti(tmp_path / "any.nii")
    write_mask(tmp_path / "m.nii.gz", grey(), tmp_path / "IM1", spacing_mm=(3, 2, 1.5), affine=None)
    mask = nibabel.load(tmp_path / "m.nii.gz")
    assert mask.header.get_zooms() == (1.5, 2, 3)
    assert mask.header["sform_code"] == 0
    assert source.exists()


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", ".png"), ("I;16", ".png"), ("RGB", ".png"), ("RGB", ".jpg"), ("L", ".tif")],
)
def test_a_picture_keeps_its_size_and_its_resolution(tmp_path, mode, suffix):
    image = Image.new(mode, (9, 7), 1 if mode != "RGB" else (1, 2, 3))
    image.save(tmp_path / f"image{suffix}", dpi=(254, 127))
    kept = mask_suffix(tmp_path / f"image{suffix}", volume=False)
    assert kept == (".tif" if suffix == ".tif" else ".png")
    array = grey((1, 7, 9), (0, 255))
    path = write(tmp_path / f"mask{kept}", array, tmp_path / f"image{suffix}")
    np.testing.assert_array_equal(read_mask(path).array, array[0])
    with Image.open(path) as mask:
        assert mask.info["dpi"] == pytest.approx((254, 127), rel=1e-3)


def test_a_photograph_that_lies_on_its_side_has_a_mask_that_does(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (9, 7)).save(tmp_path / "image.jpg", exif=exif)
    path = write(tmp_path / "mask.png", grey((1, 7, 9)), tmp_path / "image.jpg")
    with Image.open(path) as mask:
        assert mask.getexif()[0x0112] == 6
        assert mask.size == (9, 7)


@pytest.mark.parametrize(
    ("suffix", "values", "dtype"),
    [(".png", (0, 1000), np.int16), (".tif", (0, 60000), np.uint16), (".tif", (-5, 9), np.int16)],
)
def test_pictures_hold_grey_values_of_more_than_a_byte(tmp_path, suffix, values, dtype):
    Image.new("L", (9, 7)).save(tmp_path / "image.png")
    array = grey((1, 7, 9), values, dtype)
    path = write(tmp_path / f"mask{suffix}", array, tmp_path / "image.png")
    np.testing.assert_array_equal(read_mask(path).array, array[0])


def test_the_millimetres_of_an_xray_become_the_resolution_of_its_mask(tmp_path):
    source = write_xray(
        tmp_path / "x.dcm", np.zeros((7, 9), np.uint16) + np.arange(9, dtype=np.uint16)
    )
    with Image.open(write(tmp_path / "m.png", grey((1, 7, 9)), source)) as mask:
        assert mask.info["dpi"] == pytest.approx((25.4 / 0.1, 25.4 / 0.2), rel=1e-3)


def test_negative_values_want_a_tiff():
    assert mask_suffix(Path("x.png"), volume=False, wide=True) == ".tif"
    assert mask_suffix(Path("IM001"), volume=True, wide=True) == ".nii.gz"


def test_what_fails_leaves_nothing(tmp_path):
    source = nifti(tmp_path / "image.nii")

    def refuse(temporary):
        assert temporary.stat().st_size > 352
        raise OSError(28, "No space left on device")

    with pytest.raises(UnwritableError, match="the disk is full"):
        write_mask(
            tmp_path / "new" / "m.nii", grey(), source, spacing_mm=None, affine=None, written=refuse
        )
    assert list((tmp_path / "new").iterdir()) == []
