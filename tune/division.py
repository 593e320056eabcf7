"""The division of a study's data into parts, refused where nothing could be learnt or scored."""

from __future__ import annotations

from seglib.data.splits import Splits, make_splits
from seglib.data.store import Store
from seglib.errors import DataError, Problem
from tune.study_file import StudyFile

__all__ = ["divide"]


def divide(store: Store, study: StudyFile) -> Splits:
    """Divide the data as the study says; the same every time.

    Args:
        store: The prepared data.
        study: Says how to split.

    Returns:
        The division.

    Raises:
        DataError: Too few patients, or a part in which there is nothing to find.
    """
    splits = make_splits(store.index, study.split, store.info.divisions)
    columns = [f"px_{name}" for name in store.target.classes]
    hint = "choose another split.seed or larger shares"
    problems = [
        Problem(f"split, {part} part", "no slice with any class", "at least one", hint)
        for part, rows in splits.search_part().parts(store.index).items()
        if not store.index[columns].iloc[rows].to_numpy().any()
    ]
    if problems:
        raise DataError(str(store.path), problems)
    return splits
