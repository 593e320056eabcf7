from __future__ import annotations

import pytest

from seglib.data.dataset import Division
from seglib.data.divisions import check_divisions, in_groups, require_apart
from seglib.errors import DataError

GROUPS = {"a1": "A", "a2": "A", "b1": "B", "c1": "C"}


@pytest.mark.parametrize(
    ("train", "val", "fault"),
    [
        ("a1 b1", "a2", "1 patients in train and val, such as A ; wanted each patient in one part"),
        ("a1 x y", "b1", "2 cases that the data lack, such as x ; wanted cases of the data"),
        ("a1 a1 c1", "b1 c1", "2 cases more than once, such as a1 ; wanted each once"),
        ("a1", "", "no case in val ; wanted at least one"),
    ],
)
def test_each_kind_of_fault_is_one_line_with_count_and_example(
    train: str, val: str, fault: str
) -> None:
    (told,) = check_divisions([Division(tuple(train.split()), tuple(val.split()))], GROUPS)
    assert str(told).startswith(f"fold 0 of the data folder: found {fault}")


def test_all_kinds_are_told_at_once_and_alike_folds_in_one_line() -> None:
    bad = Division(("a1", "x", "b1", "b1"), ("a2",))
    told = check_divisions([bad, bad, Division(("a1",), ("b1",))], GROUPS)
    assert [one.place for one in told] == ["fold 0 of the data folder and 1 more"] * 3


def test_a_division_need_not_name_all_cases() -> None:
    assert check_divisions([Division(("a1",), ("b1",))], GROUPS) == []


def test_cases_become_their_patients() -> None:
    (division,) = in_groups([Division(("c1", "a2", "a1"), ("b1",))], GROUPS)
    assert division == Division(("A", "C"), ("B",))


def test_parts_that_share_a_group_are_refused() -> None:
    require_apart("f", "patient", {"train": ("a",), "val": ("b",), "test": ()})
    with pytest.raises(DataError, match="f: 3 problems") as caught:
        require_apart("f", "patient", {"train": ("a", "b"), "val": ("b", "a"), "test": ("a",)})
    assert str(caught.value.problems[0]) == (
        "f: found patient a and 1 more in train and val ; wanted each patient in one part"
    )
