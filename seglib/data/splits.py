"""Splits: which patients train, which validate, and which stay locked away.

A patient is never on two sides. The test part is drawn first, and what a search
gets (:class:`Split`) does not hold it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import TypeAdapter

from seglib.data.spec import SplitSpec
from seglib.errors import DataError, Problem
from seglib.files import write_whole

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
        folds: Groups of each fold; together all groups that are not test.
        by: Whether a group is a patient or a single slice.
        seed: What the draw started from.
        warning: What is doubtful about this division; empty if nothing.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    by: By
    seed: int
    warning: str = ""

    def search_part(self) -> Split:
        """What a search may see."""
        return Split(self.train, self.val, self.by)

    def fold(self, number: int) -> Split:
        """One fold validates, the others train; the test part stays out.

        Args:
            number: Fold, from 0.

        Returns:
            A split like that of the search.
        """
        others = sorted(name for i, part in enumerate(self.folds) if i != number for name in part)
        return Split(tuple(others), self.folds[number], self.by)

    def save(self, path: Path) -> None:
        """Write as JSON; the file is whole or unchanged.

        Args:
            path: File to write.
        """
        write_whole(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Splits:
        """Read what :meth:`save` wrote.

        Args:
            path: File to read.

        Returns:
            The same division that was saved.

        Raises:
            DataError: The file is missing or not such a file.
        """
        try:
            return TypeAdapter(Splits).validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            problem = Problem("splits", f"an unreadable file ({error})", "what save() wrote")
            raise DataError(str(path), [problem]) from None


def make_splits(index: pd.DataFrame, spec: SplitSpec) -> Splits:
    """Divide the groups of a store.

    Groups are sorted by their share of foreground and cut into as many strata as
    a part needs members; each stratum gives one. So every part gets groups with
    little and with much. The same index (rows in any order) and the same
    specification give the same division, and another ``val`` leaves ``test`` alone.

    Args:
        index: Index of the store.
        spec: Shares, number of folds, seed.

    Returns:
        The division, with a warning where it is doubtful.

    Raises:
        DataError: Too few groups for the parts wanted.
    """
    shares = _foreground_shares(index, spec.by)
    num_test = _part_size(spec.test, len(shares))
    num_val = _part_size(spec.val, len(shares))
    if num_test + num_val >= len(shares):
        raise _too_few(len(shares), num_test, num_val, spec)
    test = _draw(shares, num_test, np.random.default_rng([spec.seed, 0]))
    rest = shares.drop(list(test))
    val = _draw(rest, num_val, np.random.default_rng([spec.seed, 1]))
    train = tuple(sorted(set(rest.index) - set(val)))
    num_folds = min(spec.folds, len(rest))
    warnings = [SLICE_WARNING] if spec.by == "slice" else []
    if num_folds < spec.folds:
        warnings.append(f"{num_folds} folds instead of {spec.folds}: no more groups outside test")
    return Splits(
        train=train,
        val=val,
        test=test,
        folds=_folds(rest, num_folds, np.random.default_rng([spec.seed, 2])),
        by=spec.by,
        seed=spec.seed,
        warning="; ".join(warnings),
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


def _part_size(share: float, num_groups: int) -> int:
    """Groups of a part: the nearest number, at least one if any is wanted."""
    return max(1, round(share * num_groups)) if share > 0 else 0


def _sorted_groups(shares: pd.Series[float], rng: np.random.Generator) -> list[str]:
    """Groups from little to much foreground; equals in a random order."""
    shuffled = shares.iloc[rng.permutation(len(shares))]
    return [str(name) for name in shuffled.sort_values(kind="stable").index]


def _draw(shares: pd.Series[float], count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw groups, one from each of as many strata."""
    if count == 0:
        return ()
    strata = np.array_split(np.array(_sorted_groups(shares, rng), dtype=object), count)
    return tuple(sorted(str(rng.choice(stratum)) for stratum in strata))


def _folds(
    shares: pd.Series[float], count: int, rng: np.random.Generator
) -> tuple[tuple[str, ...], ...]:
    """Deal the sorted groups out in rounds; each round in a new order of folds."""
    names = _sorted_groups(shares, rng)
    folds: list[list[str]] = [[] for _ in range(count)]
    for start in range(0, len(names), count):
        for name, fold in zip(names[start : start + count], rng.permutation(count), strict=False):
            folds[fold].append(name)
    return tuple(tuple(sorted(fold)) for fold in folds)


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
