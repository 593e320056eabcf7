"""Searches over recorded learning curves: how many epochs they need, and how good they get.

    python benchmarks/replay.py [--seeds 40] [--sweep] [--processes 2] [--csv FILE]

Nothing is trained. Two simulated workers train what a search asks for: the answer to a proposal
is the real curve of the nearest recorded recipe (curves.jsonl) that was used least so far, and
each epoch takes the recorded seconds. How near two recipes are weighs each knob by the share of
the final score's variance that it explains in the table. Each seed is one pool, the recipes drawn
anew from the table with replacement, and all searches meet the same pools: they are paired.

The weakness: a search that homes in on a point gets its neighbours, which may be far away, and
what it believes of the point is the neighbour's score. That blunts samplers that learn, ours and
the others' alike; early stopping is not touched by it, as every curve is whole and real. And all
pools come from one table: the intervals are for other draws from it, not for other data.
``--sweep`` compares settings instead of programs.
"""

from __future__ import annotations

import argparse
import heapq
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from curves import STUDY, TABLE, Curve, read_curves
from numpy.typing import NDArray
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import RandomSampler, TPESampler
from scipy import stats
from searchers import OfOptuna, OfRay, Ours, Search, Values, quiet

from tune.study_file import StudyFile, load_study

BUDGET = 540  # epochs: twenty full trainings
AFTER = (108, 270)  # epochs: four and ten
QUANTILES = (0.75, 0.95)
LOOKS = (1, 2, 3, 5, 9, 15, 21)
RAY, OURS = "Ray Tune: OptunaSearch + ASHA", "ours"
Build = Callable[[StudyFile, int], Search]


def tpe(seed: int, **changed: object) -> TPESampler:
    """The settings of tune.strategies, one of them changed."""
    settings = {"n_startup_trials": 10, "multivariate": True, "group": True, "constant_liar": True}
    return TPESampler(**{**settings, **changed}, seed=seed)


def optuna_with(sampler: Callable[..., object], pruner: Callable[[], object], **terms: object):
    return lambda study, seed: OfOptuna(
        study, sampler(seed=seed, **terms), pruner(), name=f"replay {seed}"
    )


def halving(first: int, eta: int) -> Callable[[], SuccessiveHalvingPruner]:
    return lambda: SuccessiveHalvingPruner(first, eta)


def with_eta(study: StudyFile, eta: int) -> StudyFile:
    return replace(study, early_terminate=study.early_terminate.model_copy(update={"eta": eta}))


PROGRAMS: dict[str, Build] = {
    "random, all to the end": optuna_with(RandomSampler, NopPruner),
    "random + ASHA, first rung 3, eta 3": optuna_with(RandomSampler, halving(3, 3)),
    "Optuna: TPE + median": optuna_with(TPESampler, MedianPruner),
    "Optuna: TPE + successive halving": optuna_with(TPESampler, SuccessiveHalvingPruner),
    "Optuna: TPE + Hyperband": optuna_with(TPESampler, HyperbandPruner),
    RAY: OfRay,
    "the same, default first": lambda study, seed: OfRay(study, seed, default_first=True),
    "ours, without the default first": optuna_with(tpe, halving(3, 4)),
    "ours, eta 3": lambda study, seed: Ours(with_eta(study, 3), seed),
    OURS: Ours,
}
RUNGS: dict[str, Build] = {
    f"random + ASHA, first rung {first}, eta {eta}": optuna_with(RandomSampler, halving(first, eta))
    for first in (1, 2, 3, 5, 9)
    for eta in (2, 3, 4)
}
SETTINGS: dict[str, Build] = {
    "TPE as ours": optuna_with(tpe, halving(3, 4)),
    "4 startup trials": optuna_with(tpe, halving(3, 4), n_startup_trials=4),
    "20 startup trials": optuna_with(tpe, halving(3, 4), n_startup_trials=20),
    "not multivariate": optuna_with(tpe, halving(3, 4), multivariate=False, group=False),
    "not in groups": optuna_with(tpe, halving(3, 4), group=False),
    "no constant liar": optuna_with(tpe, halving(3, 4), constant_liar=False),
    "random": optuna_with(RandomSampler, halving(3, 4)),
}


