"""Verdicts on recipes that were trained again: which is better, in words, and which to take.

Figures are in Dice points, that is hundredths. A search has chosen its winner by the
validation patients, so on these it looks better than it is. A difference counts only if it
holds on all patients and on those that the search did not choose by.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tune.reporting.ablation import POINTS_OF_DICE, signed
from tune.reporting.intervals import LEVEL, Interval, adjust_holm
from tune.reporting.two_level import DRAWS, two_level_interval

__all__ = ["DEFAULT", "WINNER", "Comparison", "Contender", "Part", "compare_all", "recommend"]

DEFAULT, WINNER = "default", "winner"
_WIDE = 5.0
"""Half an interval, in Dice points, from which on not to find anything means little."""
_CHEAPER = 0.9
"""What takes more than that share of another's time is not called cheaper."""


@dataclass(frozen=True, eq=False)
class Contender:
    """A recipe and what its networks scored.

    Args:
        name: As the confirmation calls it.
        scores: Dice of the last epoch: a row per patient, a column per seed.
        seconds: Mean time of a training.
        seconds_error: Standard error of that mean: other work on a machine makes it uncertain.
    """

    name: str
    scores: pd.DataFrame
    seconds: float
    seconds_error: float = 0.0

    def is_cheaper(self, other: Contender) -> bool:
        """Does it clearly take less time than another one?"""
        beyond = 2 * math.hypot(self.seconds_error, other.seconds_error)
        return self.seconds <= min(_CHEAPER * other.seconds, other.seconds - beyond)


@dataclass(frozen=True)
class Part:
    """A difference on some patients.

    Args:
        interval: In Dice points.
        num_patients: That both recipes have.
        num_seeds: That both recipes have.
    """

    interval: Interval
    num_patients: int
    num_seeds: int

    @property
    def text(self) -> str:
        """The figures, such as ``2.1 [0.8, 3.5]``."""
        found = self.interval
        if not found.known:
            return f"{signed(found.estimate)}, no interval"
        return f"{signed(found.estimate)} [{signed(found.low)}, {signed(found.high)}]"


@dataclass(frozen=True)
class Comparison:
    """One recipe against another.

    Args:
        name: The one.
        other: The other.
        whole: The first less the second, on all patients outside the test part.
        unseen: The same on those that the search did not choose by; None where there are none.
        num_folds: In which the networks were trained; 1 where patients were not divided so.
        p_holm: The larger p value of both, corrected for all comparisons.
        none_unseen: Did the search choose by each of these patients? Then nothing can hold.
    """

    name: str
    other: str
    whole: Part
    unseen: Part | None
    num_folds: int
    p_holm: float = math.nan
    none_unseen: bool = False

    @property
    def p(self) -> float:
        """The larger p value: a difference must hold on all patients and on the unseen."""
        if self.none_unseen:
            return math.nan
        ps = [self.whole.interval.p, *([] if self.unseen is None else [self.unseen.interval.p])]
        return math.nan if any(map(math.isnan, ps)) else max(ps)

    @property
    def holds(self) -> bool:
        """Is there a difference, whichever way, after the correction?"""
        agree = self.unseen is None or (
            self.unseen.interval.estimate * self.whole.interval.estimate > 0
        )
        return agree and self.p_holm < 1 - LEVEL

    @property
    def is_better(self) -> bool:
        """Is the first one better?"""
        return self.holds and self.whole.interval.estimate > 0

    @property
    def is_worse(self) -> bool:
        """Is the first one worse?"""
        return self.holds and self.whole.interval.estimate < 0

    @property
    def verdict(self) -> str:
        """The finding in a sentence."""
        found, other = self.whole.interval, _the(self.other)
        patients, seeds = self.whole.num_patients, self.whole.num_seeds
        size = f"{_count(patients, 'patient')}, {_count(seeds, 'seed')}"
        size += f" x {self.num_folds} folds" if self.num_folds > 1 else ""
        if self.holds:
            low, high = sorted((abs(found.low), abs(found.high)))
            word = "better" if found.estimate > 0 else "worse"
            text = f"{word} than {other} by {abs(found.estimate):.1f} Dice points "
            return f"{text}[{low:.1f}, {high:.1f}], {size}{self._tell_unseen()}"
        if found.separable:  # and yet nothing is claimed
            return (
                f"not confirmed against {other}: {self.whole.text} Dice points, {size}; "
                f"{self._why_not()}{self._tell_unseen()}"
            )
        return (
            f"not separable from {other}: {self.whole.text} Dice points, {size}"
            f"{self._tell_unseen()}"
        )

    def _why_not(self) -> str:
        if self.none_unseen:
            return "it may come from choosing, as the search chose by each of these patients"
        if self.unseen is not None and not self.unseen.interval.separable:
            return "it may come from choosing"
        return "too little for so many comparisons (Holm)"

    def _tell_unseen(self) -> str:
        if self.unseen is None:
            return ""
        which = f"on the {self.unseen.num_patients} that the search did not choose by"
        return f"; {which}: {self.unseen.text}"


