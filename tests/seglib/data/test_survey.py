from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seglib.data.dataset import Division
from seglib.data.layouts import find_dataset
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.survey import Survey, survey_dataset
from tests.seglib.data.sources import PAIRS, REGIONS, SIZE, save_pair, write_pair, write_patient


def surveyed(root: Path, spec: DataSpec = PAIRS) -> Survey:
    return survey_dataset(find_dataset(spec, root), spec)


def test_counts_are_those_of_the_files(brats: Path) -> None:
    survey = surveyed(brats, REGIONS)
    assert survey.problems == ()
    assert (survey.num_slices, survey.num_unmarked) == (18, 12)
    assert survey.depths() == {6: 3}
    assert survey.sizes() == {(SIZE, SIZE): 3}
    assert survey.spacings() == [(2.0, 1.0, 1.0)] * 3
    assert survey.ranges()[0] == (0.0, 900.0)
    assert survey.greys() == {0: 3, 1: 3, 2: 3, 4: 3}
    classes = {one.name: one for one in survey.classes()}
    assert {name: one.greys for name, one in classes.items()} == {
        "WT": (1, 2, 4),
        "TC": (1, 4),
        "ET": (4,),
    }
    assert [one.num_cases for one in survey.classes()] == [3, 3, 3]
    # two slices of six have the tumour, 6 by 8 pixels of it
    assert classes["WT"].share == pytest.approx(2 * 6 * 8 / (6 * SIZE**2))


def test_faults_are_told_and_the_rest_is_counted(pairs: Path) -> None:
    (pairs / "Mask" / "b.png").write_bytes(b"no image")
    survey = surveyed(pairs)
    assert len(survey.facts) == 2
    assert [problem.place for problem in survey.problems] == ["Mask/b.png"]
    assert all(sight.row.case in "ac" for sight in survey.sights(12))


def test_split_is_that_of_a_study(pairs: Path) -> None:
    splits = surveyed(pairs).splits(SplitSpec(val=0.3, test=0.3))
    assert sorted((*splits.train, *splits.val, *splits.test)) == ["a", "b", "c"]


def test_copies_across_a_given_division_are_a_fault(pairs: Path) -> None:
    for folder in ("Image", "Mask"):
        (pairs / folder / "z.png").write_bytes((pairs / folder / "a.png").read_bytes())
    dataset = find_dataset(PAIRS, pairs)
    apart, together = Division(("a", "b"), ("z",)), Division(("b",), ("a", "z"))
    survey = survey_dataset(replace(dataset, divisions=(together, apart)), PAIRS)
    (fault,) = survey.problems
    assert str(fault).splitlines()[0] == (
        "fold 1 of the data folder: found 1 image with a copy on the other side, such as a.png "
        "and z.png ; wanted an image and its copies in one part"
    )


def test_patient_on_both_sides_of_a_given_division_is_a_fault(tmp_path: Path) -> None:
    for name in ("p1_1", "p1_2", "p2_7"):
        write_pair(tmp_path, name)
    spec = PAIRS.model_copy(update={"patient": r"(p\d)_", "case_by": "image"})
    dataset = find_dataset(spec, tmp_path)
    division = Division(("p1_1", "p2_7"), ("p1_2",))
    (fault,) = survey_dataset(replace(dataset, divisions=(division,)), spec).problems
    assert str(fault).splitlines()[0] == (
        "fold 0 of the data folder: found 1 patients in train and val, such as p1 ; "
        "wanted each patient in one part"
    )


def test_sights_show_the_largest_the_median_and_an_empty_mask(brats: Path) -> None:
    survey = surveyed(brats, REGIONS)
    sights = survey.sights(9)
    for group in sorted({sight.row.group for sight in sights}):
        marked = [sum(sight.row.label_px[1:]) for sight in sights if sight.row.group == group]
        assert len(marked) == 3
        assert sorted(number > 0 for number in marked) == [False, True, True]
    shown = list(survey.show(sights))
    assert [sight for sight, _ in shown] == sights
    for sight, prepared in shown:
        assert prepared.rows[sight.position] == sight.row
        assert np.count_nonzero(prepared.masks[sight.position]) == sum(sight.row.label_px[1:])


def test_sights_are_spread_over_little_and_much_foreground(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
        mask.ravel()[:number] = 255
        image = rng.integers(0, 99, mask.shape, dtype=np.uint8)
        save_pair(tmp_path, f"x{number}", image, mask)
    marked = [sum(sight.row.label_px[1:]) for sight in surveyed(tmp_path).sights(5)]
    assert sorted(marked) == [0, 10, 20, 29, 39]


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (2, 2), (12, 9)])
def test_no_more_sights_than_asked_for(brats: Path, count: int, shown: int) -> None:
    # of each patient's four slices the two with tumour, and one of the others
    assert len(surveyed(brats, REGIONS).sights(count)) == shown


def test_data_without_masks_can_be_looked_at(tmp_path: Path) -> None:
    write_patient(tmp_path, 0)
    dataset = find_dataset(REGIONS, tmp_path)
    bare = replace(dataset, items=tuple(replace(item, masks=()) for item in dataset.items))
    survey = survey_dataset(bare, REGIONS)
    assert survey.problems == ()
    assert survey.greys() == {}
    assert [sight.row.slice for sight in survey.sights(3)] == [1, 3, 4]


def test_no_file_is_written(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    before = sorted(tmp_path.rglob("*"))
    surveyed(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
