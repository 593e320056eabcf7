from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seglib.data.copies import TURNS, Copy, Turn, find_copies, joined_groups, signature
from seglib.data.dataset import Item
from seglib.data.layouts import find_dataset
from seglib.data.source import Plan, read_item
from seglib.data.spec import DataSpec
from tests.seglib.data.sources import PAIRS, save_pair

LUNGS = PAIRS.model_copy(
    update={"target": "organs", "classes": {"left_lung": (156,), "right_lung": (251,)}}
)
images = st.sampled_from([np.uint8, np.int16, np.float32]).flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
        elements=st.integers(0, 100),
    )
)


def picture(seed: int, shape: tuple[int, int] = (12, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape, dtype=np.uint8)


def marked(shape: tuple[int, int] = (12, 16)) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[2:5, 1:6] = 255
    return mask


def turned(plane: np.ndarray, turn: Turn) -> np.ndarray:
    return np.ascontiguousarray(turn.apply(plane[np.newaxis])[0])


def copies_in(root: Path, spec: DataSpec = PAIRS) -> list[Copy]:
    dataset = find_dataset(spec, root)
    plan = Plan.of(dataset, spec)
    signatures = []
    for item in dataset.items:
        loaded = read_item(item, plan, [])
        assert loaded is not None
        signatures.append(signature(loaded.image))
    return find_copies(dataset.items, signatures, plan)


@settings(max_examples=60, deadline=None)
@given(image=images, number=st.integers(0, 7))
def test_signature_is_the_same_for_every_turn(image: np.ndarray, number: int) -> None:
    assert signature(TURNS[number].apply(image)) == signature(image)
    assert (signature(image) == ()) == (image.min() == image.max())


def test_eight_turns_differ() -> None:
    image = np.arange(6).reshape(1, 2, 3, 1)
    seen = {(turn.apply(image).shape, turn.apply(image).tobytes()) for turn in TURNS}
    assert len(seen) == len(TURNS) == 8
    assert not TURNS[0].moves
    assert np.array_equal(TURNS[0].apply(image), image)


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_copy_is_found_in_every_position(tmp_path: Path, turn: Turn) -> None:
    save_pair(tmp_path, "a", picture(0), marked())
    save_pair(tmp_path, "b", picture(1), marked())
    save_pair(tmp_path, "c", turned(picture(0), turn), turned(marked(), turn))
    (copy,) = copies_in(tmp_path)
    assert (copy.first.case, copy.second.case) == ("a", "c")
    assert copy.turn == turn
    assert copy.mask_follows


def test_words_for_turns() -> None:
    said = [str(Turn(0, False)), str(Turn(0, True)), str(Turn(3, False)), str(Turn(2, True))]
    assert said == [
        "a copy",
        "a mirrored copy",
        "a copy turned by 270 degrees",
        "a mirrored copy turned by 180 degrees",
    ]


def test_one_pixel_makes_another_image(tmp_path: Path) -> None:
    changed = picture(0)
    changed[0, 0], changed[0, 1] = changed[0, 1], changed[0, 0]  # the signature stays
    save_pair(tmp_path, "a", picture(0), marked())
    save_pair(tmp_path, "b", changed, marked())
    assert signature(picture(0)[None, ..., None]) == signature(changed[None, ..., None])
    assert copies_in(tmp_path) == []


def test_image_of_one_value_is_no_copy_of_another() -> None:
    assert signature(np.full((1, 4, 4, 1), 7, dtype=np.uint8)) == ()


def test_image_moved_without_its_mask_is_told(tmp_path: Path) -> None:
    save_pair(tmp_path, "a", picture(0), marked())
    save_pair(tmp_path, "b", picture(0)[:, ::-1], marked())
    (copy,) = copies_in(tmp_path)
    assert str(copy.turn) == "a mirrored copy"
    assert not copy.mask_follows


def test_of_several_fitting_turns_the_one_that_suits_the_mask_counts(tmp_path: Path) -> None:
    half = picture(0, (12, 8))
    image = np.concatenate([half, half[:, ::-1]], axis=1)  # its own mirror image
    save_pair(tmp_path, "a", image, marked())
    save_pair(tmp_path, "b", image, marked()[:, ::-1])
    (copy,) = copies_in(tmp_path)
    assert copy.mask_follows
    assert copy.turn.mirrored


@pytest.mark.parametrize(("swapped", "follows"), [(False, True), (True, True), (None, False)])
def test_mirrored_lungs_may_trade_their_names(
    tmp_path: Path, swapped: bool | None, follows: bool
) -> None:
    mask = np.zeros((12, 16), dtype=np.uint8)
    mask[2:9, 1:6], mask[3:8, 9:15] = 156, 251
    mirrored = mask[:, ::-1]
    if swapped is None:
        mirrored = mask
    elif swapped:
        mirrored = np.where(mirrored == 156, 251, np.where(mirrored == 251, 156, 0))
    save_pair(tmp_path, "a", picture(0), mask)
    save_pair(tmp_path, "b", picture(0)[:, ::-1], mirrored.astype(np.uint8))
    (copy,) = copies_in(tmp_path, LUNGS)
    assert copy.mask_follows == follows


def copy_of(first: str, second: str) -> Copy:
    items = [Item(group, group, (Path(group),)) for group in (first, second)]
    return Copy(items[0], items[1], TURNS[0], mask_follows=True)


@pytest.mark.parametrize(
    ("pairs", "wanted"),
    [
        ([], {}),
        ([("a", "a")], {}),
        ([("a", "b")], {"b": "a"}),
        ([("a", "b"), ("b", "c")], {"b": "a", "c": "a"}),
        ([("a", "b"), ("c", "d"), ("b", "d")], {"b": "a", "c": "a", "d": "a"}),
        ([("a", "b"), ("b", "a")], {"b": "a"}),
    ],
)
def test_patients_that_share_images_go_by_one_name(
    pairs: Sequence[tuple[str, str]], wanted: dict[str, str]
) -> None:
    assert joined_groups(copy_of(*pair) for pair in pairs) == wanted