def compare_all(
    contenders: Sequence[Contender],
    chosen_by: Collection[str],
    num_folds: int,
    *,
    draws: int = DRAWS,
) -> tuple[Comparison, ...]:
    """The default against all others, and the winner against the runners-up.

    Args:
        contenders: By rank; the default first.
        chosen_by: Patients by whose scores the search chose.
        num_folds: In which the networks were trained.
        draws: Of the bootstrap.

    Returns:
        The comparisons that can be made, p values corrected for all of them.
    """
    pairs = [
        (one, other)
        for other in contenders
        if other.name in (DEFAULT, WINNER)
        for one in contenders
        if one.name not in (DEFAULT, other.name)
    ]
    scored = {name for one in contenders for name in one.scores.index}
    apart = bool(scored & set(chosen_by))
    found = []
    for one, other in pairs:
        whole = _part(one, other, (), draws=draws)
        unseen = _part(one, other, chosen_by, draws=draws) if apart else None
        if whole is not None:
            missing = apart and unseen is None
            pair = Comparison(one.name, other.name, whole, unseen, num_folds, none_unseen=missing)
            found.append(pair)
    corrected = adjust_holm([one.p for one in found])
    return tuple(replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True))


def recommend(
    contenders: Sequence[Contender], comparisons: Sequence[Comparison]
) -> tuple[str, str]:
    """Which recipe to take, and why.

    Args:
        contenders: As compared.
        comparisons: From :func:`compare_all`.

    Returns:
        Its name and a sentence; both say that nothing is known where nothing was compared.
    """
    known = {one.name: one for one in contenders if not one.scores.empty}
    if not comparisons:
        return "", "nothing could be compared"
    base = DEFAULT if DEFAULT in known else WINNER
    by = {(one.name, one.other): one for one in comparisons}
    better = [name for name in known if (name, base) in by and by[name, base].is_better]
    if not better:
        worse = [name for name in known if (name, base) in by and by[name, base].is_worse]
        alike = [name for name in known if name not in worse]
        reason = f"nothing is separably better than {_the(base)}"
        taken, text = _cheapest([known[name] for name in alike], known[base], reason)
        return taken, text + _ask_for_more(comparisons)
    first = WINNER if WINNER in better else better[0]
    ahead = [name for name in better if (name, first) in by and by[name, first].is_better]
    if ahead:
        first = max(ahead, key=lambda name: by[name, first].whole.interval.estimate)
    reason = f"{_the(first)} is separably better than {_the(base)}"
    if by[first, base].whole.num_seeds == 1:
        reason += " in one training of each; another may tell otherwise: --seeds 3"
    if first == WINNER:
        worse = [name for name in better if (name, first) in by and by[name, first].is_worse]
        alike = [name for name in better if name not in worse]
        return _cheapest([known[name] for name in alike], known[first], reason)
    return first, f"take {_the(first)}: {reason}"


def _ask_for_more(comparisons: Sequence[Comparison]) -> str:
    """Where nothing could be found, or too little was trained for it, that must be said."""
    if any(one.none_unseen for one in comparisons):
        return (
            "; as the search chose by each of these patients, only the locked test part can show "
            "a gain: --open-test"
        )
    found = [one.whole.interval for one in comparisons if one.whole.interval.known]
    half = max(((one.high - one.low) / 2 for one in found), default=0.0)
    if half <= _WIDE:
        return ""
    return f"; but an interval of ±{half:.0f} points tells little: more --seeds would tell more"


def _cheapest(alike: Sequence[Contender], first: Contender, reason: str) -> tuple[str, str]:
    """The cheapest of recipes that cannot be told apart; the first where none is much cheaper."""
    cheaper = [one for one in alike if one.is_cheaper(first)]
    if not cheaper:
        return first.name, f"take {_the(first.name)}: {reason}" + (
            ", and none that is as good is clearly cheaper" if len(alike) > 1 else ""
        )
    best = min(cheaper, key=lambda one: one.seconds)
    name, times = _the(best.name), f"{best.seconds:.0f} s a training, not {first.seconds:.0f} s"
    apart = f"{name} cannot be told from {_the(first.name)}"
    return best.name, f"{reason}; {apart}: take the cheaper, {name} ({times})"


def _part(one: Contender, other: Contender, without: Collection[str], *, draws: int) -> Part | None:
    """The difference on the patients that both have, but for some; None where there are none."""
    change = (one.scores - other.scores) * POINTS_OF_DICE
    change = change.dropna(axis="columns", how="all").dropna(axis="index")
    change = change[~change.index.isin(list(without))]
    if change.empty:
        return None
    found = two_level_interval(change.to_numpy(np.float64).T, draws)
    most = POINTS_OF_DICE
    if found.known:
        found = replace(found, low=max(found.low, -most), high=min(found.high, most))
    return Part(found, change.shape[0], change.shape[1])


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _the(name: str) -> str:
    return f"the {name}"
