"""The section on the data: what was trained and validated on, and what stayed locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from seglib.data.splits import Splits, rows_of
from tune.prepared_store import find_store
from tune.reporting.evidence import RunData

__all__ = ["DataView", "PartRow", "view_data"]

_PARTS = {"train": "training", "val": "validation", "test": "locked test"}


@dataclass(frozen=True)
class PartRow:
    """One part of the split.

    Args:
        name: Of the part.
        patients: How many.
        cases: How many.
        slices: How many.
        held: For each class, how many cases and slices hold it; empty where it is not known.
    """

    name: str
    patients: str
    cases: str
    slices: str
    held: tuple[str, ...]


@dataclass(frozen=True)
class DataView:
    """The data of a run.

    Args:
        facts: Term and text.
        classes: Names of the classes, where the table counts them.
        parts: The split.
        notes: What a reader should know of both.
    """

    facts: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    parts: tuple[PartRow, ...]
    notes: tuple[str, ...]


def view_data(run: RunData) -> DataView | None:
    """Counts of the data and of each part; the locked part is counted, not looked at.

    Args:
        run: The run.

    Returns:
        The section; None before the search has written down what it trains on.
    """
    data = run.data
    if "patients" not in data:
        return None
    held = _count_held(run)
    parts = [
        PartRow(_PARTS[name], *_counts(counts), held=held.get(name, ("–",) * len(data["classes"])))
        for name, counts in data.get("parts", {}).items()
        if name in _PARTS
    ]
    parts.append(PartRow("all", *_counts(data), held=("",) * len(data["classes"])))
    notes = []
    if not held:
        notes.append("The prepared data are not at hand, so classes are not counted here.")
    if run.splits is not None and run.splits.warning:
        notes.append(f"{run.splits.warning[:1].upper()}{run.splits.warning[1:]}.")
    classes = tuple(data["classes"]) if held else ()
    rows = [row if held else PartRow(row.name, row.patients, row.cases, row.slices, ())
            for row in parts]  # fmt: skip
    return DataView(tuple(_facts(run)), classes, tuple(rows), tuple(notes))


def _facts(run: RunData) -> list[tuple[str, str]]:
    data = run.data
    layout = data.get("layout", run.study.data.layout)
    source = f"{layout}, generated PHANTOMS" if run.phantom else layout
    unit = "as the files say it" if data.get("unit") == "mm" else "not known: pixels of the source"
    facts = [
        ("Source", source),
        ("Images", f"{', '.join(data.get('channels', ()))}; {data.get('image_size')} px a side"),
        ("Grey values", _grey_values(data)),
        ("Classes", _classes(data)),
        ("Spacing", unit),
        ("Fingerprint", f"{data.get('key')}, of all images, masks and settings of preparation"),
    ]
    if run.splits is not None:
        facts.append(("Split", _split(run, run.splits)))
    return [(term, text) for term, text in facts if text]


def _grey_values(data: Mapping[str, Any]) -> str:
    words = {
        "zscore": "mean 0 and standard deviation 1 over what is not background",
        "percentile": "from the 0.5th to the 99.5th percentile",
        "none": "as they are",
    }
    if data.get("normalise") == "window" and "window_hu" in data:
        low, high = data["window_hu"]
        return f"window from {low:g} to {high:g} HU"
    return words.get(str(data.get("normalise")), "")


def _classes(data: Mapping[str, Any]) -> str:
    names = ", ".join(data.get("classes", ()))
    kind = data.get("target", {}).get("kind")
    words = {"regions": "may overlap", "organs": "exclude each other"}
    return f"{names} ({words[kind]})" if kind in words and len(data["classes"]) > 1 else names


def _split(run: RunData, splits: Splits) -> str:
    text = f"by {splits.by}, drawn from seed {splits.seed}"
    if splits.fold_trains:
        text = f"by {splits.by}, as it came with the data"
    if run.study.folds == "all":
        return f"{text}; every trial trained on the training and the validation part together"
    if run.study.folds:
        sizes = ", ".join(str(len(splits.folds[number])) for number in run.study.folds)
        unit = "patients" if splits.by == "patient" else "slices"
        text += f"; each trial validated on one of {len(run.study.folds)} folds ({sizes} {unit}) "
        text += "and trained on the others"
    return text


def _counts(counts: Mapping[str, int]) -> tuple[str, str, str]:
    return f"{counts['patients']:,}", f"{counts['cases']:,}", f"{counts['slices']:,}"


def _count_held(run: RunData) -> dict[str, tuple[str, ...]]:
    """Part -> for each class, the cases and slices with it; nothing of the locked part."""
    store = find_store(run.view.folder.path, run.starts[-1]) if run.starts else None
    if store is None or run.splits is None:
        return {}
    found = {}
    for name, groups in (("train", run.splits.train), ("val", run.splits.val)):
        part = store.index.iloc[rows_of(store.index, groups, by=run.splits.by)]
        found[name] = tuple(_held(part, one) for one in store.target.classes)
    return found


def _held(part: pd.DataFrame, name: str) -> str:
    marked = part[f"px_{name}"] > 0
    cases = part.loc[marked, "case"].nunique()
    count = f"{cases} of {part['case'].nunique()} cases"
    if len(part) == part["case"].nunique():
        return count
    return f"{count} ({100 * marked.mean():.0f}\u00a0% of slices)"
