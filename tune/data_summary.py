"""What a search trained on, in plain counts: written down at its start, read by the report."""

from __future__ import annotations

from typing import Any

from seglib.data.splits import Splits, rows_of
from seglib.data.store import Store

__all__ = ["summarise_data"]


def summarise_data(store: Store, splits: Splits | None) -> dict[str, Any]:
    """Names and counts of the prepared data, and of each part of the split.

    The locked test part is counted, not looked at.

    Args:
        store: The prepared data.
        splits: How they are divided; None before they are.

    Returns:
        Plain data for ``environment.json``.
    """
    info = store.info
    summary: dict[str, Any] = {
        "key": store.key,
        "phantom": store.phantom,
        "layout": info.layout,
        "channels": list(info.channels),
        "classes": list(info.target.classes),
        "num_logits": info.target.num_logits,
        "target": info.target.model_dump(mode="json"),
        "normalise": info.normalise,
        "window_hu": list(info.window_hu),
        "image_size": info.image_size,
        "unit": info.unit,
        "patients": info.num_groups,
        "cases": info.num_cases,
        "slices": info.num_slices,
        "notes": list(info.notes),
    }
    return summary if splits is None else summary | {"parts": _count_parts(store, splits)}


def _count_parts(store: Store, splits: Splits) -> dict[str, dict[str, int]]:
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    counts = {}
    for name, groups in parts.items():
        part = store.index.iloc[rows_of(store.index, groups, by=splits.by)]
        counts[name] = {
            "patients": int(part["group"].nunique()),
            "cases": int(part["case"].nunique()),
            "slices": len(part),
        }
    return counts
