"""The division of a study's data into parts, refused where nothing could be learnt or scored."""

from __future__ import annotations

from seglib.data.splits import Split, Splits, make_splits
from seglib.data.store import Store
from seglib.errors import DataError, Problem
from tune.study_file import StudyFile
from tune.study_parts import Fold

__all__ = ["divide", "list_folds"]


def divide(store: Store, study: StudyFile) -> Splits:
    """Divide the data as the study says; the same every time.

    Args:
        store: The prepared data.
        study: Says how to split.

    Returns:
        The division.

    Raises:
        DataError: Too few patients, folds that are not there, or a part in which there is
            nothing to find.
    """
    splits = make_splits(store.index, study.split, store.info.divisions)
    columns = [f"px_{name}" for name in store.target.classes]
    hint = "choose another split.seed or larger shares"
    divisions = {"": splits.search_part()} if None in study.parts else {}
    divisions |= {f" of fold {fold}": part for fold, part in list_folds(splits, study).items()}
    problems = [
        Problem(f"split, {part} part{which}", "no slice with any class", "at least one", hint)
        for which, division in divisions.items()
        for part, rows in division.parts(store.index).items()
        if not store.index[columns].iloc[rows].to_numpy().any()
    ]
    if problems:
        raise DataError(str(store.path), problems)
    return splits


def list_folds(splits: Splits, study: StudyFile) -> dict[Fold, Split]:
    """Who trains and who validates under each fold that a study asks for.

    Args:
        splits: The division of the data.
        study: Says which folds.

    Returns:
        By fold; empty for a study that has none.

    Raises:
        DataError: There are not so many folds.
    """
    found: dict[Fold, Split] = {}
    missing = []
    for fold in study.parts:
        if fold == "all":  # what is scored was seen in training: nnU-Net's fold of that name
            together = tuple(sorted({*splits.train, *splits.val}))
            found[fold] = Split(together, splits.val, splits.by)
        elif fold is not None and fold < len(splits.folds):
            found[fold] = splits.fold(fold)
        elif fold is not None:
            missing.append(str(fold))
    if missing:
        wanted = f"0 to {len(splits.folds) - 1}, as the data are divided"
        raise DataError(str(study.path), [Problem("folds", ", ".join(missing), wanted)])
    return found
