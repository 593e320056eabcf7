from __future__ import annotations

import json

from seglib.data.spec import SplitSpec
from seglib.data.splits import make_splits
from seglib.data.store import Store
from tune.data_summary import summarise_data


def test_parts_add_up_to_the_whole(store: Store) -> None:
    for by in ("patient", "slice"):
        splits = make_splits(store.index, SplitSpec(by=by, val=0.25, test=0.25))
        summary = summarise_data(store, splits)
        parts = summary["parts"].values()
        assert sum(part["slices"] for part in parts) == summary["slices"] == len(store)
        if by == "patient":
            assert sum(part["patients"] for part in parts) == summary["patients"] == 8
            assert sum(part["cases"] for part in parts) == summary["cases"]


def test_summary_is_plain_data(store: Store) -> None:
    summary = summarise_data(store, None)
    assert json.loads(json.dumps(summary)) == summary
    assert summary["classes"] == ["WT", "TC", "ET"]
    assert summary["num_logits"] == 3
    assert summary["key"] == store.key
    assert summary["phantom"] is True
    assert "parts" not in summary
