from __future__ import annotations

import json
from typing import Any

import pytest

from tune.start_records import read_starts

DATA = {"patients": 2, "cases": 2, "slices": 9, "parts": {"val": {"patients": 1, "cases": 1,
        "slices": 4}}}  # fmt: skip


def written(**start: Any) -> bytes:
    return json.dumps({"starts": [start]}).encode()


def test_what_a_search_writes_is_read_and_what_a_later_one_adds_is_kept() -> None:
    start = {"cores": 2, "commit": None, "data": DATA, "moon": {"phase": [1]}}
    assert read_starts(written(**start)) == [start]


@pytest.mark.fault("parsers")
@pytest.mark.parametrize(
    "content",
    [
        written(data={"patients": 2}),
        written(data={**DATA, "parts": {"val": {"cases": 1}}}),
        written(data={**DATA, "slices": [9]}),
        written(data=[]),
        written(versions={"torch": ["<b>"]}),
        written(cores="2"),
        written(auto_precision="fp8"),
        written(nodes=[{"cpus": "8"}]),
        b'{"starts": [1]}',
        b'{"starts": {}}',
        b"[]",
        b"[" * 100_000,
        b'{"starts": [{"cores": ' + b"9" * 5000 + b"}]}",
        b"\xff",
        b"",
    ],
)
def test_records_of_other_types_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_starts(content)
