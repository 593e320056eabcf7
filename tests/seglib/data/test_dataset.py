from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.seglib.data.folders import (
    faults,
    find,
    old_case,
    touch,
)


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"classes": {"a": [1], "b": [2]}}, "found 2 classes (a, b) ; wanted one class"),
        ({"classes": {"a": [0, 1]}}, "data.classes.a: found 0, which data.background has too"),
        ({"classes": {"a": []}}, "data.classes.a: found no grey value"),
        ({"classes": {}}, "data.classes: found no class"),
        (
            {"target": "organs", "classes": {"a": [1, 2], "b": [2]}},
            "data.classes.a: found grey values shared with b",
        ),
    ],
)
def test_classes_that_contradict_are_refused(
    spec: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    touch(tmp_path, *old_case("a"))
    assert any(fault in line for line in faults(tmp_path, **spec))


def test_overlapping_classes_are_regions(tmp_path: Path) -> None:
    touch(tmp_path, *old_case("a"))
    target = find(tmp_path, target="regions", classes={"all": [1, 2, 4], "core": [4, 1]}).target
    assert target.num_labels == 3
    assert target.values[1] == target.values[4] != target.values[2]
