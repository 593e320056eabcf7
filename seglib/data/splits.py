"""Splits: which patients train, which validate, and which stay locked away.

A patient is never on two sides. The test part is drawn first, and what a search
gets (:class:`Split`) does not hold it. Where the data folder brings its own folds,
those are kept, and no patient is locked away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import TypeAdapter

from seglib.data.dataset import Division
from seglib.data.divisions import check_divisions, in_groups, require_apart
from seglib.data.spec import SplitSpec
from seglib.data.strata import deal_groups, draw_groups, part_size
from seglib.errors import DataError, Problem
from seglib.files import write_whole
from seglib.foreign import read_bounded

__all__ = ["Split", "Splits", "make_splits", "rows_of"]

By = Literal["patient", "slice"]

SLICE_WARNING = (
    "split by slice: neighbouring slices of a patient are on both sides, "
    "so the scores are too good to be true"
)


@dataclass(frozen=True)
class Split:
    """What a search may see: training and validation groups, no test.

    Args:
        train: Group names.
        val: Group names.
        by: Whether a group is a patient or a single slice.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    by: By = "patient"

    def rows(self, index: pd.DataFrame, part: Literal["train", "val"]) -> npt.NDArray[np.int64]:
        """Rows of a store's index that belong to a part, rising.

        Args:
            index: Index of the store.
            part: Which of the two parts.

        Returns:
            Row numbers, ``(n,)``, int64.

        Raises:
            DataError: The index lacks a group of this part.
        """
        return rows_of(index, self.train if part == "train" else self.val, by=self.by)

    def parts(self, index: pd.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
        """Rows of both parts, by their names.

        Args:
            index: Index of the store.

        Returns:
            What :meth:`rows` says of ``train`` and of ``val``.
        """
        return {"train": self.rows(index, "train"), "val": self.rows(index, "val")}


@dataclass(frozen=True)
class Splits:
    """A whole division of a data set, as it is written down once per study.

    Args:
        train: Training groups.
        val: Validation groups.
        test: Locked groups.
        folds: Groups of each fold; together all groups that are not test, if drawn here.
        by: Whether a group is a patient or a single slice.
        seed: What the draw started from.
        warning: What is doubtful about this division; empty if nothing.
        fold_trains: Training groups of each fold that came with the data; empty where
            the folds were drawn here and all others train.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    by: By
    seed: int
    warning: str = ""
    fold_trains: tuple[tuple[str, ...], ...] = ()

    def search_part(self) -> Split:
        """What a search may see."""
        return Split(self.train, self.val, self.by)

    def fold(self, number: int) -> Split:
        """One fold validates, its own training part or all others train; test stays out.

        Args:
            number: Fold, from 0.

        Returns:
            A split like that of the search.
        """
        if self.fold_trains:
            return Split(self.fold_trains[number], self.folds[number], self.by)
        others = sorted(name for i, part in enumerate(self.folds) if i != number for name in part)
        return Split(tuple(others), self.folds[number], self.by)

    def save(self, path: Path) -> None:
        """Write as JSON; the file is whole or unchanged.

        Args:
            path: File to write.
        """
        write_whole(path, self.as_text())

    def as_text(self) -> str:
        """What :meth:`save` writes."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def load(cls, path: Path) -> Splits:
        """Read what :meth:`save` wrote.

        Args:
            path: File to read.

        Returns:
            The same division that was saved.

        Raises:
            DataError: The file is missing or not such a file, or was edited so that a
                group is in two parts.
        """
        try:
            splits = TypeAdapter(Splits).validate_json(read_bounded(path, 2**28))
            if len(splits.fold_trains) not in (0, len(splits.folds)):
                raise ValueError(
                    f"{len(splits.fold_trains)} fold_trains, {len(splits.folds)} folds"
                )
        except (OSError, ValueError) as error:
            problem = Problem("splits", f"an unreadable file ({error})", "what save() wrote")
            raise DataError(str(path), [problem]) from None
        splits._require_apart(path.name)
        return splits

    def _require_apart(self, source: str) -> None:
        """No group in two parts, nor on both sides of a fold, nor locked and in a fold."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        require_apart(source, self.by, parts)
        for number in range(len(self.folds)):
            fold = self.fold(number)
            names = (f"train of fold {number}", f"val of fold {number}", "test")
            require_apart(
                source, self.by, dict(zip(names, (fold.train, fold.val, self.test), strict=True))
            )


def make_splits(index: pd.DataFrame, spec: SplitSpec, divisions: Sequence[Division] = ()) -> Splits:
    """Divide the groups of a store, or keep to the division that came with the data.

    Groups are sorted by their share of foreground and cut into as many strata as
    a part needs members; each stratum gives one. So every part gets groups with
    little and with much. The same index (rows in any order) and the same
    specification give the same division, and another ``val`` leaves ``test`` alone.

    Args:
        index: Index of the store.
        spec: Shares, number of folds, seed; whether to keep to ``divisions``.
        divisions: Those that the data folder brings along, in names of cases.

    Returns:
        The division, with a warning where it is doubtful.

    Raises:
        DataError: Too few groups for the parts wanted, or faults of a given division.
    """
    if divisions and spec.given == "honour":
        return _given(index, spec, divisions)
    if spec.fold:
        found = f"{spec.fold}, and no folds " + ("used" if divisions else "beside the data")
        raise DataError("split", [Problem("split.fold", found, "0")])
    shares = _foreground_shares(index, spec.by)
    num_test = part_size(spec.test, len(shares))
    num_val = part_size(spec.val, len(shares))
    if num_test + num_val >= len(shares):
        raise _too_few(len(shares), num_test, num_val, spec)
    test = draw_groups(shares, num_test, np.random.default_rng([spec.seed, 0]))
    rest = shares.drop(list(test))
    val = draw_groups(rest, num_val, np.random.default_rng([spec.seed, 1]))
    train = tuple(sorted(set(rest.index) - set(val)))
    num_folds = min(spec.folds, len(rest))
    warnings = [SLICE_WARNING] if spec.by == "slice" else []
    if num_folds < spec.folds:
        warnings.append(f"{num_folds} folds instead of {spec.folds}: no more groups outside test")
    return Splits(
        train=train,
        val=val,
        test=test,
        folds=deal_groups(rest, num_folds, np.random.default_rng([spec.seed, 2])),
        by=spec.by,
        seed=spec.seed,
        warning="; ".join(warnings),
    )


def _given(index: pd.DataFrame, spec: SplitSpec, divisions: Sequence[Division]) -> Splits:
    """The division of the chosen fold, and all folds, as they came with the data."""
    groups = dict(zip(index["case"].astype(str), index["group"].astype(str), strict=True))
    problems = check_divisions(divisions, groups)
    if spec.by == "slice":
        hint = "split: {given: ignore} divides by slice"
        problems.append(Problem("split.by", "slice beside given cases", "patient", hint))
    if spec.fold >= len(divisions):
        wanted = f"0 to {len(divisions) - 1}, the folds of the data folder"
        problems.append(Problem("split.fold", str(spec.fold), wanted))
    if problems:
        raise DataError("split", problems)
    folds = in_groups(divisions, groups)
    chosen = folds[spec.fold]
    unused = len(set(groups.values()) - {*chosen.train, *chosen.val})
    told = f"fold {spec.fold} of {len(folds)} of the data folder's own: no test part is locked away"
    return Splits(
        train=chosen.train,
        val=chosen.val,
        test=(),
        folds=tuple(fold.val for fold in folds),
        by=spec.by,
        seed=spec.seed,
        warning=told + (f"; {unused} patients are in neither part" if unused else ""),
        fold_trains=tuple(fold.train for fold in folds),
    )


def rows_of(index: pd.DataFrame, groups: tuple[str, ...], *, by: By) -> npt.NDArray[np.int64]:
    """Rows of an index that belong to some groups, rising.

    Args:
        index: Index of the store.
        groups: Group names, as in :class:`Splits`.
        by: Whether a group is a patient or a single slice.

    Returns:
        Row numbers, ``(n,)``, int64.

    Raises:
        DataError: The index lacks one of the groups.
    """
    names = _group_names(index, by)
    missing = sorted(set(groups) - set(names))
    if missing:
        problem = Problem(
            "split",
            f"{len(missing)} groups that the data lack, such as {missing[0]!r}",
            hint="the split was made for other data",
        )
        raise DataError("split", [problem])
    return np.flatnonzero(names.isin(groups)).astype(np.int64)


def _group_names(index: pd.DataFrame, by: By) -> pd.Series[str]:
    """Name of the group that each row belongs to."""
    if by == "patient":
        return index["group"].astype(str)
    return index["case"].astype(str) + "#" + index["slice"].astype(str)


def _foreground_shares(index: pd.DataFrame, by: By) -> pd.Series[float]:
    """Mean foreground pixels per slice of each group, by name."""
    pixels = index.filter(regex="^px_").sum(axis=1)
    return pixels.groupby(_group_names(index, by)).mean().sort_index()


def _too_few(num_groups: int, num_test: int, num_val: int, spec: SplitSpec) -> DataError:
    """Say how many groups there are and how many it takes."""
    unit = "patients" if spec.by == "patient" else "slices"
    problem = Problem(
        "split",
        f"{num_groups} {unit}",
        f"more than {num_test + num_val} ({num_val} for val {spec.val}, {num_test} for "
        f"test {spec.test}, and at least one to train)",
        "lower split.val or split.test, or set test: 0",
    )
    return DataError("data", [problem])
