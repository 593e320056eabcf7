from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.data.store import Store
from seglib.errors import DataError

SIZE = 24
REGIONS = DataSpec(target="regions", channels=("flair", "t1ce"), image_size=SIZE, layout="brats")
PAIRS = DataSpec(image_size=SIZE, normalise="none")


def write_volume(path: Path, array: np.ndarray, spacing_mm: tuple[float, ...] = (2, 1, 1)) -> None:
    """Write ``(Z, H, W)`` with its spacing along z, y, x."""
    affine = np.diag([*spacing_mm[::-1], 1.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), affine), path)


def write_patient(root: Path, number: int, *, size: int = SIZE, depth: int = 6) -> Path:
    """A grey ball of body, a bright box of tumour in slices 2 and 3; slices 0 and 5 empty."""
    rng = np.random.default_rng(number)
    seg = np.zeros((depth, size, size), dtype=np.uint8)
    low, high = size // 4, size // 2
    seg[2:4, low:high, low : high + 2] = 2
    seg[2:4, low : high - 1, low:high] = 4
    seg[3, low : low + 2, low : low + 2] = 1
    folder = root / f"BraTS2021_{number:05d}"
    for name in ("flair", "t1ce"):
        body = np.zeros(seg.shape, dtype=np.int16)
        body[1:-1, 2:-2, 2:-2] = rng.integers(100, 200, body[1:-1, 2:-2, 2:-2].shape)
        body[seg > 0] = 900
        write_volume(folder / f"{folder.name}_{name}.nii.gz", body)
    write_volume(folder / f"{folder.name}_seg.nii.gz", seg)
    return folder


def write_pair(root: Path, name: str, *, size: tuple[int, int] = (SIZE, SIZE)) -> None:
    rng = np.random.default_rng(sum(name.encode()))
    image = rng.integers(0, 100, size, dtype=np.uint8)
    mask = np.zeros(size, dtype=np.uint8)
    mask[4:12, 6:14] = 255
    image[mask > 0] += 150
    save_pair(root, name, image, mask)


def save_pair(root: Path, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    for folder, array in (("Image", image), ("Mask", mask)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / folder / f"{name}.png")


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    for number in range(3):
        write_patient(tmp_path / "brats", number)
    return tmp_path / "brats"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_pair(tmp_path / "pairs", name)
    return tmp_path / "pairs"


def files_of(store: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.path.iterdir())}


def test_masks_sit_where_the_image_says(brats: Path, tmp_path: Path) -> None:
    store = prepare(REGIONS, brats, tmp_path / "root")
    assert store.images.shape == (12, SIZE, SIZE, 2)
    assert store.channels == ("flair", "t1ce")
    bright = store.images[..., 0] * store.scale + store.offset > 2
    assert np.array_equal(bright, store.masks > 0)
    assert (store.images[:, 0] == 0).all()


def test_index_counts_what_the_arrays_hold(brats: Path, tmp_path: Path) -> None:
    store = prepare(REGIONS, brats, tmp_path / "root")
    table = np.array(store.target.membership())
    for number, name in enumerate(store.target.classes):
        counted = table[store.masks][..., number].sum((1, 2))
        assert store.index[f"px_{name}"].tolist() == counted.tolist()
        assert counted.any()
    assert store.index["slice"].tolist() == [1, 2, 3, 4] * 3
    assert store.index["body_px"].tolist() == [(SIZE - 4) ** 2] * 12
    assert store.info.num_groups == store.info.num_cases == 3


def test_spacing_follows_the_size(tmp_path: Path) -> None:
    write_patient(tmp_path / "brats", 0, size=2 * SIZE)
    spec = REGIONS.model_copy(update={"every": 3})
    row = prepare(spec, tmp_path / "brats", tmp_path / "root").index.iloc[0]
    assert [row[f"spacing_{axis}_mm"] for axis in "zyx"] == [6.0, 2.0, 2.0]


def test_slices_are_left_out_as_asked(tmp_path: Path) -> None:
    write_patient(tmp_path / "brats", 0)

    def slices(**changes: object) -> list[int]:
        store = prepare(REGIONS.model_copy(update=changes), tmp_path / "brats", tmp_path / "root")
        return list(store.index["slice"])

    assert slices() == [1, 2, 3, 4]
    assert slices(drop_empty=False) == [0, 1, 2, 3, 4, 5]
    assert slices(drop_empty=False, every=3) == [0, 3]


def test_same_settings_mean_no_work(brats: Path, tmp_path: Path) -> None:
    first = prepare(REGIONS, brats, tmp_path / "root")
    texts: list[str] = []
    again = prepare(
        REGIONS, brats, tmp_path / "root", progress=lambda done, total, text: texts.append(text)
    )
    assert again.path == first.path
    assert "preparing" not in texts
    auto = REGIONS.model_copy(update={"layout": "auto", "window_hu": (-10.0, 10.0)})
    assert prepare(auto, brats, tmp_path / "root").key == first.key


