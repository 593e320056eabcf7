from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune.teller import Tally, Teller

MARKS = ("infeasible", "withdrawn", "extends")
scores = st.lists(st.floats(allow_nan=True), max_size=3)
begun = st.tuples(scores, st.sampled_from(("", *MARKS)))


def trial(number: int, state: TrialState, values: list[float], mark: str) -> FrozenTrial:
    made = create_trial(
        state=state,
        value=0.0 if state == TrialState.COMPLETE else None,
        user_attrs={mark: 1} if mark else {},
        intermediate_values=dict(enumerate(values, start=1)),
    )
    made.number = number
    return made


def count_all(trials: list[FrozenTrial]) -> Tally:
    """The slow and obvious way."""
    known = [score for one in trials for score in one.intermediate_values.values()]
    known = [score for score in known if not math.isnan(score)]
    counted = [one for one in trials if "extends" not in one.user_attrs]
    return Tally(
        started=sum(
            one.state != TrialState.WAITING and not set(MARKS) & set(one.user_attrs)
            for one in trials
        ),
        epochs=sum(len(one.intermediate_values) for one in counted),
        waiting=sum(one.state == TrialState.WAITING for one in trials),
        best_score=max(known, default=None),
    )


@given(st.lists(st.tuples(begun, st.integers(0, 9), st.integers(0, 9)), max_size=6))
def test_counts_are_those_of_all_trials_at_every_moment(
    plan: list[tuple[tuple[list[float], str], int, int]],
) -> None:
    """Trials wait, begin at a time of their own, and end later."""
    teller = Teller(maximize=True)
    for now in range(20):
        trials = []
        for number, ((values, mark), start, length) in enumerate(plan[: now + 1]):
            if now < start:
                trials.append(trial(number, TrialState.WAITING, [], ""))
            elif now < start + length:
                trials.append(trial(number, TrialState.RUNNING, values[: now - start], mark))
            else:
                trials.append(trial(number, TrialState.COMPLETE, values, mark))
        assert teller.count(trials) == count_all(trials)


def test_lowest_score_is_best_where_less_is_better() -> None:
    one = trial(0, TrialState.RUNNING, [0.5, math.nan, 0.2, 0.3], "")
    assert Teller(maximize=False).count([one]).best_score == 0.2
    assert Teller(maximize=True).count([]).best_score is None


def test_ended_trial_is_looked_at_once() -> None:
    class Once(FrozenTrial):
        looks = 0

        @property
        def intermediate_values(self) -> dict[int, float]:
            Once.looks += 1
            return {1: 0.5}

        @intermediate_values.setter
        def intermediate_values(self, values: Any) -> None:
            pass

    ended = trial(0, TrialState.COMPLETE, [0.5], "")
    ended.__class__ = Once
    teller = Teller(maximize=True)
    tallies = [teller.count([ended]) for _ in range(5)]
    assert {(tally.epochs, tally.best_score) for tally in tallies} == {(1, 0.5)}
    assert 0 < Once.looks <= 2
