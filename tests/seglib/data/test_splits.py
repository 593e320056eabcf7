from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.data.dataset import Division
from seglib.data.spec import SplitSpec
from seglib.data.splits import Splits, make_splits, rows_of
from seglib.errors import DataError


def index_of(foreground: list[list[int]]) -> pd.DataFrame:
    """One inner list per patient, one number per slice."""
    rows = [
        {"case": f"case{p}", "group": f"patient{p}", "slice": z, "px_a": pixels, "px_b": 0}
        for p, slices in enumerate(foreground)
        for z, pixels in enumerate(slices)
    ]
    return pd.DataFrame(rows)


patients = st.lists(
    st.lists(st.integers(0, 500), min_size=1, max_size=5), min_size=3, max_size=30
).map(index_of)
specs = st.builds(
    SplitSpec,
    val=st.floats(0.05, 0.4),
    test=st.one_of(st.just(0.0), st.floats(0.05, 0.3)),
    folds=st.integers(2, 6),
    seed=st.integers(0, 2**32 - 1),
)


@settings(max_examples=60, deadline=None)
@given(index=patients, spec=specs)
def test_parts_are_disjoint_and_complete(index: pd.DataFrame, spec: SplitSpec) -> None:
    splits = make_splits(index, spec)
    parts = [splits.train, splits.val, splits.test]
    together = [name for part in parts for name in part]
    assert sorted(together) == sorted(set(index["group"]))
    assert splits.train
    assert splits.val
    assert bool(splits.test) == (spec.test > 0)


@settings(max_examples=60, deadline=None)
@given(index=patients, spec=specs)
def test_folds_share_out_all_but_the_test_part(index: pd.DataFrame, spec: SplitSpec) -> None:
    splits = make_splits(index, spec)
    dealt = [name for fold in splits.folds for name in fold]
    assert sorted(dealt) == sorted((*splits.train, *splits.val))
    sizes = [len(fold) for fold in splits.folds]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    for number in range(len(splits.folds)):
        fold = splits.fold(number)
        assert not set(fold.train) & set(fold.val)
        assert not (set(fold.train) | set(fold.val)) & set(splits.test)


@settings(max_examples=60, deadline=None)
@given(index=patients, spec=specs, order=st.randoms(use_true_random=False))
def test_order_of_rows_is_without_effect(index: pd.DataFrame, spec: SplitSpec, order) -> None:
    numbers = list(range(len(index)))
    order.shuffle(numbers)
    assert make_splits(index.iloc[numbers], spec) == make_splits(index, spec)


@settings(max_examples=60, deadline=None)
@given(index=patients, spec=specs)
def test_slices_of_a_patient_stay_together(index: pd.DataFrame, spec: SplitSpec) -> None:
    split = make_splits(index, spec).search_part()
    train, val = split.rows(index, "train"), split.rows(index, "val")
    assert train.dtype == np.int64
    assert not set(index["group"].iloc[train]) & set(index["group"].iloc[val])
    assert len(train) == index["group"].isin(split.train).sum()


@settings(max_examples=30, deadline=None)
@given(index=patients, spec=specs)
def test_search_sees_nothing_of_the_test_part(index: pd.DataFrame, spec: SplitSpec) -> None:
    splits = make_splits(index, spec)
    shown = repr(splits.search_part())
    assert not any(f"'{name}'" in shown for name in splits.test)


def test_seed_changes_the_division() -> None:
    index = index_of([[p] for p in range(20)])
    divisions = {make_splits(index, SplitSpec(seed=seed)).test for seed in range(10)}
    assert len(divisions) > 5


def test_another_val_share_leaves_the_test_part_alone() -> None:
    index = index_of([[p] for p in range(20)])
    tests = {make_splits(index, SplitSpec(val=val)).test for val in (0.1, 0.2, 0.4)}
    assert len(tests) == 1


@pytest.mark.parametrize("seed", range(10))
def test_each_part_gets_little_and_much_foreground(seed: int) -> None:
    index = index_of([[0]] * 10 + [[100 + p] for p in range(10)])
    splits = make_splits(index, SplitSpec(val=0.2, test=0.2, seed=seed))
    big = {f"patient{p}" for p in range(10, 20)}
    for part in (splits.test, splits.val):
        assert len(part) == 4
        assert len(big & set(part)) == 2


def test_patients_with_equal_foreground_are_drawn_by_chance() -> None:
    index = index_of([[0]] * 4)
    drawn = {make_splits(index, SplitSpec(seed=seed)).test for seed in range(40)}
    assert len(drawn) == 4


def test_too_few_patients_say_how_many_it_takes() -> None:
    with pytest.raises(DataError, match="found 2 patients ; wanted more than 2"):
        make_splits(index_of([[1], [2]]), SplitSpec())
    assert make_splits(index_of([[1], [2]]), SplitSpec(test=0.0)).test == ()


def test_fewer_folds_than_wanted_come_with_a_warning() -> None:
    splits = make_splits(index_of([[1], [2], [3], [4]]), SplitSpec(folds=5))
    assert len(splits.folds) == 3
    assert "3 folds instead of 5" in splits.warning


