from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.tune.test_ledger import open_ledger
from tests.tune.test_report import score_row
from tune.ledger import Ledger, Order
from tune.screen import LiveScreen, PlainScreen, watching


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, height=40, force_terminal=True)


def picture(screen: LiveScreen, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(screen.live.get_renderable())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def report(ledger: Ledger, screen: LiveScreen | PlainScreen, number: int, *scores: float) -> None:
    known = len(ledger.entry(number).rows)
    for epoch, score in enumerate(scores, start=known + 1):
        ledger.report(number, score_row(epoch, score))
        screen.reported(number, score_row(epoch, score))


def start(ledger: Ledger, screen: LiveScreen | PlainScreen) -> Order:
    order = ledger.ask()
    assert order is not None
    screen.started(order)
    return order


def end(ledger: Ledger, screen: LiveScreen | PlainScreen, number: int, failure: str = "") -> None:
    ledger.finish(number, failure)
    screen.finished(number)


def test_pipe_gets_one_line_per_start_epoch_and_end(study_path: Path) -> None:
    ledger, console = open_ledger(study_path), Console(file=io.StringIO(), width=40)
    with watching(ledger, console) as screen:
        assert isinstance(screen, PlainScreen)
        start(ledger, screen)
        report(ledger, screen, 0, 0.5)
        end(ledger, screen, 0, "diverged: [epoch] 2")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "trial 0 starts: learning_rate=0.001 base_filters=4 depth=2 epochs=3",
        "trial 0 epoch 1: dice 0.5000 train_loss 1.0000 2.0 s",
        "trial 0 FAIL (diverged: [epoch] 2)",
    ]


def test_trial_of_a_grid_is_called_by_its_point_and_seed(study_path: Path) -> None:
    overrides = ("method=grid", "learning_rate=1e-3", "base_filters=4", "run_cap=null",
                 "seeds=[3]", "points=[{name: first}]")  # fmt: skip
    ledger, console = open_ledger(study_path, *overrides), Console(file=io.StringIO(), width=200)
    start(ledger, PlainScreen(ledger, console))
    assert isinstance(console.file, io.StringIO)
    assert "trial 0 (first, seed 3) starts: learning_rate=0.001" in console.file.getvalue()
    lines = picture(LiveScreen(ledger, terminal()))
    assert max(len(line) for line in lines) <= 80


def test_live_table_names_the_point_and_the_seed(study_path: Path) -> None:
    overrides = ("method=grid", "learning_rate=1e-3", "base_filters=4", "run_cap=null",
                 "seeds=[3]", "points=[{name: first}]")  # fmt: skip
    ledger = open_ledger(study_path, *overrides)
    screen = LiveScreen(ledger, terminal())
    start(ledger, screen)
    lines = picture(screen)
    assert any(line.strip().startswith("0 first/3") for line in lines)
    assert max(len(line) for line in lines) <= 80


def test_continued_trial_says_where_it_goes_on(study_path: Path) -> None:
    before = open_ledger(study_path)
    order = before.ask()
    assert order is not None
    before.report(order.number, score_row(1, 0.5))
    ledger, console = open_ledger(study_path), Console(file=io.StringIO(), width=200)
    start(ledger, PlainScreen(ledger, console))
    assert isinstance(console.file, io.StringIO)
    assert "trial 0 starts (goes on after epoch 1)" in console.file.getvalue()


