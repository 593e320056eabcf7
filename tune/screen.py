"""What a person sees while a search runs: one live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tune.entries import Entry
from tune.leaderboard import as_clock, count_states
from tune.ledger import Ledger, Order
from tune.pace import Pace
from tune.report import best_row
from tune.trial_rows import build_table, training_of, trial_cells

__all__ = ["LiveScreen", "PlainScreen", "watching"]

_MOST_ENDED_SHOWN = 8
_PLACES = ("GPU", "node")


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

    def placed(self, number: int, place: Mapping[str, str]) -> None:
        """Say where a trial is, if it could be elsewhere."""
        words = [f"{name} {place[name]}" for name in reversed(_PLACES) if place.get(name)]
        if words:
            self._print(f"trial {number} is on {', '.join(words)}")

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
        self._ledger, self._console = ledger, console
        self._lock = threading.Lock()
        self._entries = {entry.number: entry for entry in ledger.entries()}
        self._running: dict[int, Order] = {}
        self._places: dict[int, Mapping[str, str]] = {}
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

    def placed(self, number: int, place: Mapping[str, str]) -> None:
        """It is known where a running trial is."""
        with self._lock:
            self._places[number] = place

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
            entries, running, places = dict(self._entries), dict(self._running), dict(self._places)
        study = self._ledger.file
        known = {name: any(place.get(name) for place in places.values()) for name in _PLACES}
        table, columns = build_table(
            study, list(entries.values()), known, width=self._console.width
        )
        for number in sorted(running):
            length, place = running[number].recipe.epochs, places.get(number)
            cells = trial_cells(study, entries[number], columns, length=length, place=place)
            table.add_row(*map(Text, cells), style="cyan")
        for _ in range(self._most_running - len(running)):
            table.add_row()
        table.add_section()
        for rank, entry in enumerate(self._ranked(entries, running)[:_MOST_ENDED_SHOWN]):
            # not markup: a point may be named "[x]"
            cells = trial_cells(study, entry, columns, place=places.get(entry.number))
            table.add_row(*map(Text, cells), style="bold green" if rank == 0 else "")
        return Group(Text(self._headline(entries), style="bold"), table)

    def _ranked(self, entries: Mapping[int, Entry], running: Mapping[int, Order]) -> list[Entry]:
        scored = [e for number, e in entries.items() if e.rows and number not in running]
        maximize = self._ledger.file.metric.goal == "maximize"
        return sorted(scored, key=self._best, reverse=maximize)

    def _best(self, entry: Entry) -> float:
        return float((best_row(self._ledger.file, entry) or {})["score"])

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
    words = [*([entry.point] if entry.point else []), *training_of(entry)]
    return f"{entry.number} ({', '.join(words)})" if words else f"{entry.number}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
