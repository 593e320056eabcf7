"""The index of a data set: one row per prepared slice, for the store and for the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from seglib.data.convert import Row
from seglib.target import Target

__all__ = ["build_index"]


def build_index(rows: Sequence[Row], target: Target, joined: Mapping[str, str]) -> pd.DataFrame:
    """Count the foreground of each slice per class, and name its patient.

    Args:
        rows: In the order of the arrays.
        target: Labels and classes.
        joined: Patients that share an image -> the one name that they go by.

    Returns:
        Columns ``case``, ``group``, ``slice``, ``spacing_z_mm`` and so on,
        ``body_px``, and ``px_<class>`` for each class.
    """
    counts = np.array([row.label_px for row in rows], dtype=np.int64)
    columns: dict[str, object] = {
        "case": [row.case for row in rows],
        "group": [joined.get(row.group, row.group) for row in rows],
        "slice": np.array([row.slice for row in rows], dtype=np.int64),
    }
    for axis, name in enumerate("zyx"):
        columns[f"spacing_{name}_mm"] = np.array([row.spacing_mm[axis] for row in rows])
    columns["body_px"] = np.array([row.body_px for row in rows], dtype=np.int64)
    for name, labels in zip(target.classes, target.members, strict=True):
        columns[f"px_{name}"] = counts[:, list(labels)].sum(axis=1)
    return pd.DataFrame(columns)
