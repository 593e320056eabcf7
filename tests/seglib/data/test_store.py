from __future__ import annotations

import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.data.store import ARRAYS, CHECKSUMS, Store, StoreInfo
from seglib.data.store_writer import write_store
from seglib.errors import DataError
from seglib.files import checksum
from seglib.target import Target

TARGET = Target(
    kind="organs", classes=("left", "right"), values={0: 0, 7: 1, 9: 2}, members=((1,), (2,))
)


def some_pixels(num_slices: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(num_slices)
    images = rng.integers(0, 256, (num_slices, 16, 16, 2), dtype=np.uint8)
    masks = rng.integers(0, 3, (num_slices, 16, 16), dtype=np.uint8)
    masks[0] = 0
    return images, masks


def write(path: Path, sizes: tuple[int, ...] = (2, 1, 3)) -> Store:
    images, masks = some_pixels(sum(sizes))
    cuts = np.cumsum(sizes)[:-1]
    index = pd.DataFrame(
        {
            "case": [f"c{i // 2}" for i in range(len(masks))],
            "group": [f"p{i // 4}" for i in range(len(masks))],
            "slice": range(len(masks)),
            "px_left": (masks == 1).sum((1, 2)),
            "px_right": (masks == 2).sum((1, 2)),
        }
    )
    info = StoreInfo(
        key="k",
        target=TARGET,
        channels=("a", "b"),
        image_size=16,
        scale=0.5,
        offset=-1.0,
        layout="pairs",
        notes=("a note",),
    )
    pieces = zip(np.split(images, cuts), np.split(masks, cuts), strict=True)
    return write_store(path, info, pieces=pieces, index=index)


@pytest.mark.parametrize("sizes", [(6,), (2, 1, 3), (1, 1, 1, 1, 1, 1)])
def test_pieces_come_back_as_one(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    write(tmp_path / "s", sizes)
    store = Store.open(tmp_path / "s")
    images, masks = some_pixels(6)
    assert np.array_equal(store.images, images)
    assert np.array_equal(store.masks, masks)
    assert store.index["slice"].tolist() == list(range(6))
    assert (len(store), store.info.num_cases, store.info.num_groups) == (6, 3, 2)
    assert store.target == TARGET
    assert store.info.notes == ("a note",)
    assert (store.num_channels, store.image_size, store.scale, store.offset) == (2, 16, 0.5, -1.0)


@pytest.mark.parametrize(
    ("layout", "unit"), [("phantom-brats", "mm"), ("phantom-xray", "px"), ("phantom-ct", "px")]
)
def test_unit_is_mm_only_where_the_files_say_how_large_a_pixel_is(
    layout: str, unit: str, tmp_path: Path
) -> None:
    spec = DataSpec(layout=layout, cases=2, image_size=32)
    assert prepare(spec, None, tmp_path).info.unit == unit


def test_foreground_is_told_per_slice(tmp_path: Path) -> None:
    store = write(tmp_path / "s")
    assert store.has_foreground().tolist() == [False] + [True] * 5


def test_arrays_are_maps_that_cannot_be_written(tmp_path: Path) -> None:
    store = write(tmp_path / "s")
    assert isinstance(store.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.masks[0] = 1


def test_pickle_holds_the_path_and_no_pixels(tmp_path: Path) -> None:
    store = write(tmp_path / "s")
    sent = pickle.dumps(store)
    assert len(sent) < 300 + len(str(tmp_path))
    received = pickle.loads(sent)
    assert isinstance(received.images, np.memmap)
    assert np.array_equal(received.images, store.images)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.parquet"])
def test_cut_and_missing_files_are_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "s")
    file = tmp_path / "s" / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{name}: found \d+ bytes ; wanted \d+ bytes"):
        Store.open(tmp_path / "s")
    file.unlink()
    with pytest.raises(DataError, match=f"{name}: found no such file"):
        Store.open(tmp_path / "s")


@pytest.mark.fault("corruption")
@pytest.mark.parametrize("name", ["index.parquet", "store.json", "SHA256SUMS"])
def test_one_flipped_bit_in_a_small_file_is_noticed_at_every_opening(
    tmp_path: Path, name: str
) -> None:
    write(tmp_path / "s")
    file = tmp_path / "s" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"found (changed content|a store\.json|a SHA256SUMS)"):
        Store.open(tmp_path / "s")


@pytest.mark.parametrize("name", ARRAYS)
def test_one_flipped_bit_in_an_array_is_noticed_by_its_checksum(tmp_path: Path, name: str) -> None:
    store = write(tmp_path / "s")
    digests = {store.path / one: checksum(store.path / one) for one in ARRAYS}
    store.require_content(digests)
    digests[store.path / name] = "0" * 64
    with pytest.raises(DataError, match=rf"1 problem\n  {name}: found changed content"):
        store.require_content(digests)


def test_checksums_are_those_of_a_plain_tool(tmp_path: Path) -> None:
    write(tmp_path / "s")
    check = ["sha256sum", "--check", "--quiet", "--strict", CHECKSUMS]
    assert subprocess.run(check, cwd=tmp_path / "s", check=False).returncode == 0


@pytest.mark.parametrize(
    ("header", "found"),
    [(b"(6, 16, 16, 1)", "arrays of another shape"), (b"(6, 16, 16, ?)", "cannot be read")],
)
def test_head_of_an_array_is_believed_only_if_it_fits(
    tmp_path: Path, header: bytes, found: str
) -> None:
    write(tmp_path / "s")
    file = tmp_path / "s" / "images.npy"
    content = file.read_bytes()
    assert b"(6, 16, 16, 2)" in content
    file.write_bytes(content.replace(b"(6, 16, 16, 2)", header))
    with pytest.raises(DataError, match=found):
        Store.open(tmp_path / "s")


def test_damaged_or_newer_description_is_named(tmp_path: Path) -> None:
    store = write(tmp_path / "s")
    file = tmp_path / "s" / "store.json"
    file.write_text(store.info.model_copy(update={"version": 99}).model_dump_json())
    with pytest.raises(DataError, match="version 99"):
        Store.open(tmp_path / "s")
    file.write_text("{")
    with pytest.raises(DataError, match=r"store\.json that cannot be read"):
        Store.open(tmp_path / "s")
    with pytest.raises(DataError, match=r"no store\.json"):
        Store.open(tmp_path / "nowhere")


def test_failed_writing_leaves_nothing(tmp_path: Path) -> None:
    store = write(tmp_path / "s")

    def pieces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield store.images[:2], store.masks[:2]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_store(tmp_path / "t", store.info, pieces=pieces(), index=store.index)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_rest_of_an_earlier_writing_does_no_harm(tmp_path: Path) -> None:
    rest = tmp_path / "s.writing" / "images.npy"
    rest.parent.mkdir()
    rest.write_text("half")
    assert len(write(tmp_path / "s")) == 6
    assert not rest.parent.exists()
