"""Every fault that was seen in the labs, planted; HELD_BY names the tests of all of them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import make_splits
from seglib.errors import DataError
from tests.seglib.data.sources import (
    PAIRS,
    SIZE,
    save_pair,
    save_picture,
    write_pair,
)

HELD_BY = {
    "masks scaled to [0, 1] and cast to whole numbers": """
        seglib/data/test_lab_faults.py: test_masks_cast_to_whole_numbers_hold_nothing
        seglib/data/test_lab_faults.py: test_masks_all_empty_for_another_reason
        seglib/data/test_lab_faults.py: test_every_label_of_the_source_is_there_or_named_as_lost
        seglib/test_evaluate.py: test_all_empty_masks_score_nothing_whatever_the_lab_would_say
    """,
    "background counted as a class": """
        seglib/test_metrics.py: test_background_never_counts
        seglib/test_metrics.py: test_more_background_changes_no_figure
        seglib/test_legacy.py: test_missing_a_small_organ_hardly_shows_with_background
    """,
    "CT masks left at 0.61 and 0.98, or at 156 and 251, in a binary task": """
        seglib/data/test_lab_faults.py: test_masks_scaled_once_or_twice_are_recognised
        seglib/data/test_lab_volumes.py: test_scaled_volume_is_recognised
        seglib/data/test_lab_faults.py: test_one_label_scaled_twice_is_no_zero
        seglib/data/test_lab_faults.py: test_grey_values_that_no_class_names
    """,
    "images and masks paired by the order of a listing": """
        seglib/data/test_pair_names.py: test_the_order_of_a_listing_is_without_effect
        seglib/data/test_pair_names.py: test_orphans_and_doubles_are_named_all_at_once
        seglib/data/test_manifest.py: test_a_manifest_that_swaps_masks_is_refused_in_one_line
        seglib/data/test_lab_faults.py: test_masks_of_another_size
        seglib/data/test_lab_volumes.py: test_mask_on_another_grid
    """,
    "split by slice; no seed; no test set; the epoch picked on the set that scores it": """
        seglib/data/test_splits.py: test_slices_of_a_patient_stay_together
        seglib/data/test_splits.py: test_seed_changes_the_division
        seglib/data/test_splits.py: test_search_sees_nothing_of_the_test_part
        seglib/data/test_splits.py: test_split_by_slice_warns_and_splits_patients
        seglib/data/test_splits.py: test_an_edited_file_with_a_patient_in_two_parts_is_refused
        seglib/data/test_divisions.py: test_each_kind_of_fault_is_one_line_with_count_and_example
        seglib/data/test_survey.py: test_copies_across_a_given_division_are_a_fault
        seglib/data/test_lab_faults.py: test_copies_of_an_image_are_never_on_both_sides
    """,
    "augmentation moved only the image; masks interpolated to greys; validation augmented": """
        seglib/test_augment.py: test_mask_moves_with_every_channel
        seglib/test_lab_training.py: test_augmentation_that_leaves_the_mask_behind_is_found_out
        seglib/data/test_lab_faults.py: test_image_mirrored_without_its_mask
        seglib/test_lab_training.py: test_validation_is_never_augmented
    """,
    "re-seeding, so that few images were ever seen; doubled steps per epoch": """
        seglib/data/test_loader.py: test_every_row_comes_exactly_once
        seglib/test_lab_training.py: test_each_epoch_is_every_slice_once_in_another_order
    """,
    "Dice over the whole batch, then averaged over batches": """
        seglib/test_fit.py: test_validation_scores_do_not_depend_on_the_batch_size
        seglib/test_metrics.py: test_cases_weigh_the_same_unless_pooled
        seglib/test_legacy.py: test_pixels_of_a_batch_are_pooled_and_batches_averaged
    """,
    "weights carried over from one task to the next": """
        seglib/test_fit.py: test_seeds_matter_and_repeat
    """,
    "the notebook's process died": """
        chaos/test_killed_driver.py: test_driver_killed_anywhere_finds_the_same
        chaos/test_killed_workers.py: test_ray_that_dies_is_started_again_and_no_epoch_is_lost
        seglib/test_fit.py: test_resumed_run_gives_the_same_bits
    """,
    "damaged files": """
        seglib/data/test_lab_faults.py: test_truncated_picture
        seglib/data/test_lab_volumes.py: test_volume_with_nan
        seglib/data/test_lab_volumes.py: test_modalities_that_do_not_lie_on_each_other
    """,
}
"""Row of the labs' table of faults -> the tests that hold it."""

