"""Steps of preparation that were made fast, held against the plain way to do the same."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.data import nifti
from seglib.data.picture import distinct
from seglib.data.pixels import SCALES, exact_sums, to_bytes
from seglib.data.readers import read_array
from seglib.errors import DataError

WHOLE = ["uint8", "int8", "int16", "uint16", "int32"]
VOLUME = np.random.default_rng(0).integers(-900, 900, (40, 30, 20)).astype(np.int16)


def plain_zscore(channel: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """As it was first written: all voxels of the body at once."""
    inside = channel != 0
    if np.count_nonzero(inside) > 0.95 * inside.size:
        inside = np.ones_like(inside)
    values = channel[inside].astype(np.float32)
    mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    z = (values - np.float32(mean)) / np.float32(std or 1.0)
    scale, offset, fill = SCALES["zscore"]
    stored = np.full(channel.shape, fill, dtype=np.uint8)
    stored[inside] = np.rint(np.clip((z - offset) / scale, 0, 255))
    return stored


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from([*WHOLE, "float32"]),
    empty=st.sampled_from([0.0, 0.02, 0.5, 0.97]),
)
def test_zscore_gives_the_bytes_of_the_plain_way(seed: int, kind: str, empty: float) -> None:
    rng = np.random.default_rng(seed)
    image = rng.gamma(2.0, 15.0, (3, 17, 19, 2)).astype(kind)
    image[rng.random(image.shape) < empty] = 0
    image[0, :, :5] = 0
    image[1, 0, 0] = 1, 2
    image[1, 0, 1] = 3, 5
    stored, body = to_bytes(image, "zscore", (0, 1))
    for number in range(2):
        assert np.array_equal(stored[..., number], plain_zscore(image[..., number]))
    assert body.shape == image.shape[:3]


@pytest.mark.parametrize("kind", WHOLE)
def test_sums_are_exact_up_to_the_largest_values(kind: str) -> None:
    limits = np.iinfo(kind)
    high = min(int(limits.max), 2**20)
    noise = np.random.default_rng(0).integers(max(limits.min, -high), high, (2, 90, 70))
    full = np.full((1, 1400, 1400), high)
    for values in (noise, full):
        wanted = int(values.sum()), int((values.astype(object) ** 2).sum())
        assert exact_sums(values.astype(kind)) == wanted


@pytest.mark.parametrize("kind", WHOLE)
def test_values_of_a_mask_are_those_that_are_in_it(kind: str) -> None:
    limits = np.iinfo(kind)
    mask = np.zeros((3, 6, 5), dtype=kind)
    mask[0, 0], mask[1, 2, 3], mask[2, 5, 4] = 4, limits.max, limits.min
    for one in (mask, mask[1], np.zeros_like(mask)):
        assert distinct(one) == tuple(np.unique(one).tolist())


def test_wide_numbers_have_a_zscore_too() -> None:
    image = np.random.default_rng(0).integers(0, 2**31 - 1, (3, 300, 300, 1)).astype(np.int32)
    stored, _ = to_bytes(image, "zscore", (0,))
    assert np.array_equal(stored[..., 0], plain_zscore(image[..., 0]))


def packed_volume(path: Path) -> bytes:
    nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4)), path)
    return gzip.decompress(path.read_bytes())


def test_a_packed_file_in_parts_is_one_volume(tmp_path: Path) -> None:
    """As bgzip and parallel packers write it; what follows the last part is passed by."""
    path = tmp_path / "a.nii.gz"
    content = packed_volume(path)
    parts = [content[:100], content[100:5000], content[5000:]]
    for rest in (b"", bytes(512), b"something else"):
        path.write_bytes(b"".join(map(gzip.compress, parts)) + rest)
        assert np.array_equal(read_array(path).array, VOLUME.T)


@pytest.mark.parametrize("level", [1, 6, 9])
def test_a_packed_file_is_unpacked_whole_wherever_its_pieces_end(
    level: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.gz"
    rng = np.random.default_rng(level)
    for packed_piece, piece in ((16, 258), (64, 1000), (3, 7)):
        monkeypatch.setattr(nifti, "_PACKED_PIECE", packed_piece)
        monkeypatch.setattr(nifti, "_PIECE", piece)
        for _ in range(20):
            runs = rng.integers(1, 900, 40)
            content = np.repeat(rng.integers(0, 4, 40).astype(np.uint8), runs).tobytes()
            path.write_bytes(gzip.compress(content, level))
            with path.open("rb") as file:
                assert b"".join(nifti._unpacked(file)) == content
            path.write_bytes(path.read_bytes()[:-9])
            with path.open("rb") as file, pytest.raises(EOFError, match="ends too early"):
                list(nifti._unpacked(file))


def test_a_packed_file_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    packed_volume(path)
    damaged = bytearray(path.read_bytes())
    damaged[-8] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.nii\.gz: found an unreadable file"):
        read_array(path)


def test_more_content_than_the_header_claims_stays_packed(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(packed_volume(path) + bytes(2**22)))
    assert np.array_equal(read_array(path).array, VOLUME.T)
