"""The same made-up trials told to plain Optuna: study.ask, trial.report, study.tell.

Its sampler and pruner have our settings. No rows are kept, only scores, so that it writes less
than a search of ours does.
"""

from __future__ import annotations

import heapq
import tempfile
import warnings
from pathlib import Path
from random import Random

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from scale_ledger import EVENTS, Meter, read_study, row_of

from seglib.recipe import Recipe
from tune.ledger import Order

EPOCHS = 27
WINDOW = 64


class PlainCrowd:
    """So many trials at once in one of Optuna's studies.

    Args:
        storage: Of Optuna.
        concurrent: Trials at work at once.
    """

    def __init__(self, storage: BaseStorage, concurrent: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._file = read_study(Path(folder), "bayes", epochs=EPOCHS, cap=1_000_000)
        rule = self._file.early_terminate
        self.study = optuna.create_study(
            storage=storage,
            direction="maximize",
            pruner=optuna.pruners.SuccessiveHalvingPruner(
                min_resource=rule.min_iter, reduction_factor=rule.eta
            ),
        )
        self._concurrent = concurrent
        self._at_work: list[tuple[float, int, int, optuna.Trial, Order]] = []
        self.ended = 0

    def run(self, trials: int, meter: Meter) -> None:
        """Let that many more trials end."""
        until = self.ended + trials
        while self.ended < until:
            while len(self._at_work) < self._concurrent:
                self._start(meter)
            now, number, epoch, trial, order = heapq.heappop(self._at_work)
            row = row_of(order, epoch)
            with meter.timing("report"):
                trial.report(row["score"], epoch)
                stop = trial.should_prune()
            if not stop and epoch < EPOCHS:
                self._push(now, epoch + 1, trial, order)
                continue
            with meter.timing("tell"):
                state = optuna.trial.TrialState.PRUNED if stop else None
                self.study.tell(number, None if stop else row["score"], state=state)
            self.ended += 1

    def _start(self, meter: Meter) -> None:
        with meter.timing("ask"):
            trial = self.study.ask()
            values = self._file.space.suggest(trial)
        now = self._at_work[0][0] if self._at_work else 0.0
        self._push(now, 1, trial, Order(trial.number, Recipe(**values), trial.number, 0))

    def _push(self, now: float, epoch: int, trial: optuna.Trial, order: Order) -> None:
        took = (order.recipe.base_filters / 16) * (0.9 + 0.2 * Random(order.seed * epoch).random())
        heapq.heappush(self._at_work, (now + took, trial.number, epoch, trial, order))


def show_optuna(place: Path | str, sizes: list[int], concurrent: int) -> None:
    """Grow a study with random proposals; at each size go on with TPE."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    storage: BaseStorage
    if isinstance(place, Path):
        storage = JournalStorage(JournalFileBackend(str(place)))
    else:
        storage = RDBStorage(place.replace("postgresql://", "postgresql+psycopg://"))
    print("| trials | ask ms: CPU, wall | report | tell |\n|---|---|---|---|")
    crowd = PlainCrowd(storage, concurrent)
    for size in sizes:
        crowd.study.sampler = optuna.samplers.RandomSampler(seed=1)
        crowd.run(size - WINDOW - crowd.ended, Meter())
        crowd.study.sampler = optuna.samplers.TPESampler(
            multivariate=True, group=True, constant_liar=True, seed=1
        )
        meter = Meter()
        crowd.run(WINDOW, meter)
        parts = [f"{meter.mean_ms(e):.1f}, {meter.mean_ms(e, wall=True):.1f}" for e in EVENTS[:3]]
        print(f"| {size:,} | {' | '.join(parts)} |", flush=True)
