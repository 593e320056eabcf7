from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.data.manifest import Row
from seglib.data.pair_names import MASK_SUFFIXES, check_pairs, natural, pair_by_name
from seglib.errors import Problem
from tests.seglib.data.folders import faults, find, names, pictures

FOLDERS = (Path("Image"), Path("Mask"))

# Names that sort differently with and without suffix: p_1, p_1-b, p_10, p_2.
stems = st.lists(
    st.from_regex(r"\Ap_(1|2|10|11|1-b|1_seg)(-[ab]|x)?\Z"), min_size=1, max_size=8, unique=True
)


@settings(max_examples=100, deadline=None)
@given(stems=stems, suffix=st.sampled_from(("", *MASK_SUFFIXES)), order=st.randoms())
def test_the_order_of_a_listing_is_without_effect(stems: list[str], suffix: str, order) -> None:
    images = [FOLDERS[0] / f"{stem}.png" for stem in stems]
    masks = [FOLDERS[1] / f"{stem}{suffix}.png" for stem in stems]
    found = []
    for _ in range(3):
        order.shuffle(images)
        order.shuffle(masks)
        problems: list[Problem] = []
        found.append((pair_by_name(images, masks, folders=FOLDERS, problems=problems), problems))
    assert found[0] == found[1] == found[2]
    rows, problems = found[0]
    if not problems:
        assert len(rows) == len(stems)
    for row in rows:
        assert row.mask.stem in {row.image.stem, *(row.image.stem + end for end in MASK_SUFFIXES)}


@settings(max_examples=15, deadline=None)
@given(stems=stems, order=st.randoms())
def test_the_order_in_which_files_were_made_is_without_effect(
    stems: list[str], order, tmp_path_factory
) -> None:
    root = tmp_path_factory.mktemp("made")
    files = [f"{part}.png" for stem in stems for part in (f"Image/{stem}", f"Mask/{stem}")]
    order.shuffle(files)
    paired = names(find(pictures(root, *files), layout="pairs"))
    assert sorted(paired) == sorted(([f"{stem}.png"], f"{stem}.png") for stem in stems)


def test_numbers_sort_as_numbers() -> None:
    assert sorted(["x10", "x2", "x"], key=natural) == ["x", "x2", "x10"]


def test_an_image_whose_own_name_ends_like_a_mask_finds_its_mask(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a_seg.png", "Image/a.png", "Mask/a_seg.png", "Mask/a_mask.png")
    assert names(find(tmp_path)) == [(["a.png"], "a_mask.png"), (["a_seg.png"], "a_seg.png")]


def test_orphans_and_doubles_are_named_all_at_once(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a.png", "Image/b.png", "Image/c.png", "Image/c.jpg", "Image/d.png")
    pictures(
        tmp_path, "Mask/b.png", "Mask/b_mask.png", "Mask/c.png", "Mask/d.png", "Mask/e_Mask.png"
    )
    told = "\n".join(faults(tmp_path))
    assert "Image/a.png: found an image without a mask" in told
    assert "Mask/e_Mask.png: found a mask without an image ; wanted e in Image" in told
    assert "b: found 2 masks (b.png, b_mask.png)" in told
    assert "c: found 2 images (c.jpg, c.png)" in told
    assert len(told.splitlines()) == 4


def row(image: str, mask: str) -> Row:
    return Row(FOLDERS[0] / image, FOLDERS[1] / mask)


def test_a_mask_named_after_another_image_is_a_fault_with_count_and_example() -> None:
    rows = [row("a.png", "b_mask.png"), row("b.png", "a_mask.png"), row("c.png", "c_mask.png")]
    images = [one.image for one in rows]
    (fault,) = check_pairs(rows, images, "manifest.csv")
    told = "manifest.csv: found 2 images with the mask of another, such as a.png with b_mask.png"
    assert str(fault).startswith(told)
    assert fault.wanted == "b_mask.png beside the image b"


def test_masks_whose_names_tell_nothing_may_go_with_any_image() -> None:
    rows = [row("a.png", "m2.png"), row("b.png", "m1.png")]
    assert check_pairs(rows, [one.image for one in rows], "manifest.csv") == []


def test_a_mask_of_an_image_that_the_manifest_leaves_out_is_a_fault_too() -> None:
    listing = [FOLDERS[0] / "a.png", FOLDERS[0] / "b.png"]
    (fault,) = check_pairs([row("a.png", "b.png")], listing, "manifest.csv")
    assert "a.png with b.png" in fault.found
