"""C's allocator on Linux, told to keep what a training step frees for the next step."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

__all__ = ["ONE_HEAP", "keep_freed_memory"]

ONE_HEAP: Final = {"MALLOC_ARENA_MAX": "1"}
"""Environment of processes that train in a thread: glibc reads it when they start.

Threads get heaps of their own, of 64 MiB at most, and a tensor that is larger than what is
left there is mapped and unmapped each time. Too late once a process has a few of them, as
any worker of Ray has.
"""

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of <malloc.h>
_SETTINGS: Final = (
    (_MMAP_MAX, 0),  # no tensor is mapped alone, to be unmapped when it is freed
    (_TRIM_THRESHOLD, -1),  # the heap's end is not given back either
    (_ARENA_MAX, 1),
)


def keep_freed_memory() -> bool:
    """Let the process keep memory that it frees, until ``seglib.memory.give_back``.

    Without this glibc maps each large tensor anew, and the system must fill every page with
    zeros before its first use: a fifth or more of a training step. The price is a larger
    resident set, as gaps between tensors of other sizes are kept, too. Decision 024.

    May be called again and again, best before the first large tensor. Without effect where
    the C library is not glibc.

    Returns:
        Whether the settings were made.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    taken = [library.mallopt(name, value) == 1 for name, value in _SETTINGS]
    return all(taken)
