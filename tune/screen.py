"""What a person sees while a search runs: one live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tune.ledger import Entry, Ledger, Order

__all__ = ["LiveScreen", "PlainScreen", "watching"]


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
        values = self._ledger.entry(order.number).values
        knobs = " ".join(f"{name}={_short(value)}" for name, value in values.items())
        again = f" (goes on after epoch {order.num_reported})" if order.num_reported else ""
        self._print(f"trial {order.number} starts{again}: {knobs}")

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
    """A table that is drawn anew in place: running trials, the best ones, and what is left.

    Args:
        ledger: The memory of the search.
        console: A terminal.
    """

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._entries = {entry.number: entry for entry in ledger.entries()}
        self._running: dict[int, Order] = {}
        self._epochs_done = 0
        self._started = time.monotonic()
        self.live = Live(console=console, get_renderable=self._draw, refresh_per_second=2)

    def started(self, order: Order) -> None:
        """A trial appears among the running ones."""
        with self._lock:
            self._running[order.number] = order
            self._entries[order.number] = self._ledger.entry(order.number)

    def reported(self, number: int, row: dict[str, float]) -> None:
        """A running trial's row changes."""
        with self._lock:
            self._epochs_done += 1
            self._entries[number] = self._ledger.entry(number)

    def finished(self, number: int) -> None:
        """A trial leaves the running ones."""
        with self._lock:
            self._running.pop(number, None)
            self._entries[number] = self._ledger.entry(number)

    def _draw(self) -> Group:
        with self._lock:
            entries, running = dict(self._entries), dict(self._running)
        table = Table(header_style="bold", title_justify="left", title=self._headline(entries))
        for name in ("trial", "state", "epoch", "score", "best", "s/epoch", "memory"):
            table.add_column(name, justify="left" if name == "state" else "right")
        ended = [entry for number, entry in entries.items() if number not in running]
        ranked = sorted(
            (entry for entry in ended if entry.rows), key=self._rank, reverse=self._maximize
        )
        for number, order in sorted(running.items()):
            table.add_row(*_cells(entries[number], order.recipe.epochs, self._best), style="cyan")
        table.add_section()
        for place, entry in enumerate(ranked[:8]):
            style = "bold green" if place == 0 else ""
            table.add_row(*_cells(entry, None, self._best), style=style)
        return Group(table, Text(self._footline(entries, running), style="dim"))

    @property
    def _maximize(self) -> bool:
        return self._ledger.file.metric.goal == "maximize"

    def _best(self, entry: Entry) -> float:
        scores = [row["score"] for row in entry.rows]
        return max(scores) if self._maximize else min(scores)

    def _rank(self, entry: Entry) -> float:
        return self._best(entry)

    def _headline(self, entries: dict[int, Entry]) -> str:
        states = [entry.state for entry in entries.values()]
        counts = {name: states.count(name) for name in ("COMPLETE", "PRUNED", "FAIL")}
        planned = self._ledger.num_planned
        total = f" of {planned}" if planned is not None else ""
        said = ", ".join(f"{count} {name.lower()}" for name, count in counts.items() if count)
        return f"{self._ledger.file.name}: {sum(counts.values())}{total} trials ended   {said}"

    def _footline(self, entries: dict[int, Entry], running: dict[int, Order]) -> str:
        elapsed = time.monotonic() - self._started
        text = f"{_clock(elapsed)} elapsed"
        planned = self._ledger.num_planned
        ended = [entry for number, entry in entries.items() if number not in running and entry.rows]
        if planned is None or not ended or not self._epochs_done:
            return text
        # Trials to come are expected to be as long as those that ended, stopped ones included.
        mean_epochs = sum(len(entry.rows) for entry in ended) / len(ended)
        left = max(planned - len(ended), 0) * mean_epochs
        left -= sum(len(entries[number].rows) for number in running)
        return f"{text}, about {_clock(max(left, 0) * elapsed / self._epochs_done)} left"


@contextmanager
def watching(ledger: Ledger, console: Console) -> Iterator[PlainScreen | LiveScreen]:
    """The right screen for a console, alive while the block runs.

    Args:
        ledger: The memory of the search.
        console: A terminal, or anything else.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield PlainScreen(ledger, console)
        return
    screen = LiveScreen(ledger, console)
    with screen.live:
        yield screen


def _cells(entry: Entry, length: int | None, best: Any) -> list[str]:
    name = f"{entry.number}" + (" default" if entry.origin == "default" else "")
    done = f"{len(entry.rows)}" + (f"/{length}" if length else "")
    if not entry.rows:
        return [name, entry.state, done, "–", "–", "–", "–"]
    last = entry.rows[-1]
    seconds = sum(row["seconds"] for row in entry.rows) / len(entry.rows)
    return [
        name,
        entry.state,
        done,
        f"{last['score']:.4f}",
        f"{best(entry):.4f}",
        f"{seconds:.1f}",
        f"{last['peak_memory_mb']:.0f} MB",
    ]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
