from __future__ import annotations

import random

import pytest

from tune.reporting.costs import COSTS, cost_of, find_bargains, find_front, front_of, paid
from tune.reporting.evidence import RunData
from tune.reporting.trials import list_trials


@pytest.mark.parametrize("seed", range(20))
def test_front_is_what_no_other_beats(seed: int) -> None:
    dice = random.Random(seed)
    costs = [float(dice.randrange(8)) for _ in range(15)]
    scores = [float(dice.randrange(8)) for _ in range(15)]
    front = find_front(costs, scores)
    for place, pair in enumerate(zip(costs, scores, strict=True)):
        beaten = any(
            cost <= pair[0] and score >= pair[1] and (cost, score) != pair
            for cost, score in zip(costs, scores, strict=True)
        )
        first = place == list(zip(costs, scores, strict=True)).index(pair)
        assert (place in front) == (first and not beaten)
    assert [costs[place] for place in front] == sorted({costs[place] for place in front})


def test_nothing_has_no_front() -> None:
    assert find_front([], []) == []


def test_only_complete_trials_are_on_a_front_and_the_best_is_on_all(search: RunData) -> None:
    board = list_trials(search)
    complete = [line for line in board.lines if line.is_complete]
    assert 1 < len(complete) < len(board.lines)
    for field, *_ in COSTS:
        assert paid(board, field) == complete
        assert complete[0] in front_of(board, field)
    assert find_bargains(board)[0].by == ("time", "memory", "parameters")


def test_cost_that_is_not_known_is_none(search: RunData) -> None:
    line = list_trials(search).lines[0]
    assert cost_of(line, "parameters") == line.parameters
    assert cost_of(type(line)(**{**vars(line), "parameters": None}), "parameters") is None
    assert cost_of(type(line)(**{**vars(line), "memory_mb": float("nan")}), "memory_mb") is None


def test_costs_are_written_with_units() -> None:
    write = {field: how for field, _, how in COSTS}
    assert [write["seconds"](value) for value in (2.5, 3725.0)] == ["2.5 s", "1:02:05"]
    assert [write["memory_mb"](value) for value in (600.0, 24000.0)] == ["600 MB", "24 GB"]
    assert [write["parameters"](v) for v in (50.0, 4500.0, 1.5e6)] == ["50", "4.5 k", "1.5 M"]