LEFT, RIGHT = 156, 251


def test_each_fault_is_held_by_tests_that_exist() -> None:
    home = Path(__file__).parents[2]
    for row, text in HELD_BY.items():
        lines = [line.strip().split(": ") for line in text.strip().splitlines()]
        assert lines, row
        for file, name in lines:
            tree = ast.parse((home / file).read_text(encoding="utf-8"))
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert name in names, f"{row}: {file} has no {name}"


def lungs(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A CT slice and its mask, left and right lung apart; no two images are the same."""
    image = np.random.default_rng(number).integers(0, 99, (SIZE, SIZE), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[4:12, 3:9], mask[5:14, 13:20] = LEFT, RIGHT
    return image, mask


def write_lab_ct(root: Path, change: Callable[[np.ndarray], np.ndarray], suffix: str) -> Path:
    """Twelve slices of three patients in the lab's layout, each mask changed."""
    for number in range(12):
        image, mask = lungs(number)
        stem = f"Im{number // 4 + 1}_{number % 4}"
        save_picture(root / "Image" / f"{stem}.png", image)
        save_picture(root / "Mask" / f"{stem}_Mask{suffix}", change(mask))
    return root


def test_masks_cast_to_whole_numbers_hold_nothing(tmp_path: Path, refused) -> None:
    root = write_lab_ct(tmp_path / "ct", lambda mask: (mask / 255).astype(np.uint8), ".png")
    wanted = "masks: found no foreground at all in 12 masks ; wanted at least one pixel"
    for target in ("binary", "organs"):
        assert refused(root, layout="lab-ct", target=target) == [wanted]
    with pytest.raises(DataError, match=r"hint: .* scaled to 0\.\.\.1 and then cast to whole"):
        prepare(DataSpec(), root, tmp_path / "stores")


def test_masks_all_empty_for_another_reason(tmp_path: Path) -> None:
    root = write_lab_ct(tmp_path / "ct", lambda mask: np.minimum(mask, 2), ".png")
    spec = DataSpec(layout="pairs", classes={"lung": (9,)}, background=(0, 2))
    with pytest.raises(DataError, match="no foreground at all in 12 masks") as caught:
        prepare(spec, root, tmp_path / "stores")
    (problem,) = caught.value.problems
    assert problem.hint == "data.classes says which grey values belong to which class"


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999),
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    image_size=st.integers(16, 48),
    side=st.integers(1, 8),
)
def test_every_label_of_the_source_is_there_or_named_as_lost(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    height: int,
    width: int,
    image_size: int,
    side: int,
) -> None:
    """The one class is large; the other may be too small for the size that is asked for."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[: height // 2] = LEFT
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    mask[top : top + side, left : left + side] = RIGHT
    home = tmp_path_factory.mktemp("labels")
    save_pair(home / "pairs", "a", rng.integers(0, 255, mask.shape, dtype=np.uint8), mask)
    classes = {"left": (LEFT,), "right": (RIGHT,)}
    spec = DataSpec(layout="pairs", target="organs", classes=classes, image_size=image_size)
    source = {value for value in (0, LEFT, RIGHT) if (mask == value).any()}
    try:
        store = prepare(spec, home / "pairs", home / "stores")
    except DataError as error:
        for problem in error.problems:
            assert "lost on the way" in problem.found or "in none of 1 masks" in problem.found
        assert max(height, width) > image_size or LEFT not in source
    else:
        assert {(0, LEFT, RIGHT)[label] for label in np.unique(store.masks)} >= source - {0}


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (1, "0.611765, 0.984314, which are 156 and 251 divided by 255"),
        (2, "0.00239908, 0.00386005, which are 156 and 251 divided by 255 twice"),
    ],
)
def test_masks_scaled_once_or_twice_are_recognised(
    tmp_path: Path, refused, times: int, said: str
) -> None:
    def scaled(mask: np.ndarray) -> np.ndarray:
        return (mask / 255**times).astype(np.float32)

    root = write_lab_ct(tmp_path / "ct", scaled, ".tif")
    wanted = "whole numbers of at most 32 bits"
    assert refused(root, layout="pairs") == [
        f"Mask/Im1_0_Mask.tif and 11 more: found grey values {said} ; wanted {wanted}"
    ]


def test_one_label_scaled_twice_is_no_zero(tmp_path: Path) -> None:
    image, mask = lungs(0)
    save_picture(tmp_path / "x" / "Image" / "a.png", image)
    save_picture(tmp_path / "x" / "Mask" / "a.tif", ((mask > 0) / 255**2).astype(np.float32))
    with pytest.raises(DataError, match="which is 1 divided by 255 twice"):
        prepare(PAIRS, tmp_path / "x", tmp_path / "stores")


def test_grey_values_that_no_class_names(tmp_path: Path, refused) -> None:
    root = write_lab_ct(tmp_path / "ct", lambda mask: mask, ".png")
    assert refused(root, layout="pairs", target="binary") == [
        "Mask/Im1_0_Mask.png and 11 more: found grey values 156, 251 ; wanted only 0, 1, 255"
    ]


def test_masks_of_another_size(tmp_path: Path, refused) -> None:
    for name in ("a", "b", "c", "d"):
        write_pair(tmp_path / "pairs", name)
    for name in ("b", "c"):
        save_picture(tmp_path / "pairs" / "Mask" / f"{name}.png", lungs(0)[1][:-2])
    assert refused(tmp_path / "pairs") == [
        "Mask/b.png beside b.png and 1 more: found size (22, 24) ; wanted size (24, 24)"
    ]


def test_truncated_picture(tmp_path: Path, refused) -> None:
    for name in ("a", "b", "c"):
        write_pair(tmp_path / "pairs", name)
    path = tmp_path / "pairs" / "Image" / "b.png"
    path.write_bytes(path.read_bytes()[:-200])
    assert refused(tmp_path / "pairs") == [
        "Image/b.png: found an unreadable file (image file is truncated) ; "
        "wanted a whole, undamaged file"
    ]


def test_image_mirrored_without_its_mask(tmp_path: Path, refused) -> None:
    for number, name in enumerate("abc"):
        save_pair(tmp_path / "pairs", name, lungs(number)[0], np.minimum(lungs(number)[1], 1))
    for name in "xyz":  # augmented copies of a, as a script would store them
        image, mask = lungs("xyz".index(name))
        save_pair(tmp_path / "pairs", name, image[:, ::-1], np.minimum(mask, 1))
    assert refused(tmp_path / "pairs") == [
        "Image/x.png and 2 more: found a mirrored copy of a.png whose mask did not move with it ; "
        "wanted image and mask moved alike"
    ]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), quarters=st.integers(0, 3), mirrored=st.booleans())
def test_copies_of_an_image_are_never_on_both_sides(
    tmp_path_factory: pytest.TempPathFactory, seed: int, quarters: int, mirrored: bool
) -> None:
    home = tmp_path_factory.mktemp("copies")
    for number in range(10):
        image, mask = lungs(number % 8)  # 8 and 9 are 0 and 1 again, perhaps turned
        mask = np.minimum(mask, 1)
        if number >= 8:
            image, mask = (np.rot90(one[:, ::-1] if mirrored else one, quarters)
                           for one in (image, mask))  # fmt: skip
        save_pair(home / "pairs", f"x{number}", np.ascontiguousarray(image), mask)
    store = prepare(PAIRS, home / "pairs", home / "stores")
    splits = make_splits(store.index, SplitSpec(seed=seed))
    group = dict(zip(store.index["case"], store.index["group"], strict=True))
    for part in (splits.train, splits.val, splits.test, *splits.folds):
        for first, again in (("x0", "x8"), ("x1", "x9")):
            assert (group[first] in part) == (group[again] in part)
    assert len({*splits.train, *splits.val, *splits.test}) == 8