def test_live_table_leaves_no_trace_for_the_leaderboard_to_repeat(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    with watching(ledger, terminal()) as screen:
        assert isinstance(screen, LiveScreen)
        assert screen.live.transient
        assert screen.live.is_started
    assert not screen.live.is_started


def test_live_table_shows_running_trials_above_the_best(study_path: Path) -> None:
    ledger = open_ledger(study_path, "run_cap=9")
    screen = LiveScreen(ledger, terminal())
    for scores in ([0.3, 0.4, 0.5], [0.6, 0.9, 0.8]):
        order = start(ledger, screen)
        report(ledger, screen, order.number, *scores)
        end(ledger, screen, order.number)
    running = start(ledger, screen)
    report(ledger, screen, running.number, 0.7)
    start(ledger, screen)
    lines = picture(screen)
    rows = [line.split()[0] for line in lines if line.strip()[:1].isdigit() and "/3" in line]
    assert rows == ["2", "3", "1", "0"]
    text = "\n".join(lines)
    assert "tiny: 2 of 9 trials ended" in text
    assert "2 complete, 2 running" in text
    found = next(line for line in lines if line.strip().startswith("2 ") and "/3" in line)
    assert found.split() == ["2", "running", "1/3", "1/2", "0.7000", "0.7000", "2.0", "0.1", "GB"]
    assert "starting" in next(line for line in lines if line.strip().startswith("3 "))


def test_nothing_jumps_while_a_search_goes_on(study_path: Path) -> None:
    ledger = open_ledger(study_path, "run_cap=9")
    screen = LiveScreen(ledger, terminal())
    first, second = start(ledger, screen), start(ledger, screen)
    report(ledger, screen, first.number, 0.1)
    before = picture(screen)
    head = next(i for i, line in enumerate(before) if "trial " in line and "rung" in line)
    report(ledger, screen, first.number, 0.123456, 0.2)
    end(ledger, screen, first.number)
    after = picture(screen)
    assert after[head : head + 2] == before[head : head + 2]
    # the finished trial's line stays free for the next, so the best ones keep their place
    best = next(i for i, line in enumerate(after) if "complete" in line and "3/3" in line)
    third = start(ledger, screen)
    assert second.number < third.number
    assert "complete" in picture(screen)[best]


@pytest.mark.parametrize("width", [80, 120])
def test_live_table_fits_the_terminal(study_path: Path, width: int) -> None:
    ledger = open_ledger(study_path)
    screen = LiveScreen(ledger, terminal(width))
    order = start(ledger, screen)
    report(ledger, screen, order.number, 0.1)
    lines = picture(screen, width)
    assert max(len(line.rstrip()) for line in lines) <= width
    assert not any("…" in line for line in lines)


def test_trial_stopped_at_a_rung_has_not_passed_it(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    screen = LiveScreen(ledger, terminal())
    first, second = start(ledger, screen), start(ledger, screen)
    report(ledger, screen, first.number, 0.5, 0.6, 0.7)
    report(ledger, screen, second.number, 0.1)
    end(ledger, screen, first.number)
    end(ledger, screen, second.number)
    rows = {line.split()[0]: line for line in picture(screen) if line.strip()[:1].isdigit()}
    assert " 2/2 " in rows["0"]
    assert " 0/2 " in rows["1"]


def test_places_of_trials_have_columns_once_one_is_known(study_path: Path) -> None:
    ledger = open_ledger(study_path)
    screen = LiveScreen(ledger, terminal(105))
    first, second = start(ledger, screen), start(ledger, screen)
    assert not any("node" in line or "GPU" in line for line in picture(screen, 105))
    screen.placed(first.number, {"node": "10.0.0.3", "GPU": "1"})
    screen.placed(second.number, {"node": "gpu-node-of-a-lab.17", "GPU": "0,1"})
    lines = picture(screen, 105)
    head = next(line for line in lines if "rung" in line)
    assert head.split()[-2:] == ["GPU", "node"]
    assert next(line for line in lines if "1  10.0.0.3" in line).strip().startswith("0 ")
    assert any(line.rstrip().endswith("0,1  …de-of-a-lab.17") for line in lines)
    assert max(len(line.rstrip()) for line in lines) <= 105


@pytest.mark.parametrize("width", [80, 90])
def test_place_that_has_no_room_is_left_out(study_path: Path, width: int) -> None:
    ledger = open_ledger(study_path)
    screen = LiveScreen(ledger, terminal(width))
    order = start(ledger, screen)
    screen.placed(order.number, {"node": "10.0.0.3", "GPU": "1"})
    lines = picture(screen, width)
    head = next(line for line in lines if "rung" in line)
    assert ("GPU" in head) == (width == 90)
    assert "node" not in head
    assert max(len(line.rstrip()) for line in lines) <= width


def test_pipe_says_where_a_trial_is_only_if_it_could_be_elsewhere(study_path: Path) -> None:
    console = Console(file=io.StringIO(), width=80)
    screen = PlainScreen(open_ledger(study_path), console)
    screen.placed(0, {"node": "", "GPU": ""})
    screen.placed(1, {"node": "10.0.0.3", "GPU": "1"})
    screen.placed(2, {"node": "", "GPU": "0"})
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "trial 1 is on node 10.0.0.3, GPU 1",
        "trial 2 is on GPU 0",
    ]
