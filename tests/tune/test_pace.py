from __future__ import annotations

from dataclasses import replace

import pytest

from tune.entries import Entry
from tune.pace import Pace, expect_seconds


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def entry(number: int, epochs: int) -> Entry:
    rows = [{"epoch": float(epoch), "score": 0.5} for epoch in range(1, epochs + 1)]
    return Entry(number, "COMPLETE", "sampler", {}, {}, rows, "", True)


def test_pace_expects_what_is_to_come_to_be_like_what_ended() -> None:
    clock = Clock()
    pace = Pace(num_planned=4, clock=clock)
    clock.now += 50  # preparing the data is not training
    pace.begin()
    clock.now += 20
    pace.note([entry(0, 10), entry(1, 6)], {}, new_epochs=16)
    assert pace.seconds_left() == pytest.approx(2 * 8 * 20 / 16)  # two trials of eight epochs
    assert pace.seconds_elapsed() == 70
    clock.now += 5
    assert pace.seconds_left() == pytest.approx(15)  # counted down, not thought anew
    clock.now += 100
    assert pace.seconds_left() == 0


def test_pace_counts_what_running_trials_still_lack() -> None:
    clock = Clock()
    pace = Pace(num_planned=3, clock=clock)
    pace.begin()
    clock.now += 6
    running = [entry(0, 4), entry(1, 2)]
    pace.note(running, {0: 10, 1: 10}, new_epochs=6)
    assert pace.seconds_left() is None  # no trial has ended: how long they are is unknown
    clock.now += 10
    pace.note([*running, entry(2, 10)], {0: 10, 1: 10}, new_epochs=10)
    assert pace.seconds_left() == pytest.approx(6 + 8)


def test_pace_of_a_continued_search_ignores_the_epochs_of_before() -> None:
    clock = Clock()
    pace = Pace(num_planned=3, clock=clock)
    pace.begin()
    clock.now += 10
    pace.note([entry(0, 10), entry(1, 10)], {}, new_epochs=5)  # 15 were trained yesterday
    assert pace.seconds_left() == pytest.approx(10 * 10 / 5)


@pytest.mark.parametrize("num_planned", [None, 4])
def test_pace_knows_nothing_before_the_first_epoch(num_planned: int | None) -> None:
    pace = Pace(num_planned, Clock())
    assert pace.seconds_left() is None
    pace.begin()
    pace.note([entry(0, 0)], {0: 10}, new_epochs=0)
    assert pace.seconds_left() is None


def test_pace_makes_no_forecast_without_a_number_of_trials() -> None:
    clock = Clock()
    pace = Pace(None, clock)
    pace.begin()
    clock.now += 5
    pace.note([entry(0, 5)], {}, new_epochs=5)
    assert pace.seconds_left() is None


def test_who_comes_later_expects_the_same_from_the_ledger_alone() -> None:
    def of(number: int, epochs: int, state: str) -> Entry:
        known = entry(number, epochs)
        rows = [row | {"seconds": 2.0} for row in known.rows]
        return replace(known, state=state, rows=rows, recipe={"epochs": 10})

    trials = [of(0, 10, "COMPLETE"), of(1, 2, "PRUNED"), of(2, 4, "RUNNING"), of(3, 8, "RUNNING")]
    # two lack 2 and 2 epochs to what is to be expected of them, four trials of 6 are to come
    assert expect_seconds(trials, 8) == pytest.approx((2 + 2 + 4 * 6) * 2.0 / 2)
    assert expect_seconds(trials, None) is None
    assert expect_seconds(trials[2:], 8) is None
    assert expect_seconds(trials[:2], 8) is None
