"""Timing: what an epoch of a recipe takes on this machine, measured on a fair part of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from seglib.checkpoint import save_checkpoint
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.device import choose_device, peak_memory_mb, reset_peak_memory
from seglib.evaluate import evaluate
from seglib.files import write_whole
from seglib.memory import shrink_to_fit
from seglib.recipe import Recipe
from seglib.training import Training
from seglib.work import EpochCost

__all__ = ["measure_epoch"]

_PIECES: Final = 3
"""Parts of the time for training that are told apart: they say how even it is."""

_OF_ONE_BATCH: Final = 0.12
"""Spread that is taken for true where there was time for one batch only."""

_SHARES: Final = {"train": 0.6, "score": 0.2, "final": 0.2}
"""Of the time that a measurement may take."""

Clock = Callable[[], float]
Act = Callable[[NDArray[np.int64]], object]

_SMALL_FILES: Final = 4
"""Tables that a trial writes after an epoch, beside the checkpoint."""


@dataclass(frozen=True)
class _Line:
    """Seconds as a straight line over the number of slices."""

    each: float
    fixed: float
    spread: float = 0.0
    covered: int = 0


def measure_epoch(
    recipe: Recipe,
    store: Store,
    split: Split,
    *,
    seconds: float,
    scratch: Path,
    device: torch.device | None = None,
) -> EpochCost:
    """Train, score and save as a trial does, until the time is used up or an epoch is done.

    At least two training steps, two batches of validation and one checkpoint are gone
    through, however long they take. Nothing stays behind but one file in ``scratch``.

    Args:
        recipe: What to train.
        store: The prepared slices.
        split: Which groups train and which validate.
        seconds: What it may take, about.
        scratch: A folder for a checkpoint, on the disk that the trials will write to.
        device: Where to train; the best there is if not given.

    Returns:
        The costs.

    Raises:
        InfeasibleError: The network cannot work on this image size, the data lack a
            channel, or memory ran out with one image at a time.
    """
    device = device or choose_device()
    parts = split.parts(store.index)
    reset_peak_memory(device)
    clock = _choose_clock(device)
    begun, used = time.perf_counter(), clock()

    def begin(_: int) -> Training:
        return Training(recipe, store, parts["train"], seed=0, device=device)

    sizes = {"most": 1, "image_size": store.image_size}
    run = shrink_to_fit(begin, 1, recipe=recipe, device=device, **sizes)
    training = _time_training(run, parts["train"], seconds * _SHARES["train"], clock)
    scoring = _time_scoring(run, parts["val"], seconds * _SHARES["score"], clock)
    memory_mb = peak_memory_mb(device)
    cpu_share = (clock() - used) / (time.perf_counter() - begun)
    path = scratch / "measured.pt"
    saving_s = _time_saving(run, path)
    chosen = _choose_cases(store, parts["val"], scoring.each, seconds * _SHARES["final"])
    final_s = 2 * scoring.each
    if len(chosen):
        final_s = _time(lambda some: evaluate(path, store, some), chosen, clock) / len(chosen)
    return EpochCost(
        train_s=training.each,
        score_s=scoring.each,
        rest_s=training.fixed + scoring.fixed + saving_s,
        final_s=final_s,
        spread=training.spread,
        cpu_share=min(1.0, cpu_share),
        memory_mb=memory_mb,
        checkpoint_gb=path.stat().st_size / 1e9,
        share=training.covered / len(parts["train"]),
    )


def _time_training(run: Training, rows: NDArray[np.int64], seconds: float, clock: Clock) -> _Line:
    def train(some: NDArray[np.int64]) -> None:
        run.train = some
        run.inputs.feed(some)
        run.train_epoch(1)

    try:
        return _fit_line(train, rows, run.recipe.batch_size, seconds, clock=clock)
    finally:
        run.train = rows


def _time_scoring(run: Training, rows: NDArray[np.int64], seconds: float, clock: Clock) -> _Line:
    def score(some: NDArray[np.int64]) -> None:
        run.validate(some, 1)

    return _fit_line(score, rows, run.recipe.batch_size, seconds, clock=clock)


def _fit_line(
    act: Act, rows: NDArray[np.int64], batch: int, seconds: float, *, clock: Clock
) -> _Line:
    """Time one batch, then as many more in three pieces as there is time for."""
    few = rows[:batch]
    act(few)  # the first one sets things up
    begun = time.perf_counter()
    one_s = min(_time(act, few, clock) for _ in range(2))
    passed_s = (time.perf_counter() - begun) / 2  # by it the time that may be taken is counted
    size = int(min(len(rows), len(few) * max(1.0, seconds / _PIECES / passed_s)))
    size = max(size // batch * batch, len(few)) if size < len(rows) else size
    if size <= len(few):
        return _Line(one_s / len(few), 0.0, _OF_ONE_BATCH, len(few))
    pieces = [_time(act, _spaced(rows, size, number), clock) for number in range(_PIECES)]
    mean_s = float(np.mean(pieces))
    each = max(mean_s - one_s, 0.0) / (size - len(few))
    fixed = mean_s - each * size  # so that an epoch that was measured whole is what it was
    if fixed < 0:
        each, fixed = mean_s / size, 0.0
    spread = float(np.std(pieces, ddof=1)) / mean_s
    return _Line(each, fixed, spread, min(len(rows), _PIECES * size))


def _spaced(rows: NDArray[np.int64], size: int, number: int) -> NDArray[np.int64]:
    """So many rows from all over the part, other ones for each number."""
    places = (np.arange(size) * len(rows) // size + number) % len(rows)
    return rows[places]


def _choose_clock(device: torch.device) -> Clock:
    """Seconds of the process tell what it would take alone; but those of several threads add up."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


def _time(act: Act, rows: NDArray[np.int64], clock: Clock) -> float:
    begun = clock()
    act(rows)
    return clock() - begun


def _time_saving(run: Training, path: Path) -> float:
    begun = time.perf_counter()
    save_checkpoint({**run.state(), "rows": [], "cases": ""}, path)
    for _ in range(_SMALL_FILES):
        write_whole(path.with_suffix(".csv"), "a table of some lines\n" * 50)
    return time.perf_counter() - begun


def _choose_cases(
    store: Store, rows: NDArray[np.int64], score_s: float, seconds: float
) -> NDArray[np.int64]:
    """Rows of the smallest cases, to score as after the last epoch; none if all take too long.

    A network that has not learnt yet finds something everywhere, and surfaces of much take
    longer than those of little: the time is rather too much than too little.
    """
    cases = store.index["case"].iloc[rows]
    sizes = cases.value_counts(sort=True, ascending=True).cumsum()
    fit = sizes[sizes * score_s * 2 <= seconds]
    return rows[cases.isin(fit.index[:3]).to_numpy()]
