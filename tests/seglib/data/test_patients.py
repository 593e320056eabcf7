from __future__ import annotations

from pathlib import Path

import pytest

from seglib.data.patients import look_like_slices
from tests.seglib.data.folders import faults, find, pictures


def many_slices(root: Path) -> Path:
    stems = [f"pat{p}_{z:03d}" for p in (1, 2) for z in range(4)]
    return pictures(root, *(f"{part}/{stem}.png" for part in ("Image", "Mask") for stem in stems))


def test_a_number_at_the_end_is_not_taken_for_a_slice_of_a_patient(tmp_path: Path) -> None:
    dataset = find(many_slices(tmp_path))
    assert len({item.group for item in dataset.items}) == 8
    (note,) = dataset.notes
    assert note.startswith(
        "no patient known: each image counts as its own patient; give data.patient"
    )
    assert "8 names look like slices of 2" in note
    suggested = note.split("data.patient: '")[1].split("'")[0]
    assert {item.group for item in find(tmp_path, patient=suggested).items} == {"pat1", "pat2"}


def test_a_pattern_gives_the_patient(tmp_path: Path) -> None:
    dataset = find(many_slices(tmp_path), patient=r"^(pat\d+)_")
    assert [(i.group, i.slice) for i in dataset.items] == [
        (f"pat{p}", z) for p in (1, 2) for z in range(4)
    ]
    assert dataset.notes == ()


def test_names_that_the_pattern_misses_are_counted(tmp_path: Path) -> None:
    assert faults(many_slices(tmp_path), patient=r"^(pat2)_") == [
        "pat1_000 and 3 more: found no match of data.patient ; wanted a name with ^(pat2)_"
    ]


def test_slices_without_usable_numbers_go_by_name_and_that_is_told(tmp_path: Path) -> None:
    pictures(
        tmp_path, *(f"{part}/{stem}.png" for part in ("Image", "Mask") for stem in ("p_b", "p_a"))
    )
    dataset = find(tmp_path, patient="^(p)_")
    assert [(i.images[0].stem, i.slice) for i in dataset.items] == [("p_a", 0), ("p_b", 1)]
    assert "slices are taken in the order of names" in dataset.notes[0]


def test_cases_may_be_images(tmp_path: Path) -> None:
    dataset = find(many_slices(tmp_path), patient=r"^(pat\d+)_", case_by="image")
    assert [(i.group, i.case, i.slice) for i in dataset.items] == [
        (f"pat{p}", f"pat{p}_{z:03d}", None) for p in (1, 2) for z in range(4)
    ]


@pytest.mark.parametrize(
    ("names", "like"),
    [
        (["a_1", "a_2", "a_3"], True),
        (["a-1", "a-2", "a-3", "b-1", "b-2", "b-3"], True),
        (["a_1", "b_1", "c_1"], False),  # as many beginnings as names
        (["a1", "a2", "a3"], False),
        ([], False),
    ],
)
def test_slices_have_few_beginnings_and_many_numbers(names: list[str], like: bool) -> None:
    assert bool(look_like_slices(names)) == like
