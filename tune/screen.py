"""What a person sees while a search runs: one live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tune.entries import Entry
from tune.leaderboard import as_clock, count_states
from tune.ledger import Ledger, Order
from tune.report import best_row

__all__ = ["LiveScreen", "Pace", "PlainScreen", "watching"]

_MOST_ENDED_SHOWN = 8
_WIDTH_OF_LABELS = 20
_COLUMNS = {
    "trial": 12, "state": 8, "epoch": 9, "rung": 4, "score": 7, "best": 7, "s/epoch": 7,
    "memory": 8,
}  # fmt: skip


class PlainScreen:
    """One line per start, epoch and end: for pipes, logs and notebooks.

    Args:
        ledger: The memory of the search.
        console: Where lines go.
    """

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self._ledger, self._console = ledger, console

    def started(self, order: Order) -> None:
        """Say which trial begins, and by what knobs."""
        entry = self._ledger.entry(order.number)
        knobs = " ".join(f"{name}={_short(value)}" for name, value in entry.values.items())
        whose = "" if entry.extends is None else f" of trial {entry.extends}"
        again = f" (goes on after epoch {order.num_reported}{whose})" if order.num_reported else ""
        self._print(f"trial {_label(entry)} starts{again}: {knobs}")

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Say how an epoch went."""
        self._print(
            f"trial {number} epoch {row['epoch']:.0f}: {self._ledger.file.metric.name} "
            f"{row['score']:.4f} train_loss {row['train_loss']:.4f} {row['seconds']:.1f} s"
        )

    def finished(self, number: int) -> None:
        """Say how a trial ended."""
        entry = self._ledger.entry(number)
        reason = f" ({entry.reason})" if entry.reason else ""
        self._print(f"trial {number} {entry.state}{reason}")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)


class LiveScreen:
    """A table drawn anew in place: running trials, the best ones, and what is left.

    Columns have fixed widths and rows stay where they are, so nothing jumps. The
    table vanishes at the end, when the leaderboard takes its place.

    Args:
        ledger: The memory of the search.
        console: A terminal.
    """

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._entries = {entry.number: entry for entry in ledger.entries()}
        self._running: dict[int, Order] = {}
        self._most_running = 0
        self._pace = Pace(ledger.num_planned)
        self.live = Live(
            console=console, get_renderable=self._draw, refresh_per_second=2, transient=True
        )

    def started(self, order: Order) -> None:
        """A trial appears among the running ones."""
        with self._lock:
            self._running[order.number] = order
            self._most_running = max(self._most_running, len(self._running))
            self._entries[order.number] = self._ledger.entry(order.number)
            self._pace.begin()

    def reported(self, number: int, row: dict[str, float]) -> None:
        """A running trial's row changes."""
        self._update(number, epochs=1)

    def finished(self, number: int) -> None:
        """A trial leaves the running ones."""
        with self._lock:
            self._running.pop(number, None)
        self._update(number, epochs=0)

    def _update(self, number: int, *, epochs: int) -> None:
        entry = self._ledger.entry(number)
        with self._lock:
            self._entries[number] = entry
            lengths = {one: order.recipe.epochs for one, order in self._running.items()}
            self._pace.note(list(self._entries.values()), lengths, new_epochs=epochs)

    def _draw(self) -> Group:
        with self._lock:
            entries, running = dict(self._entries), dict(self._running)
        table = Table(
            header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
        )
        labelled = any(_training(entry) or entry.point for entry in entries.values())
        columns = _COLUMNS | ({"trial": _WIDTH_OF_LABELS} if labelled else {})
        for name, width in columns.items():
            table.add_column(
                self._ledger.file.metric.name[:width] if name == "score" else name,
                justify="left" if name in ("trial", "state") else "right",
                width=width,
                no_wrap=True,
            )
        for number in sorted(running):
            cells = map(Text, self._cells(entries[number], running[number]))
            table.add_row(*cells, style="cyan")
        for _ in range(self._most_running - len(running)):
            table.add_row()
        table.add_section()
        for place, entry in enumerate(self._ranked(entries, running)[:_MOST_ENDED_SHOWN]):
            cells = map(Text, self._cells(entry, None))  # not markup: a point may be named "[x]"
            table.add_row(*cells, style="bold green" if place == 0 else "")
        return Group(Text(self._headline(entries), style="bold"), table)

    def _ranked(self, entries: Mapping[int, Entry], running: Mapping[int, Order]) -> list[Entry]:
        scored = [e for number, e in entries.items() if e.rows and number not in running]
        maximize = self._ledger.file.metric.goal == "maximize"
        return sorted(scored, key=self._best, reverse=maximize)

    def _best(self, entry: Entry) -> float:
        return float((best_row(self._ledger.file, entry) or {})["score"])

    def _cells(self, entry: Entry, order: Order | None) -> list[str]:
        seed = "" if entry.seed is None else f"/{entry.seed}"
        fold = "" if entry.fold is None else f"/f{entry.fold}"
        name = f"{entry.number} {entry.point}{seed}{fold}".rstrip() + (
            " default" if entry.origin == "default" else ""
        )
        name += "" if entry.extends is None else f" < {entry.extends}"
        length = order.recipe.epochs if order is not None else entry.recipe.get("epochs", "?")
        rungs = self._ledger.file.rungs()
        # a trial that was stopped at a rung has not passed it
        reached = len(entry.rows) - (entry.state == "PRUNED")
        passed = f"{sum(rung <= reached for rung in rungs)}/{len(rungs)}" if rungs else "–"
        state = entry.state.lower() if entry.rows or order is None else "starting"
        cells = [name, state, f"{len(entry.rows)}/{length}", passed]
        if not entry.rows:
            return [*cells, "–", "–", "–", "–"]
        last = entry.rows[-1]
        seconds = sum(row["seconds"] for row in entry.rows) / len(entry.rows)
        memory = f"{last['peak_memory_mb'] / 1024:.1f} GB"
        return [
            *cells,
            f"{last['score']:.4f}",
            f"{self._best(entry):.4f}",
            f"{seconds:.1f}",
            memory,
        ]

    def _headline(self, entries: Mapping[int, Entry]) -> str:
        started = [entry for entry in entries.values() if entry.started]
        ended = sum(entry.state != "RUNNING" for entry in started)
        planned = self._ledger.num_planned
        planned = planned and max(planned, ended)
        total = f" of {planned}" if planned is not None else ""
        left = self._pace.seconds_left()
        clock = f"{as_clock(self._pace.seconds_elapsed())} elapsed"
        if left is not None and left >= 1:
            clock += f", about {as_clock(left)} left"
        counts = count_states(list(entries.values()))
        lines = [f"{self._ledger.file.name}: {ended}{total} trials ended, {clock}", counts]
        return "\n".join(["", *lines])


