"""Many items at once: the processes that preparation works with.

A worker imports this file and what it needs, so it loads neither torch nor pandas.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2

from seglib.data.convert import Piece, convert
from seglib.data.dataset import Item
from seglib.data.source import Plan
from seglib.errors import SegtuneError

__all__ = ["convert_all"]


def convert_all(
    jobs: Sequence[tuple[Item, Plan, Path | None]],
    workers: int,
    progress: Callable[[int, int, str], None],
) -> list[Piece]:
    """Convert every item, here or in other processes; results in the order of items.

    Processes are started afresh ("spawn"): a fork would copy whatever threads and
    locks the caller holds.

    Args:
        jobs: Arguments of :func:`seglib.data.convert.convert`, item by item.
        workers: Processes; 1 works in this one.
        progress: Called with done, total and a text.

    Returns:
        What came of each item.

    Raises:
        SegtuneError: The system killed a process.
    """
    pieces: dict[int, Piece] = {}
    text = "preparing"
    if workers <= 1 or len(jobs) == 1:
        for number, job in enumerate(jobs):
            pieces[number] = convert(*job)
            progress(number + 1, len(jobs), text)
        return list(pieces.values())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_start_worker
    ) as pool:
        try:
            futures = {pool.submit(convert, *job): number for number, job in enumerate(jobs)}
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


def _start_worker() -> None:
    """Set up a process of the pool: one thread, and it ends when its parent does.

    Ctrl-C reaches the parent too, which then ends the pool in order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