def test_moved_folder_keeps_its_store(brats: Path, tmp_path: Path) -> None:
    first = prepare(REGIONS, brats, tmp_path / "root")
    brats.rename(tmp_path / "moved")
    assert prepare(REGIONS, tmp_path / "moved", tmp_path / "root").path == first.path


def test_changed_file_or_setting_means_another_store(pairs: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    keys = {prepare(PAIRS, pairs, root).key}
    for changes in ({"image_size": 16}, {"normalise": "percentile"}, {"drop_empty": False}):
        keys.add(prepare(PAIRS.model_copy(update=changes), pairs, root).key)
    with Image.open(pairs / "Image" / "a.png") as image:
        pixels = np.array(image)
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(pairs / "Image" / "a.png")
    changed = prepare(PAIRS, pairs, root)
    keys.add(changed.key)
    assert len(keys) == 5
    assert changed.images[0, 0, 0, 0] == pixels[0, 0]


def test_eight_bit_images_can_stay_as_they_are(pairs: Path, tmp_path: Path) -> None:
    store = prepare(PAIRS, pairs, tmp_path / "root")
    with Image.open(pairs / "Image" / "b.png") as image:
        assert np.array_equal(store.images[1, ..., 0], np.array(image))
    assert (store.scale * 255 + store.offset, store.offset) == (1.0, -1.0)


def test_processes_give_the_same_bytes_as_none(brats: Path, tmp_path: Path) -> None:
    alone = prepare(REGIONS, brats, tmp_path / "root1", workers=1)
    calls: list[tuple[int, int]] = []
    shared = prepare(
        REGIONS,
        brats,
        tmp_path / "root2",
        workers=2,
        progress=lambda done, total, text: calls.append((done, total)),
    )
    assert files_of(shared) == files_of(alone)
    assert calls[-3:] == [(1, 3), (2, 3), (3, 3)]


def test_all_faults_are_listed_at_once(pairs: Path, tmp_path: Path) -> None:
    square = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE)
    mask = np.where(square > 200, 255, 0).astype(np.uint8)
    save_pair(pairs, "d", square, np.where(mask > 0, 77, 0).astype(np.uint8))
    save_pair(pairs, "e", square, mask[:-2])
    save_pair(pairs, "f", np.full_like(square, 9), mask)
    save_pair(pairs, "g", np.stack([square] * 3, axis=2), mask)
    save_pair(pairs, "h", square, mask)
    (pairs / "Mask" / "h.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        prepare(PAIRS, pairs, tmp_path / "root")
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    assert "Mask/d.png: found grey values 77 ; wanted only 0, 1, 255" in text
    assert "Mask/e.png beside e.png: found size (22, 24) ; wanted size (24, 24)" in text
    assert "Image/f.png: found one value only (9) in channel grey" in text
    assert "Image/g.png: found 3 channels ; wanted 1 (grey)" in text
    assert "Mask/h.png: found" in text
    assert not [path for path in (tmp_path / "root" / "stores").iterdir() if path.is_dir()]


def test_long_lists_of_faults_are_cut(tmp_path: Path) -> None:
    for number in range(25):
        save_pair(
            tmp_path / "pairs",
            f"x{number}",
            np.eye(16, dtype=np.uint8) * (number + 1),
            np.full((16, 16), 3, dtype=np.uint8),
        )
    with pytest.raises(DataError, match="and more: found 5 further problems") as caught:
        prepare(PAIRS, tmp_path / "pairs", tmp_path / "root")
    assert len(caught.value.problems) == 21


def test_volumes_on_other_grids_are_refused(tmp_path: Path) -> None:
    flair = {}
    for number in range(3):
        folder = write_patient(tmp_path / "brats", number)
        flair[number] = folder / f"{folder.name}_flair.nii.gz"
    array = np.arange(6 * SIZE * SIZE, dtype=np.int16).reshape(6, SIZE, SIZE)
    write_volume(flair[0], array, (2, 1, 1.5))
    write_volume(flair[1], array, (2, -1, 1))
    array = array.astype(np.float32)
    array[0, 0, 0] = np.nan
    write_volume(flair[2], array)
    with pytest.raises(DataError) as caught:
        prepare(REGIONS, tmp_path / "brats", tmp_path / "root")
    text = str(caught.value)
    assert "found spacing (2.0, 1.0, 1.0) mm ; wanted spacing (2.0, 1.0, 1.5) mm" in text
    assert "found axes towards RAS ; wanted axes towards RPS" in text
    assert "00002_flair.nii.gz: found 1 values that are NaN" in text


def test_all_empty_masks_are_an_error(tmp_path: Path) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_pair(tmp_path / "pairs", "a", image, np.zeros_like(image))
    with pytest.raises(DataError, match="found no foreground at all in 1 masks"):
        prepare(PAIRS, tmp_path / "pairs", tmp_path / "root")


def test_class_absent_from_the_set_is_an_error(pairs: Path, tmp_path: Path) -> None:
    spec = PAIRS.model_copy(
        update={"target": "organs", "classes": {"lung": (255,), "heart": (128,)}}
    )
    with pytest.raises(DataError, match="found class 'heart' in none of 3 masks"):
        prepare(spec, pairs, tmp_path / "root")


def test_label_that_resizing_would_lose_is_an_error(tmp_path: Path) -> None:
    image = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)
    mask = np.zeros_like(image)
    mask[8:24, 8:24], mask[40, 40] = 156, 251
    save_pair(tmp_path / "pairs", "a", image, mask)
    spec = PAIRS.model_copy(update={"target": "organs", "image_size": 16})
    with pytest.raises(DataError, match=r"label 2 \(grey value 251\) lost on the way, 1 pixels"):
        prepare(spec, tmp_path / "pairs", tmp_path / "root")
    whole = prepare(spec.model_copy(update={"image_size": 64}), tmp_path / "pairs", tmp_path / "r")
    assert np.unique(whole.masks).tolist() == [0, 1, 2]


