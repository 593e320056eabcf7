"""Made-up trials, many at once, told to the real ledger in a real storage: what does an event cost?

No network is trained: a trial's scores follow a curve that its recipe and its seed fix, and an
epoch takes as long on a clock of our own as the size of the network says. The ledger, its
storage, its sampler, its pruner and what writes files in a run directory are those of a search.
"""

from __future__ import annotations

import heapq
import io
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from optuna.storages import RDBStorage
from rich.console import Console

from tune.executor import Observer
from tune.ledger import Ledger, Order
from tune.report_writer import ReportWriter
from tune.retention import CheckpointKeeper
from tune.run_directory import RunDirectory
from tune.screen import PlainScreen
from tune.storage import open_storage
from tune.study_file import StudyFile, load_study

STUDY = """\
name: scale
method: {method}
data: {{layout: phantom-brats, cases: 24, image_size: 80, target: regions}}
parameters:
  optimizer:      {{values: [adamw, sgd]}}
  learning_rate:  {{distribution: log_uniform_values, min: 1e-4, max: 1e-2}}
  momentum:       {{min: 0.8, max: 0.99, when: {{optimizer: sgd}}}}
  weight_decay:   {{distribution: log_uniform_values, min: 1e-6, max: 1e-2}}
  schedule:       {{values: [cosine, poly]}}
  batch_size:     {{values: [8, 16, 32]}}
  base_filters:   {{values: [16, 32, 48]}}
  norm:           {{values: [batch, instance]}}
  dropout:        {{min: 0.0, max: 0.5}}
  loss:           {{values: [dice_ce, dice_bce, tversky]}}
  dice_weight:    {{min: 0.3, max: 0.9, when: {{loss: [dice_ce, dice_bce]}}}}
  tversky_beta:   {{min: 0.5, max: 0.9, when: {{loss: tversky}}}}
  foreground_fraction: {{min: 0.0, max: 0.7}}
  flip_horizontal: {{values: [0.0, 0.5]}}
  rotation_deg:   {{min: 0.0, max: 30.0}}
  zoom:           {{min: 0.0, max: 0.3}}
  elastic:        {{values: [0.0, 0.3]}}
  brightness:     {{min: 0.0, max: 0.2}}
  epochs:         {{value: {epochs}}}
early_terminate: {{type: asha, min_iter: {first}, eta: 4}}
run_cap: {cap}
tracking: {{wandb: off}}
"""
"""The space of brats.yaml, its length and its first rung to be chosen."""

EVENTS = ("ask", "report", "tell", "files")


