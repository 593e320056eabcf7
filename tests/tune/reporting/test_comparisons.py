from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tune.reporting.comparisons import compare
from tune.reporting.evidence import RunData, gather


def factors(runs: tuple[RunData, ...]) -> list[set[str]]:
    return [{effect.factor for effect in block.effects} for block in compare(runs)]


def test_tasks_on_the_same_data_and_split_are_one_ablation(
    suite_data: tuple[RunData, ...],
) -> None:
    (block,) = compare(suite_data)
    assert block.title == "task1, task2"
    assert [(e.factor, e.names) for e in block.effects] == [
        ("norm", ("1a", "2a")), ("norm", ("1b", "2b")), ("norm", ()),
        ("loss", ("1a", "1b")), ("loss", ("2a", "2b")), ("loss", ()),
    ]  # fmt: skip
    assert block.effects[-1].interval.estimate == pytest.approx(10, abs=1)
    assert block.effects[-1].interval.separable
    assert block.ablation.notes == ()


@pytest.mark.parametrize("change", ["data", "split"])
def test_other_data_or_another_split_is_never_compared(suite: Path, change: str) -> None:
    path = suite / "task2" / ("environment.json" if change == "data" else "splits.json")
    known = json.loads(path.read_text())
    if change == "data":
        known["starts"][-1]["data"]["key"] = "other"
    else:
        known["by"] = "slice"
    path.write_text(json.dumps(known))
    assert factors(gather(suite)) == [{"loss"}, {"loss"}]


def test_other_folds_are_never_compared(suite_data: tuple[RunData, ...]) -> None:
    one, other = suite_data
    folds = tuple(replace(run, view=replace(run.view, study=replace(run.study, folds=(0, 1))))
                  for run in (one, other))  # fmt: skip
    assert len(compare(folds)) == 1
    assert len(compare((one, folds[1]))) == 2
    assert folds[1].splits is not None
    divided = replace(folds[1], splits=replace(folds[1].splits, folds=(("a",), ("b",))))
    assert len(compare((folds[0], divided))) == 2


def test_p_values_are_corrected_for_the_comparisons_of_all_blocks(suite: Path) -> None:
    path = suite / "task2" / "environment.json"
    path.write_text(path.read_text().replace('"key": "', '"key": "other'))
    effects = [effect for block in compare(gather(suite)) for effect in block.effects]
    assert len(effects) == 2
    assert min(e.p_holm for e in effects) == pytest.approx(2 * min(e.interval.p for e in effects))


def test_recipe_of_two_tasks_is_compared_once_and_named(suite: Path) -> None:
    shutil.copytree(suite / "task2", suite / "task3")
    (block,) = compare(gather(suite))
    assert len(block.effects) == 6
    assert "2a is the same recipe as 2a: compared once" in block.ablation.notes


def test_values_that_a_sampler_drew_are_no_levels_to_compare(search: RunData) -> None:
    """Of 14 trials some differ in the learning rate alone, as any two may."""
    (block,) = compare([search])
    assert {effect.factor for effect in block.effects} <= {"base filters"}
    grid = replace(search, view=replace(search.view, study=replace(search.study, method="grid")))
    assert "learning rate" in {effect.factor for effect in compare([grid])[0].effects}