def test_split_by_slice_warns_and_splits_patients() -> None:
    index = index_of([[1] * 10, [2] * 10])
    splits = make_splits(index, SplitSpec(by="slice"))
    assert "too good to be true" in splits.warning
    split = splits.search_part()
    rows = [split.rows(index, "train"), split.rows(index, "val")]
    assert [len(part) for part in rows] == [12, 4]
    assert not set(rows[0]) & set(rows[1])
    assert set(index["group"].iloc[rows[0]]) == {"patient0", "patient1"}
    assert make_splits(index_of([[1]] * 9), SplitSpec()).warning == ""


def test_saved_splits_come_back_the_same(tmp_path: Path) -> None:
    splits = make_splits(index_of([[p] for p in range(9)]), SplitSpec(seed=3))
    splits.save(tmp_path / "splits.json")
    assert Splits.load(tmp_path / "splits.json") == splits
    assert [path.name for path in tmp_path.iterdir()] == ["splits.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"train": 3}', '{"train": ["a"]}'])
def test_damaged_splits_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "splits.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"splits\.json: 1 problem"):
        Splits.load(path)
    with pytest.raises(DataError, match=r"none\.json: 1 problem"):
        Splits.load(tmp_path / "none.json")


def test_split_of_other_data_is_refused() -> None:
    with pytest.raises(DataError, match="1 groups that the data lack, such as 'patient9'"):
        rows_of(index_of([[1], [2]]), ("patient0", "patient9"), by="patient")


FOLDS = (
    Division(("case0", "case1", "case2"), ("case3",)),
    Division(("case3", "case1"), ("case0", "case2")),
)


@pytest.mark.parametrize("fold", [0, 1])
def test_a_given_division_is_kept_and_locks_nothing_away(fold: int) -> None:
    index = index_of([[1, 2], [2], [3], [4], [5]])
    splits = make_splits(index, SplitSpec(fold=fold), FOLDS)
    part = splits.search_part()
    assert (part.train, part.val) == (
        tuple(sorted(name.replace("case", "patient") for name in FOLDS[fold].train)),
        tuple(name.replace("case", "patient") for name in FOLDS[fold].val),
    )
    assert splits.test == ()
    assert "no test part is locked away" in splits.warning
    assert f"fold {fold} of 2 of the data folder's own" in splits.warning
    assert "1 patients are in neither part" in splits.warning


def test_folds_for_confirmation_are_those_that_were_given(tmp_path: Path) -> None:
    splits = make_splits(index_of([[p] for p in range(4)]), SplitSpec(), FOLDS)
    splits.save(tmp_path / "splits.json")
    assert Splits.load(tmp_path / "splits.json") == splits
    assert len(splits.folds) == 2
    second = splits.fold(1)
    assert (second.train, second.val) == (("patient1", "patient3"), ("patient0", "patient2"))


def test_a_given_division_may_be_ignored() -> None:
    index = index_of([[p] for p in range(10)])
    spec = SplitSpec(given="ignore")
    assert make_splits(index, spec, FOLDS) == make_splits(index, SplitSpec())
    assert make_splits(index, spec, FOLDS).test


@pytest.mark.parametrize(
    ("spec", "divisions", "fault"),
    [
        ({"fold": 2}, FOLDS, "split.fold: found 2 ; wanted 0 to 1, the folds of the data folder"),
        ({"fold": 2}, (), "split.fold: found 2, and no folds beside the data ; wanted 0"),
        ({"fold": 1, "given": "ignore"}, FOLDS, "split.fold: found 1, and no folds used"),
        ({"by": "slice"}, FOLDS, "split.by: found slice beside given cases ; wanted patient"),
        ({}, (Division(("case0", "other"), ("case1",)),), "1 cases that the data lack"),
    ],
)
def test_a_given_division_that_cannot_be_kept_is_refused(
    spec: dict[str, Any], divisions: tuple[Division, ...], fault: str
) -> None:
    with pytest.raises(DataError, match=re.escape(fault)):
        make_splits(index_of([[1], [2], [3], [4]]), SplitSpec.model_validate(spec), divisions)


def test_patients_joined_after_the_division_was_made_are_on_both_sides() -> None:
    index = index_of([[p] for p in range(4)])
    index["group"] = index["group"].replace("patient3", "patient0")
    with pytest.raises(DataError, match="1 patients in train and val, such as patient0"):
        make_splits(index, SplitSpec(), FOLDS[:1])


@pytest.mark.parametrize(
    ("into", "taken_from", "fault"),
    [
        ("train", "val", "found patient {} in train and val ; wanted each patient in one part"),
        ("val", "test", "found patient {} in val and test ; wanted each patient in one part"),
    ],
)
def test_an_edited_file_with_a_patient_in_two_parts_is_refused(
    into: str, taken_from: str, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "splits.json"
    make_splits(index_of([[p] for p in range(12)]), SplitSpec()).save(path)
    fields = json.loads(path.read_text())
    name = fields[taken_from][0]
    fields[into].append(name)
    path.write_text(json.dumps(fields))
    with pytest.raises(DataError, match=re.escape(f"splits.json: {fault.format(name)}")):
        Splits.load(path)


def test_an_edited_file_with_a_patient_in_two_folds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    make_splits(index_of([[p] for p in range(12)]), SplitSpec()).save(path)
    fields = json.loads(path.read_text())
    name = fields["folds"][1][0]
    fields["folds"][0].append(name)
    path.write_text(json.dumps(fields))
    with pytest.raises(
        DataError, match=f"found patient {name} in train of fold 0 and val of fold 0"
    ):
        Splits.load(path)
