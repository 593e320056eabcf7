"""Recipes timed on this machine, as many at once as a search would train there."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, TypeVar

from seglib.data.splits import Split
from seglib.errors import Problem, RunError, SegtuneError
from seglib.recipe import Recipe

if TYPE_CHECKING:
    from seglib.data.store import Store
    from seglib.work import EpochCost

__all__ = ["MOST_WORKERS", "Measured", "measure"]

Result = TypeVar("Result")

MOST_WORKERS: Final = 8
"""Processes that measure at once, however many trials a search would run."""

_LEAST_S: Final = 1.5
"""A measurement shorter than this tells nothing."""

_OVER: Final = 1.25
"""A measurement sets up, saves and scores besides what it is given."""


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Args:
        costs: By the number of the recipe; several where there was time for it.
        failures: By the number of the recipe, why it could not be measured.
        num_left: Recipes that there was no time for.
        worker_s: From the start of a process until it could train.
        seconds: How long all of it took.
    """

    costs: Mapping[int, tuple[EpochCost, ...]]
    failures: Mapping[int, str]
    num_left: int
    worker_s: float
    seconds: float


@dataclass(frozen=True)
class _Task:
    number: int
    recipe: Recipe
    store: Path
    split: Split
    seconds: float
    deadline: float
    scratch: str


def measure(
    recipes: Sequence[Recipe],
    store: Store,
    split: Split,
    *,
    workers: int,
    threads: int,
    seconds: float,
    folder: Path,
    progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> Measured:
    """Time one epoch of each recipe, or a part of it, in processes like those of a search.

    Others measure meanwhile, as others train in a search: trials share caches, memory and
    clock rate. What there is no time for is left out, the last recipes first.

    Args:
        recipes: What to time, the most important first.
        store: The prepared data.
        split: Which groups train and which validate.
        workers: Trials that a search would run at once.
        threads: Of a trial.
        seconds: For all of it; what has begun by then is finished.
        folder: On the disk that the trials will write to; nothing stays in it.
        progress: Called with done, total and a text.

    Returns:
        The costs.

    Raises:
        RunError: A process died, as where memory runs out.
    """
    begun = time.monotonic()
    workers = max(1, min(workers, MOST_WORKERS))
    # all of them are busy all the time: a machine of which half sleeps is a faster one
    count = -(-max(len(recipes), 1) // workers) * workers
    share = max(_LEAST_S, seconds / _OVER * workers / count)
    folder.mkdir(parents=True, exist_ok=True)
    costs: dict[int, tuple[EpochCost, ...]] = {}
    failures: dict[int, str] = {}
    with (
        TemporaryDirectory(prefix=".price-", dir=folder) as scratch,
        _pool(workers, threads) as pool,
    ):
        ready = [pool.submit(_seconds_to_get_ready) for _ in range(workers)]
        worker_s = max(_result(future) for future in ready)
        deadline = time.monotonic() + seconds
        futures: dict[Future[EpochCost | str | None], int] = {}
        for turn in range(count):
            number = turn % len(recipes)
            task = _Task(number, recipes[number], store.path, split, share, deadline, scratch)
            futures[pool.submit(_measure_one, task)] = number
        for done, future in enumerate(as_completed(futures), start=1):
            found, number = _result(future), futures[future]
            if isinstance(found, str):
                failures[number] = found
            elif found is not None:
                costs[number] = (*costs.get(number, ()), found)
            progress(done, count, "measuring")
    left = len(recipes) - len(costs) - len(failures)
    return Measured(costs, failures, left, worker_s, time.monotonic() - begun)


@contextmanager
def _pool(workers: int, threads: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are set up as trials are; who ends early waits for no more than is begun."""
    context, given = get_context("spawn"), (threads, time.monotonic())
    with ProcessPoolExecutor(workers, context, initializer=_get_ready, initargs=given) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool:
        hint = "see whether its memory is enough for the trials at once: resources.concurrent"
        found = "a process that measured died"
        raise RunError("measuring", [Problem("this machine", found, "it lives", hint)]) from None


_getting_ready_s = 0.0


def _get_ready(threads: int, begun: float) -> None:
    """Import and set up what a trial needs, as a worker of Ray does."""
    import cv2
    import torch

    from seglib.allocator import keep_freed_memory
    from seglib.data.workers import end_with_parent

    end_with_parent()
    importlib.import_module("tune.trainable")  # with Ray, as there
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    keep_freed_memory()
    global _getting_ready_s
    _getting_ready_s = time.monotonic() - begun


def _seconds_to_get_ready() -> float:
    return _getting_ready_s


def _measure_one(task: _Task) -> EpochCost | str | None:
    """One recipe; why it cannot be trained; None where there is no time left."""
    if time.monotonic() > task.deadline:
        return None
    import os

    from seglib.data.store import Store
    from seglib.device import choose_device
    from seglib.memory import give_back
    from seglib.timing import measure_epoch

    scratch = Path(task.scratch) / str(os.getpid())
    scratch.mkdir(exist_ok=True)
    try:
        return measure_epoch(
            task.recipe, Store.open(task.store), task.split, seconds=task.seconds, scratch=scratch
        )
    except SegtuneError as error:
        return str(error)
    finally:
        give_back(choose_device())