def test_blank_slice_is_fine_in_a_stack_only(tmp_path: Path) -> None:
    root = tmp_path / "pairs"
    for name in ("Im1_1", "Im1_2", "Im2_1"):
        write_pair(root, name)
    blank = np.zeros((SIZE, SIZE), dtype=np.uint8)
    save_pair(root, "Im1_3", blank, blank)
    store = prepare(PAIRS, root, tmp_path / "root")
    assert "1 slices have a blank channel" in store.notes
    assert len(store) == 4
    save_pair(root, "Im3_1", blank, blank)
    with pytest.raises(DataError, match=r"Im3_1\.png: found one value only \(0\)"):
        prepare(PAIRS, root, tmp_path / "root")


def test_same_image_of_two_patients_is_noted(pairs: Path, tmp_path: Path) -> None:
    for folder in ("Image", "Mask"):
        (pairs / folder / "z.png").write_bytes((pairs / folder / "a.png").read_bytes())
    notes = " ".join(prepare(PAIRS, pairs, tmp_path / "root").notes)
    assert "1 images are there under more than one patient, such as a.png and z.png" in notes


def test_damaged_store_is_made_anew(pairs: Path, tmp_path: Path) -> None:
    first = prepare(PAIRS, pairs, tmp_path / "root")
    wanted = files_of(first)
    (first.path / "masks.npy").write_bytes(b"short")
    assert files_of(prepare(PAIRS, pairs, tmp_path / "root")) == wanted


def test_interrupted_work_leaves_nothing(pairs: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int, text: str) -> None:
        if text == "preparing" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(PAIRS, pairs, tmp_path / "root", progress=interrupt)
    assert [path.suffix for path in (tmp_path / "root" / "stores").iterdir()] == [".lock"]


KILLED = """
import os, signal, sys
from pathlib import Path
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec

def die(done, total, text):
    if text == "preparing" and done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    spec = DataSpec.model_validate_json(sys.argv[1])
    prepare(spec, Path(sys.argv[2]), Path(sys.argv[3]), progress=die)
"""


def test_killed_work_is_cleared_away_by_the_next_run(pairs: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    command = [sys.executable, "-c", KILLED, PAIRS.model_dump_json(), str(pairs), str(root)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, check=False, env=environment).returncode == -signal.SIGKILL
    stores = root / "stores"
    (rest,) = [path for path in stores.iterdir() if path.is_dir()]
    assert rest.suffix == ".building"
    other = prepare(PAIRS.model_copy(update={"image_size": 16}), pairs, root)
    assert [path for path in stores.iterdir() if path.is_dir()] == [other.path]
    assert len(prepare(PAIRS, pairs, root)) == 3


def test_two_at_once_prepare_once(pairs: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    stores: list[Store] = []
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        stores.append(
            prepare(
                PAIRS,
                pairs,
                tmp_path / "root",
                progress=lambda done, total, text: steps.append(text),
            )
        )

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({store.path for store in stores}) == 1
    assert len(stores) == 2
    assert steps.count("preparing") == 3


@pytest.mark.parametrize(
    ("layout", "target"),
    [("phantom-brats", "regions"), ("phantom-xray", "binary"), ("phantom-ct", "organs")],
)
def test_phantoms_are_written_and_prepared_once(layout: str, target: str, tmp_path: Path) -> None:
    spec = DataSpec.model_validate(
        {"layout": layout, "target": target, "cases": 3, "image_size": 48, "every": 2}
    )
    store = prepare(spec, None, tmp_path)
    assert store.phantom
    assert store.info.num_groups == 3
    assert all(store.index[f"px_{name}"].sum() > 0 for name in store.target.classes)
    (folder,) = [path for path in (tmp_path / "phantoms").iterdir() if path.is_dir()]
    assert prepare(spec, None, tmp_path).path == store.path
    assert [path for path in (tmp_path / "phantoms").iterdir() if path.is_dir()] == [folder]
    assert json.loads((store.path / "store.json").read_text())["phantom"] is True


def test_layout_and_folder_must_fit_together(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="phantom-xray beside a data folder"):
        prepare(DataSpec(layout="phantom-xray"), pairs, tmp_path / "root")
    with pytest.raises(DataError, match="auto without a data folder"):
        prepare(DataSpec(), None, tmp_path / "root")
