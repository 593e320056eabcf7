"""The table of faults tells the truth: no row without a test, no test that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults import FAULTS, ROW, TABLE


def section_of(fault: str) -> str:
    page = TABLE.read_text(encoding="utf-8")
    assert f"## {FAULTS[fault].what}\n" in page
    return page.partition(f"## {FAULTS[fault].what}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_was_survived_when_last_tried(fault: str) -> None:
    rows = ROW.findall(section_of(fault))
    assert rows
    assert {outcome for *_, outcome in rows} == {"passed"}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_test_of_the_table_is_there(fault: str) -> None:
    for test, *_ in ROW.findall(section_of(fault)):
        file, _, name = test.partition("[")[0].partition("::")
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert re.search(rf"def {name}\b", text), f"{file} has no {name}"
