from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.data.store import ARRAYS, Store, checksum
from seglib.errors import DataError
from tests.seglib.data.sources import PAIRS, REGIONS, SIZE, write_patient


def files_of(store: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.path.iterdir())}


def test_masks_sit_where_the_image_says(brats: Path, tmp_path: Path) -> None:
    store = prepare(REGIONS, brats, tmp_path / "root")
    assert store.images.shape == (12, SIZE, SIZE, 2)
    assert store.channels == ("flair", "t1ce")
    bright = store.images[..., 0] * store.scale + store.offset > 2
    assert np.array_equal(bright, store.masks > 0)
    assert (store.images[:, 0] == store.fill).all()  # no body there


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


def test_root_may_be_named_from_the_working_folder(
    brats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, again = (prepare(REGIONS, brats, Path("root")) for _ in range(2))
    assert first.path == again.path == tmp_path.resolve() / "root" / "stores" / first.key


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


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


@pytest.mark.fault("corruption")
@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.parquet", "store.json"])
@pytest.mark.parametrize(
    "damage", [flip_a_bit, lambda file: file.write_bytes(b"short"), Path.unlink]
)
def test_damaged_store_is_made_anew_and_that_is_said_once(
    name: str, damage: Callable[[Path], None], pairs: Path, tmp_path: Path
) -> None:
    first = prepare(PAIRS, pairs, tmp_path / "root")
    wanted = files_of(first)
    damage(first.path / name)
    second = prepare(PAIRS, pairs, tmp_path / "root")
    assert files_of(second) == wanted
    (said,) = set(second.info.notes) - set(first.info.notes)
    assert said.startswith("made anew from the source: ")
    assert prepare(PAIRS, pairs, tmp_path / "root").info.notes == first.info.notes


@pytest.mark.fault("corruption")
def test_large_store_is_read_again_only_where_it_was_touched(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seglib.data.prepare.READ_EACH_TIME_BYTES", 0)
    store = prepare(PAIRS, pairs, tmp_path / "root")
    file, wanted = store.path / "images.npy", files_of(store)
    for one in ARRAYS:  # a file changed this very moment is not trusted
        os.utime(store.path / one, ns=(0, 0))
    prepare(PAIRS, pairs, tmp_path / "root")
    known = json.loads((tmp_path / "root" / "digests.json").read_text())
    assert known[str(file)] == [file.stat().st_size, 0, checksum(file)]
    flip_a_bit(file)
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
