"""How far the preparation is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

__all__ = ["progress_on"]

_SECONDS_BETWEEN_LINES = 10.0

Report = Callable[[int, int, str], None]


@contextmanager
def progress_on(console: Console) -> Iterator[Report]:
    """Something to call with how much is done, how much there is, and of what.

    Args:
        console: A terminal, or anything else.

    Yields:
        The function to call.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield _PlainProgress(console)
        return
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(done: int, total: int, text: str) -> None:
            if text not in tasks:
                tasks[text] = bars.add_task(text, total=total)
            bars.update(tasks[text], completed=done, total=total)

        yield report


class _PlainProgress:
    """A line every ten seconds and one at the end of each kind of work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = time.monotonic()

    def __call__(self, done: int, total: int, text: str) -> None:
        if done == total or time.monotonic() - self._said > _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            self._console.print(f"{text}: {done} of {total}", markup=False, highlight=False)