class Table:
    """The recorded recipes, and how far a proposal is from each."""

    def __init__(self, study: StudyFile, curves: Sequence[Curve]) -> None:
        self.study, self.curves = study, curves
        self.best = np.array([curve.best for curve in curves])
        self._varied = [name for name in study.space.names if self._levels(name) != 1]
        columns = {name: [c.values.get(name) for c in curves] for name in self._varied}
        self._sorted = {
            name: np.sort([v for v in columns[name] if v is not None])
            for name in study.space.continuous
        }
        self._codes = {name: self._encode(name, columns[name]) for name in self._varied}
        self.weights = {name: self._explained(self._codes[name]) for name in self._varied}

    def distances(self, values: Values) -> NDArray[np.float64]:
        active = self.study.space.active(values)
        total = np.zeros(len(self.curves))
        for name in self._varied:
            code = self._encode(name, [values[name] if name in active else None])[0]
            apart = np.abs(self._codes[name] - code)
            both_off = np.isnan(self._codes[name]) & np.isnan(code)
            total += self.weights[name] * np.where(both_off, 0.0, np.nan_to_num(apart, nan=0.5))
        return total

    def _levels(self, name: str) -> int | None:
        grid = self.study.space[name].domain.grid()
        return None if grid is None else len(grid)

    def _encode(self, name: str, column: Sequence[object]) -> NDArray[np.float64]:
        """A number's rank among those recorded, from 0 to 1; a choice's place, far apart."""
        grid = self.study.space[name].domain.grid()
        if grid is not None:
            return np.array([np.nan if v is None else list(grid).index(v) for v in column])
        known = self._sorted[name]
        ranks = [np.nan if v is None else np.searchsorted(known, v) for v in column]
        return np.array(ranks) / len(known)

    def _explained(self, codes: NDArray[np.float64]) -> float:
        """The share of the scores' variance between a knob's choices or its thirds."""
        whole = len(np.unique(codes[~np.isnan(codes)])) <= 4
        groups = pd.Series(np.nan_to_num(codes if whole else np.floor(codes * 2.999), nan=-1.0))
        ranks = pd.Series(stats.rankdata(self.best))
        means = ranks.groupby(groups).transform("mean")
        return float(means.var() / ranks.var())


@dataclass
class Pool:
    """The recipes that one seed's searches can meet; the default one is always among them."""

    table: Table
    rows: NDArray[np.int64]
    used: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.used = np.zeros(len(self.rows), dtype=np.int64)

    @staticmethod
    def draw(table: Table, seed: int) -> Pool:
        rng = np.random.default_rng(seed)
        others = rng.integers(1, len(table.curves), size=len(table.curves) - 1)
        return Pool(table, np.concatenate([[0], others]))

    def answer(self, values: Values) -> Curve:
        distances = self.table.distances(values)[self.rows]
        place = min(range(len(self.rows)), key=lambda one: (self.used[one], distances[one]))
        self.used[place] += 1
        return self.table.curves[self.rows[place]]

    def goals(self) -> list[float]:
        return [float(np.quantile(self.table.best[self.rows], q)) for q in QUANTILES]


def simulate(search: Search, pool: Pool, *, budget: int, workers: int = 2) -> NDArray[np.float64]:
    """Best score after each epoch of the whole search, in the order in which epochs end."""
    queue: list[tuple[float, int, int, Curve]] = []  # when it ends, trial, epoch, curve
    best: list[float] = []

    def start(now: float) -> None:
        number, values = search.ask()
        curve = pool.answer(values)
        heapq.heappush(queue, (now + curve.seconds[0], number, 1, curve))

    for _ in range(workers):
        start(0.0)
    while len(best) < budget:
        now, number, epoch, curve = heapq.heappop(queue)
        score, last = curve.scores[epoch - 1], epoch == len(curve.scores)
        best.append(max(score, best[-1] if best else score))
        if search.report(number, epoch, score, last=last):
            start(now)
        else:
            heapq.heappush(queue, (now + curve.seconds[epoch], number, epoch + 1, curve))
    return np.array(best)