def read_study(folder: Path, method: str, *, epochs: int, cap: int) -> StudyFile:
    """A study of the space of brats.yaml; the first rung is a ninth of the epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{method}.yaml"
    first = max(1, epochs // 9)
    path.write_text(STUDY.format(method=method, epochs=epochs, first=first, cap=cap))
    return load_study(path, demo=False)


def row_of(order: Order, epoch: int) -> dict[str, float]:
    """An epoch as wide as a real one of three regions; higher scores come later and with luck."""
    recipe = order.recipe
    distance = abs(math.log10(recipe.learning_rate) + 2.5) + recipe.dropout / 4
    top = 0.85 - 0.2 * distance + order.seed % 1000 / 2e4
    score = top * (1 - math.exp(-epoch / 6)) + Random(order.seed + epoch).gauss(0, 0.01)
    names = ("train_loss", "train_dice", "val_loss", "dice", "iou", "precision", "recall")
    classes = [f"{one}_{name}" for one in names[3:6] for name in ("WT", "TC", "ET")]
    rest = {
        "num_cases": 75.0,
        "learning_rate": recipe.learning_rate,
        "skipped_steps": 0.0,
        "micro_batch": 8.0,
        "seconds": 90.0 + order.seed % 60,
        "peak_memory_mb": 3000.0,
    }
    return {"epoch": epoch, "score": score, **dict.fromkeys((*names, *classes), score), **rest}


@dataclass
class Meter:
    """Seconds of each kind of event, of the processor and of the clock on the wall."""

    cpu_s: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in EVENTS})
    wall_s: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in EVENTS})

    @contextmanager
    def timing(self, event: str) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_s[event].append(time.process_time() - cpu)
        self.wall_s[event].append(time.perf_counter() - wall)

    def mean_ms(self, event: str, *, wall: bool = False) -> float:
        """Of all events of a kind; 0 without any."""
        seconds = (self.wall_s if wall else self.cpu_s)[event]
        return 1000 * sum(seconds) / len(seconds) if seconds else 0.0

    def median_ms(self, event: str) -> float:
        """Of the processor, which does not count what other work delays."""
        return 1000 * statistics.median(self.cpu_s[event])

    def count(self, event: str) -> int:
        return len(self.cpu_s[event])


class Crowd:
    """So many made-up trials at once, each on a GPU of its own that nobody has.

    Args:
        ledger: The memory of the search.
        concurrent: Trials at work at once.
        observers: Told what a search's observers are told.
    """

    def __init__(self, ledger: Ledger, concurrent: int, observers: Sequence[Observer] = ()) -> None:
        self.ledger, self._concurrent, self._observers = ledger, concurrent, observers
        self._at_work: list[tuple[float, int, int, Order]] = []
        self._now = 0.0
        self.ended = 0

    def run(self, trials: int, meter: Meter) -> None:
        """Let that many more trials end; as many as before go on being at work.

        Args:
            trials: How many.
            meter: Takes the cost of each event.
        """
        until = self.ended + trials
        while self.ended < until:
            while len(self._at_work) < self._concurrent and self._start(meter):
                pass
            if not self._at_work:
                return
            self._now, number, epoch, order = heapq.heappop(self._at_work)
            if self._epoch(order, epoch, meter):
                self._push(order, epoch + 1)
                continue
            with meter.timing("tell"):
                self.ledger.finish(number)
            self._tell(meter, "finished", number)
            self.ended += 1

    def _start(self, meter: Meter) -> bool:
        with meter.timing("ask"):
            order = self.ledger.ask()
        if order is None:
            return False
        self._tell(meter, "started", order)
        self._push(order, order.num_reported + 1)
        return True

    def _epoch(self, order: Order, epoch: int, meter: Meter) -> bool:
        """Report an epoch as the adapter for Ray does; True when another follows."""
        row = row_of(order, epoch)
        with meter.timing("report"):
            known = len(self.ledger.entry(order.number).rows)
            assert epoch == known + 1
            stop = self.ledger.report(order.number, row)
        self._tell(meter, "reported", order.number, row)
        return not stop and epoch < order.recipe.epochs

    def _push(self, order: Order, epoch: int) -> None:
        took = (order.recipe.base_filters / 16) * (0.9 + 0.2 * Random(order.seed * epoch).random())
        heapq.heappush(self._at_work, (self._now + took, order.number, epoch, order))

    def _tell(self, meter: Meter, event: str, *what: Any) -> None:
        if not self._observers:
            return
        with meter.timing("files"):
            for observer in self._observers:
                getattr(observer, event)(*what)


def observers_of(ledger: Ledger, folder: RunDirectory) -> list[Observer]:
    """What looks on in every search: leaderboard and best recipe, checkpoints, lines of text."""
    return [
        ReportWriter(ledger, folder),
        CheckpointKeeper(ledger, folder.path),
        PlainScreen(ledger, Console(file=io.StringIO())),
    ]


@contextmanager
def opened(study: StudyFile, place: Path | str) -> Iterator[tuple[Ledger, float]]:
    """The ledger, and the CPU seconds that it took to open: all of a journal is read again."""
    begun = time.process_time()
    storage = open_storage(place, study.name)
    yield Ledger(study, storage), time.process_time() - begun
    if isinstance(storage, RDBStorage):  # frees the study for who opens it next
        storage.remove_session()
        storage.engine.dispose()
