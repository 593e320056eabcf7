"""Many items at once: the processes that preparation works with.

A worker imports this file and what it needs, so it loads neither torch nor pandas.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2

from seglib.allocator import keep_freed_memory
from seglib.data.convert import Piece, convert
from seglib.data.dataset import Item
from seglib.data.source import Plan
from seglib.errors import SegtuneError

__all__ = ["convert_all", "end_with_parent", "use_one_core", "useful_workers"]

POOL_PAYS_FROM_BYTES = 100 * 2**20
"""A process takes seconds to start; in that time one core reads about so much."""


def useful_workers(files: Iterable[Path]) -> int:
    """One process per core, or one in all where starting them would take longer than they save.

    Args:
        files: What will be read.

    Returns:
        Number of processes.
    """
    if sum(file.stat().st_size for file in files if file.exists()) < POOL_PAYS_FROM_BYTES:
        return 1
    return len(os.sched_getaffinity(0))


def convert_all(
    jobs: Sequence[tuple[Item, Plan, Path | None]],
    workers: int,
    progress: Callable[[int, int, str], None],
    text: str = "preparing",
    *,
    keep: bool = False,
) -> list[Piece]:
    """Convert every item, here or in other processes; results in the order of items.

    Processes are started afresh ("spawn"): a fork would copy whatever threads and
    locks the caller holds.

    Args:
        jobs: First arguments of :func:`seglib.data.convert.convert`, item by item.
        workers: Processes; 1 works in this one.
        progress: Called with done, total and the text.
        text: Word for the work.
        keep: Whether the pixels are part of what is returned; only for few items.

    Returns:
        What came of each item.

    Raises:
        SegtuneError: The system killed a process.
    """
    pieces: dict[int, Piece] = {}
    if workers <= 1 or len(jobs) == 1:
        for number, job in enumerate(jobs):
            pieces[number] = convert(*job, keep=keep)
            progress(number + 1, len(jobs), text)
        return list(pieces.values())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_start_worker
    ) as pool:
        try:
            futures = {
                pool.submit(convert, *job, keep=keep): number for number, job in enumerate(jobs)
            }
            for done, future in enumerate(as_completed(futures)):
                pieces[futures[future]] = future.result()
                progress(done + 1, len(jobs), text)
        except BrokenProcessPool:
            raise SegtuneError(
                "a process that prepared the data was killed, most likely for want of memory; "
                "prepare with fewer workers"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [pieces[number] for number in range(len(jobs))]


def use_one_core() -> None:
    """Set this process up for converting beside others: one thread, and memory is kept.

    Volumes are large: unless the memory of the last one is kept, the system fills as many
    pages with zeros for the next, which takes as long as a third of the work.
    """
    keep_freed_memory()
    cv2.setNumThreads(1)


def end_with_parent() -> None:
    """Let this process of a pool end when its parent does.

    Ctrl-C reaches the parent too, which then ends the pool in order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _start_worker() -> None:
    """Set up a process of the pool."""
    end_with_parent()
    use_one_core()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