def run_seed(seed: int, names: Sequence[str], budget: int = BUDGET) -> pd.DataFrame:
    """All searches over one seed's pool: a row each."""
    study = load_study(STUDY, demo=False)
    table, rows = Table(study, read_curves(TABLE)), []
    builders = {**PROGRAMS, **RUNGS, **SETTINGS}
    for name in names:
        pool = Pool.draw(table, seed)
        with quiet():
            best = simulate(builders[name](study, seed), pool, budget=budget)
        reached = {
            f"to {q}": min(int(np.searchsorted(best, goal)) + 1, budget)
            for q, goal in zip(QUANTILES, pool.goals(), strict=True)
        }
        after = {f"after {n}": best[n - 1] for n in AFTER if n <= budget}
        rows.append({"search": name, "seed": seed, **reached, **after})
    return pd.DataFrame(rows)


def interval(change: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of paired differences, and its 95 % t interval."""
    mean, error = change.mean(), stats.sem(change)
    half = error * stats.t.ppf(0.975, len(change) - 1)
    return float(mean), float(mean - half), float(mean + half)


def compare(found: pd.DataFrame, against: str) -> pd.DataFrame:
    """A row per search: means, and paired with ``against`` the ratios and differences."""
    figures = {name: part.set_index("seed") for name, part in found.groupby("search", sort=False)}
    base, rows = figures[against], []
    for name, own in figures.items():
        row: dict[str, object] = {"search": name}
        for column in own.columns.drop("search"):
            epochs = column.startswith("to")
            mine, other = own[column].to_numpy(float), base[column].to_numpy(float)
            row[column] = f"{np.median(mine):.0f}" if epochs else f"{mine.mean():.4f}"
            change = np.log(mine / other) if epochs else mine - other
            ends = np.array(interval(change))
            told = np.exp(ends) if epochs else 100 * ends
            text = "{:.2f} [{:.2f}, {:.2f}]" if epochs else "{:+.2f} [{:+.2f}, {:+.2f}]"
            row[f"{'×' if epochs else 'Δ'} {column}"] = "" if own is base else text.format(*told)
        rows.append(row)
    return pd.DataFrame(rows).set_index("search")


def rank_correlations(curves: Sequence[Curve]) -> Mapping[int, float]:
    """Spearman, between the score at an epoch and the best of the whole curve."""
    best = [curve.best for curve in curves]
    return {
        epoch: float(stats.spearmanr([c.scores[epoch - 1] for c in curves], best).statistic)
        for epoch in LOOKS
    }


def describe(curves: Sequence[Curve]) -> str:
    best = np.quantile([curve.best for curve in curves], [0.05, 0.25, 0.5, 0.75, 0.95, 1])
    default = float(np.mean([curve.best < curves[0].best for curve in curves]))
    upper = [curve for curve in curves if curve.best >= best[2]]
    told = [
        f"rank correlation of an epoch's score with the best, {name}: "
        + ", ".join(f"{rho:.2f} at {epoch}" for epoch, rho in rank_correlations(part).items())
        for name, part in (("all curves", curves), ("the better half", upper))
    ]
    return "\n".join(
        [
            f"{len(curves)} curves of {len(curves[0].scores)} epochs; best scores at the 5, 25, "
            f"50, 75, 95, 100 % quantile: {', '.join(f'{one:.3f}' for one in best)}",
            f"the default recipe ({curves[0].best:.3f}) is better than {default:.0%} of them",
            *told,
        ]
    )


def run(names: Sequence[str], seeds: int, processes: int) -> pd.DataFrame:
    with ProcessPoolExecutor(processes) as workers:
        return pd.concat(workers.map(run_seed, range(seeds), [names] * seeds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--sweep", action="store_true", help="settings, not programs")
    parser.add_argument("--csv", type=Path, help="every search's figures")
    asked = parser.parse_args()
    print(describe(read_curves(TABLE)))
    print(
        f"\nmedian epochs until the best of a share of the pool is reached, counted to {BUDGET}, "
        "and mean best score after so many epochs;\n× geometric mean ratio and Δ mean difference "
        f"in hundredths, paired over {asked.seeds} pools, with 95 % intervals"
    )
    tables = [(RUNGS, ["random + ASHA, first rung 3, eta 3"]), (SETTINGS, ["TPE as ours"])]
    for builders, bases in tables if asked.sweep else [(PROGRAMS, [RAY, OURS])]:
        found = run(list(builders), asked.seeds, asked.processes)
        for against in bases:
            print(f"\nagainst {against}:\n{compare(found, against).to_string()}", flush=True)
        if asked.csv:
            found.to_csv(asked.csv, mode="a", index=False)


if __name__ == "__main__":
    main()
