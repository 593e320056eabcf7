"""Real learning curves: recipes of curves.yaml, each trained to its end, one line per recipe.

    python benchmarks/curves.py [--curves 150] [--part 0/1] [--table benchmarks/curves.jsonl]

Recipe 0 is the default one, the others are drawn by chance; recipe ``n`` is the same whoever
draws it, so ``--part 0/2`` and ``--part 1/2`` share the work between two processes. A curve is
written as soon as it is trained, and one that is in the table is not trained again: kill it and
go on. Scores are Dice on the validation patients; seconds are processor time of one thread, so
that other work on the machine does not count. replay.py lets searches run over the table.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
import torch

from seglib.data.prepare import prepare
from seglib.data.splits import Split, make_splits
from seglib.data.store import Store
from seglib.errors import DivergedError
from seglib.fit import fit
from seglib.recipe import Recipe
from seglib.seeds import derive_seed
from tune.space import Value
from tune.study_file import StudyFile, load_study

HERE = Path(__file__).parent
STUDY, TABLE = HERE / "curves.yaml", HERE / "curves.jsonl"


@dataclass(frozen=True)
class Curve:
    """One full training.

    A training that diverged scores 0 from there on, in no time.
    """

    number: int
    values: Mapping[str, Value]
    seed: int
    scores: Sequence[float]
    seconds: Sequence[float]

    @property
    def best(self) -> float:
        """What the leaderboard would show."""
        return max(self.scores)


def read_curves(table: Path = TABLE) -> list[Curve]:
    """All curves by number; the table's first line tells how it was made."""
    lines = table.read_text().splitlines()[1:] if table.exists() else []
    return sorted((Curve(**json.loads(line)) for line in lines), key=lambda curve: curve.number)


def draw_values(study: StudyFile, number: int) -> Mapping[str, Value]:
    """What is searched, of recipe ``number``."""
    if number == 0:
        return study.default_point()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = derive_seed(study.seed, "curve", number)
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return study.space.suggest(drawn.ask())


def train(study: StudyFile, number: int, store: Store, split: Split) -> Curve:
    values, seed = draw_values(study, number), study.trial_seed(number, None)
    scores, seconds, started = [], [], time.process_time()
    try:
        for epoch in fit(Recipe(**values), store, split, seed=seed, metric=study.metric.name):
            scores.append(round(epoch.score, 4))
            seconds.append(round(time.process_time() - started, 3))
            started = time.process_time()
    except DivergedError:
        rest = study.horizon - len(scores)
        scores, seconds = scores + [0.0] * rest, seconds + [0.0] * rest
    return Curve(number, dict(values), seed, scores, seconds)


def describe() -> dict[str, str]:
    """How the table was made; its first line."""
    return {
        "generator": "python benchmarks/curves.py",
        "study": f"benchmarks/{STUDY.name}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "optuna": optuna.__version__,
    }


def append(table: Path, line: object) -> None:
    with table.open("a") as file:  # one short write: two processes do not mix their lines
        file.write(json.dumps(line, separators=(",", ":")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--curves", type=int, default=150)
    parser.add_argument("--part", default="0/1", help="which share of the work, as in 0/2")
    parser.add_argument("--table", type=Path, default=TABLE)
    asked = parser.parse_args()
    part, parts = map(int, asked.part.split("/"))
    torch.set_num_threads(1)
    study = load_study(STUDY, demo=False)
    if part == 0 and not asked.table.exists():
        append(asked.table, describe())
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(study.data, None, Path(folder), workers=1)
        split = make_splits(store.index, study.split).search_part()
        known = {curve.number for curve in read_curves(asked.table)}
        for number in range(part, asked.curves, parts):
            if number not in known:
                curve = train(study, number, store, split)
                append(asked.table, asdict(curve))
                print(f"{number}: {curve.best:.3f} {sum(curve.seconds):.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