class Pace:
    """How long a search will still take, judged by how long its epochs took so far.

    Args:
        num_planned: Trials in all; None makes no forecast.
        clock: Tells seconds.
    """

    def __init__(
        self,
        num_planned: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_planned, self._clock = num_planned, clock
        self._opened = clock()
        self._begun: float | None = None
        self._epochs = 0
        self._end: float | None = None

    def begin(self) -> None:
        """The first trial starts; what came before does not count."""
        self._begun = self._clock() if self._begun is None else self._begun

    def note(
        self, entries: Sequence[Entry], lengths: Mapping[int, int], *, new_epochs: int
    ) -> None:
        """Think again, an epoch or a trial having ended.

        Args:
            entries: All trials.
            lengths: Epochs of those that run, by number.
            new_epochs: Epochs that ended since the last call.
        """
        self._epochs += new_epochs
        if self._num_planned is None or self._begun is None or not self._epochs:
            return
        done = [len(e.rows) for e in entries if e.started and e.number not in lengths]
        if not done:  # nobody knows yet how long trials will be
            return
        # Trials to come are expected to be as long as those that ended, stopped ones included.
        mean = sum(done) / len(done)
        left = max(self._num_planned - len(done) - len(lengths), 0) * mean
        for entry in entries:
            if entry.number in lengths:
                length = lengths[entry.number]
                expected = mean if len(entry.rows) < mean else length
                left += max(min(expected, length) - len(entry.rows), 0)
        now = self._clock()
        self._end = now + left * (now - self._begun) / self._epochs

    def seconds_elapsed(self) -> float:
        """Seconds since the search was begun or continued."""
        return self._clock() - self._opened

    def seconds_left(self) -> float | None:
        """Seconds until the end, counted down between two thoughts; None for unknown."""
        return None if self._end is None else max(self._end - self._clock(), 0.0)


@contextmanager
def watching(ledger: Ledger, console: Console) -> Iterator[PlainScreen | LiveScreen]:
    """The right screen for a console, alive while the block runs.

    Args:
        ledger: The memory of the search.
        console: A terminal, or anything else.

    Yields:
        The screen, an observer of the search.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield PlainScreen(ledger, console)
        return
    screen = LiveScreen(ledger, console)
    with screen.live:
        yield screen


def _label(entry: Entry) -> str:
    """A trial's number, and the row of a grid, the seed and the fold that it is for."""
    words = [*([entry.point] if entry.point else []), *_training(entry)]
    return f"{entry.number} ({', '.join(words)})" if words else f"{entry.number}"


def _training(entry: Entry) -> list[str]:
    """The seed and the fold that a trial is for."""
    given = {"seed": entry.seed, "fold": entry.fold}
    return [f"{name} {value}" for name, value in given.items() if value is not None]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
