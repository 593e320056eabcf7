from __future__ import annotations

import io

from rich.console import Console

from tune import progress
from tune.progress import progress_on


def test_pipe_gets_a_line_at_the_end_of_each_kind_of_work() -> None:
    console = Console(file=io.StringIO(), width=80)
    with progress_on(console) as report:
        for text, total in (("reading", 3), ("preparing", 2)):
            for done in range(total + 1):
                report(done, total, text)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == ["reading: 3 of 3", "preparing: 2 of 2"]


def test_long_work_says_now_and_then_how_far_it_is(monkeypatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1.0)
    console = Console(file=io.StringIO(), width=80)
    with progress_on(console) as report:
        report(1, 3, "reading")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "reading: 1 of 3\n"


def test_bar_on_a_terminal_vanishes_when_the_work_is_done() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with progress_on(console) as report:
        report(1, 2, "reading")
        report(2, 2, "reading")
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "reading" in text
    assert text.endswith("\x1b[2K")  # the last line is erased
