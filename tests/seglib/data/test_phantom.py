from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from seglib.data import phantom
from seglib.data.layouts import find_dataset
from seglib.data.phantom import PHANTOMS, write_phantoms
from seglib.data.phantom_ct import LEFT_LUNG, RIGHT_LUNG, draw_slices
from seglib.data.phantom_mri import Brain, draw_brain
from seglib.data.phantom_xray import draw_chest
from seglib.data.readers import read_array, read_mask
from seglib.data.spec import DataSpec

CORE, OEDEMA, ENHANCING = 1, 2, 4


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def best_threshold_dice(image: np.ndarray, mask: np.ndarray, *, bright: bool) -> float:
    values = image[image > 0]
    cuts = np.percentile(values, np.arange(1, 100))
    scores = []
    for cut in cuts:
        guess = image >= cut if bright else image <= cut
        scores.append(2 * (guess & mask).sum() / (guess.sum() + mask.sum()))
    return float(max(scores))


@pytest.fixture(scope="module")
def brains() -> list[Brain]:
    return [draw_brain(np.random.default_rng([0, 0, n]), 96) for n in range(1, 13)]


@pytest.mark.parametrize("layout", PHANTOMS)
def test_same_seed_gives_the_same_bytes(layout: str, tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_phantoms(layout, tmp_path / name, cases=2, seed=3, size=32)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


@pytest.mark.parametrize("layout", PHANTOMS)
def test_a_patient_does_not_depend_on_how_many_are_made(layout: str, tmp_path: Path) -> None:
    for count in (1, 3):
        write_phantoms(layout, tmp_path / str(count), cases=count, seed=3, size=32)
    few, many = digests(tmp_path / "1"), digests(tmp_path / "3")
    assert few.items() < many.items()


@pytest.mark.parametrize("layout", PHANTOMS)
def test_cases_and_seeds_differ(layout: str, tmp_path: Path) -> None:
    write_phantoms(layout, tmp_path / "a", cases=2, seed=3, size=32)
    write_phantoms(layout, tmp_path / "b", cases=2, seed=4, size=32)
    a, b = digests(tmp_path / "a"), digests(tmp_path / "b")
    images = [name for name in a if "ask" not in name and "seg" not in name]
    assert len({a[name] for name in images} | {b[name] for name in images}) == 2 * len(images)


@pytest.mark.parametrize("layout", ["phantom-brats", "phantom-xray", "phantom-ct"])
@pytest.mark.parametrize("size", [16, 48])
def test_what_is_written_is_found_and_read(layout: str, size: int, tmp_path: Path) -> None:
    write_phantoms(layout, tmp_path / "p", cases=3, seed=0, size=size)
    dataset = find_dataset(DataSpec.model_validate({"layout": layout}), tmp_path / "p")
    assert len({item.group for item in dataset.items}) == 3
    seen = set()
    for item in dataset.items:
        mask = read_mask(item.masks[0])
        assert all(read_array(path).array.shape == mask.array.shape for path in item.images)
        assert mask.array.shape[-2:] == (size, size)
        seen |= set(np.unique(mask.array).tolist())
    assert seen <= set(dataset.target.values)
    assert {dataset.target.values[value] for value in seen} == {0, 1}


def test_auto_finds_phantoms_too(tmp_path: Path) -> None:
    for layout, found in (("brats", "brats"), ("xray", "pairs"), ("ct", "lab-ct")):
        write_phantoms(f"phantom-{layout}", tmp_path / layout, cases=1, seed=0, size=32)
        assert find_dataset(DataSpec(), tmp_path / layout).layout == found


def test_files_say_that_they_are_phantoms(tmp_path: Path) -> None:
    write_phantoms("phantom-brats", tmp_path / "p", cases=1, seed=0, size=32)
    names = sorted(path.name for path in (tmp_path / "p" / "PhantomBraTS_00001").iterdir())
    parts = ("flair", "seg", "t1", "t1ce", "t2")
    assert names == [f"PhantomBraTS_00001_{part}.nii.gz" for part in parts]


def test_a_brain_volume_has_the_size_of_a_head(tmp_path: Path) -> None:
    write_phantoms("phantom-brats", tmp_path / "p", cases=1, seed=0, size=96)
    path = next((tmp_path / "p").rglob("*_flair.nii.gz"))
    picture = read_array(path)
    assert picture.array.shape == (16, 96, 96)
    litres = (picture.array > 0).sum() * np.prod(picture.spacing_mm) / 1e6
    assert 1.0 < litres < 2.0


def test_tumours_lie_inside_the_brain(brains: list[Brain]) -> None:
    for brain in brains:
        assert (brain.mask > 0).any()
        for image in brain.images.values():
            assert (image[brain.mask > 0] > 0).all()


def test_tumours_have_the_labels_of_brats_and_some_do_not_enhance(brains: list[Brain]) -> None:
    values = [set(np.unique(brain.mask).tolist()) for brain in brains]
    assert all(found <= {0, CORE, OEDEMA, ENHANCING} for found in values)
    assert any(ENHANCING not in found for found in values)
    assert sum(ENHANCING in found for found in values) > len(values) / 2


def test_regions_are_nested(tmp_path: Path) -> None:
    write_phantoms("phantom-brats", tmp_path / "p", cases=4, seed=0, size=48)
    spec = DataSpec(layout="phantom-brats", target="regions")
    dataset = find_dataset(spec, tmp_path / "p")
    table = np.array(dataset.target.membership())
    for item in dataset.items:
        values = read_mask(item.masks[0]).array
        labels = np.vectorize(dataset.target.values.__getitem__)(values)
        whole, core, enhancing = np.moveaxis(table[labels], -1, 0)
        assert (whole | ~core).all()
        assert (core | ~enhancing).all()
        assert (whole == (values > 0)).all()


def test_modalities_show_what_they_show_in_a_patient(brains: list[Brain]) -> None:
    def mean(name: str, label: int) -> float:
        inside = [
            b.images[name][b.mask == label]
            / np.median(b.images[name][b.mask == 0][b.images[name][b.mask == 0] > 0])
            for b in brains
        ]
        return float(np.concatenate(inside).mean())

    assert mean("flair", OEDEMA) > 1.2
    assert mean("t2", OEDEMA) > 1.2
    assert mean("t1", CORE) < 0.9
    assert mean("t1ce", ENHANCING) > mean("t1", ENHANCING) + 0.3


def test_a_threshold_does_not_solve_the_tumour_yet_it_is_visible(brains: list[Brain]) -> None:
    scores = [best_threshold_dice(b.images["flair"], b.mask > 0, bright=True) for b in brains]
    assert 0.4 < np.mean(scores) < 0.75
    for brain in brains:
        flair = brain.images["flair"]
        assert flair[brain.mask == OEDEMA].mean() > np.median(
            flair[(brain.mask == 0) & (flair > 0)]
        )


def test_a_threshold_does_not_solve_the_xray() -> None:
    chests = [draw_chest(np.random.default_rng(n), 96) for n in range(8)]
    scores = [best_threshold_dice(i, m > 0, bright=False) for i, m in chests]
    assert 0.4 < np.mean(scores) < 0.8


def test_an_xray_shows_two_dark_lungs_apart() -> None:
    for number in range(8):
        image, mask = draw_chest(np.random.default_rng(number), 96)
        assert set(np.unique(mask).tolist()) == {0, 255}
        left, right = mask[:, :40] > 0, mask[:, 56:] > 0
        assert left.mean() > 0.1
        assert right.mean() > 0.1
        middle = image[30:70, 44:52]
        assert image[mask > 0].mean() < middle.mean()


def test_ct_lungs_are_apart_and_the_patients_left_is_on_the_right() -> None:
    for number in range(4):
        masks = np.stack([m for _, m in draw_slices(np.random.default_rng(number), 96)])
        assert set(np.unique(masks).tolist()) == {0, LEFT_LUNG, RIGHT_LUNG}
        left, right = (np.argwhere(masks == value)[:, 2] for value in (LEFT_LUNG, RIGHT_LUNG))
        assert left.min() > np.median(right)
        assert right.max() < np.median(left)


def test_ct_lungs_taper_and_some_slices_have_none() -> None:
    masks = np.stack([m for _, m in draw_slices(np.random.default_rng(0), 96)])
    area = (masks > 0).sum((1, 2))
    assert area[0] == area[-1] == 0
    assert area.argmax() in range(4, 12)
    above = area[area.argmax() :]
    assert (np.diff(above) <= 0.1 * area.max()).all()


def test_ct_air_beside_the_lungs_is_as_dark() -> None:
    stack = draw_slices(np.random.default_rng(0), 96)
    images, masks = (np.stack(part) for part in zip(*stack, strict=True))
    assert images[masks == 0].min() <= np.median(images[masks > 0])
    assert best_threshold_dice(images, masks > 0, bright=False) < 0.5


def test_a_failure_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_at_two(folder: Path, number: int, *rest: object) -> None:
        (folder / f"{number}.png").touch()
        if number == 2:
            raise OSError("disk full")

    monkeypatch.setitem(phantom.PHANTOMS, "phantom-xray", fails_at_two)
    with pytest.raises(OSError, match="disk full"):
        write_phantoms("phantom-xray", tmp_path / "p", cases=3, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_and_a_full_one_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    write_phantoms("phantom-xray", folder, cases=1, seed=0, size=32)
    before = digests(folder)
    assert len(before) == 2
    with pytest.raises(FileExistsError, match="holds something"):
        write_phantoms("phantom-xray", folder, cases=2, seed=0, size=32)
    assert digests(folder) == before


def test_unknown_phantoms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 'brats' ; wanted one of phantom-brats"):
        write_phantoms("brats", tmp_path / "p", cases=1, seed=0)
    with pytest.raises(ValueError, match="found 0 cases"):
        write_phantoms("phantom-xray", tmp_path / "p", cases=0, seed=0)
