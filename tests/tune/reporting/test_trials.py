from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from tests.tune.reporting.runs import DIVERGES
from tune.reporting.evidence import RunData
from tune.reporting.headline import show_tiles
from tune.reporting.search_view import view_costs
from tune.reporting.trials import Leaderboard, list_trials


@pytest.fixture(scope="module")
def board(search: RunData) -> Leaderboard:
    return list_trials(search)


def test_all_trials_are_there_best_first(search: RunData, board: Leaderboard) -> None:
    started = [entry.number for entry in search.view.entries if entry.started]
    assert sorted(line.number for line in board.lines) == started
    scores = [line.score for line in board.lines[:-1]]
    assert scores == sorted(scores, reverse=True)
    assert [line.rank for line in board.lines] == [*range(1, len(scores) + 1), 0]
    assert board.lines[-1].number == DIVERGES  # it has no score


def test_trial_of_a_fold_is_named_by_it_and_the_best_of_many_folds_is_no_headline(
    search: RunData,
) -> None:
    folded = replace(search.view, study=replace(search.study, folds=(0, 1)))
    point = search.points[0]
    trial = replace(point.trials[0], entry=replace(point.trials[0].entry, fold=1))
    run = replace(search, view=folded, points=(replace(point, trials=(trial,)),))
    board = list_trials(run)
    assert board.lines[0].name.endswith("fold 1")
    assert board.num_folds == 2
    labels = [tile.label for tile in show_tiles(run, board, None, ())]
    assert labels == ["Trials", "Training"]
    assert view_costs(board, lambda name, drawing: "") is None


def test_states_are_told_in_words(board: Leaderboard) -> None:
    states = {line.number: line.state for line in board.lines}
    assert states[DIVERGES] == "failed"
    assert states[13] == "unfinished"  # no process is at it
    assert set(states.values()) == {"complete", "stopped", "failed", "unfinished"}


def test_interval_of_a_class_is_the_t_interval_of_its_cases(search: RunData) -> None:
    metric = search.study.metric.model_copy(update={"name": "dice_WT"})
    point = search.points[0]
    trial = point.trials[0]
    assert trial.best is not None
    scores = trial.best.loc[trial.best["class"] == "WT", "dice"]
    rows = [{**trial.entry.rows[0], "score": scores.mean()}]
    trial = replace(trial, entry=replace(trial.entry, rows=rows))
    view = replace(search.view, study=replace(search.study, metric=metric))
    run = replace(search, view=view, points=(replace(point, trials=(trial,)),))
    (line,) = list_trials(run).lines
    low, high = stats.t.interval(0.95, len(scores) - 1, scores.mean(), stats.sem(scores))
    assert line.interval.low == pytest.approx(low)
    assert line.interval.high == pytest.approx(min(high, 1.0))


def test_every_score_lies_in_its_interval(board: Leaderboard) -> None:
    for line in board.lines[:-1]:
        assert line.interval.known
        assert line.interval.low <= line.score <= line.interval.high


def test_cases_of_another_epoch_give_no_interval(search: RunData) -> None:
    point = search.points[0]
    entry = point.trials[0].entry
    later = replace(entry, rows=[{**entry.rows[0], "score": 0.99}])
    trial = replace(point.trials[0], entry=later)
    run = replace(search, points=(replace(point, trials=(trial,)),))
    assert not list_trials(run).lines[0].interval.known


def test_parameter_that_does_not_count_is_a_dash_and_sorts_last(
    search: RunData, board: Leaderboard
) -> None:
    assert board.columns == ("learning rate", "optimizer", "momentum", "base filters")
    optimizer, momentum = (board.columns.index(name) for name in ("optimizer", "momentum"))
    for line in board.lines:
        is_sgd = line.settings[optimizer].text == "sgd"
        assert (line.settings[momentum].text != "–") == is_sgd
        assert isinstance(line.settings[momentum].key, float) == is_sgd


def test_where_less_is_better_the_smallest_is_first(search: RunData) -> None:
    metric = search.study.metric.model_copy(update={"name": "val_loss", "goal": "minimize"})
    run = replace(search, view=replace(search.view, study=replace(search.study, metric=metric)))
    scores = [line.score for line in list_trials(run).lines if line.rank]
    assert scores == sorted(scores)
    assert not any(line.interval.known for line in list_trials(run).lines)  # a loss has no cases


def test_interval_is_drawn_between_the_ends(board: Leaderboard) -> None:
    low, high = board.ends
    assert board.place(low) == 0
    assert board.place(high) == 100
    assert all(0 < board.place(line.score) < 100 for line in board.lines[:-1])
