from __future__ import annotations

import pytest

from tune.deaths import DIED, MOST_FOREIGN_DEATHS, Cause, Deaths, in_a_line

KILLED = Cause("killed by Ray's memory monitor", "7.7 of 23.5 GB in use")


def reasons(deaths: Deaths, number: int, *causes: Cause) -> list[str]:
    return [deaths.note(number, cause) for cause in causes]


def test_trial_is_given_up_at_the_last_death_and_not_before() -> None:
    assert reasons(Deaths(4), 7, DIED, DIED, DIED, DIED) == ["", "", "", "its process died 4 times"]


def test_one_death_is_enough_where_nothing_is_tried_again() -> None:
    assert reasons(Deaths(1), 7, DIED) == ["its process died 1 time"]


def test_each_trial_has_a_count_of_its_own() -> None:
    deaths = Deaths(2)
    assert reasons(deaths, 1, DIED) + reasons(deaths, 2, DIED) == ["", ""]
    assert reasons(deaths, 1, DIED) == ["its process died 2 times"]


def test_all_kinds_of_death_count_together_and_are_told_apart() -> None:
    later = Cause(KILLED.what, "8.0 of 23.5 GB in use")
    assert reasons(Deaths(3), 1, KILLED, DIED, later)[-1] == (
        "killed by Ray's memory monitor 2 times: 8.0 of 23.5 GB in use; its process died 1 time"
    )


def test_nodes_that_are_taken_back_use_up_no_retries_and_yet_come_to_an_end() -> None:
    lost = Cause("its node was lost", "10.0.0.3 spot", is_foreign=True)
    deaths = Deaths(2)
    assert not any(reasons(deaths, 1, *[lost] * (MOST_FOREIGN_DEATHS - 1), DIED))
    assert reasons(deaths, 1, DIED)[-1].endswith("its process died 2 times")
    assert reasons(Deaths(2), 2, *[lost] * MOST_FOREIGN_DEATHS)[-1] == (
        f"its node was lost {MOST_FOREIGN_DEATHS} times: 10.0.0.3 spot"
    )


def test_death_before_a_new_epoch_is_forgotten_and_one_without_is_not() -> None:
    deaths = Deaths(2)
    for _ in range(10):
        assert reasons(deaths, 1, DIED) == [""]
        deaths.forget(1)
    assert reasons(deaths, 1, DIED, DIED) == ["", "its process died 2 times"]


def test_death_that_was_no_fault_of_the_trial_is_counted_apart_afterwards() -> None:
    hung, deaths = Cause("hung", "no epoch within 60 s"), Deaths(2)
    assert reasons(deaths, 1, hung) == [""]
    deaths.excuse(1, "hung")
    deaths.excuse(2, "hung")  # which never died
    assert reasons(deaths, 1, DIED) == [""]
    deaths.excuse(1, "hung")  # its last death was another one
    assert reasons(deaths, 1, DIED)[-1].startswith("hung 1 time")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("worker(s) were killed\nmore", "RuntimeError: worker(s) were killed"),
        (
            "Traceback (most recent call last):\n  File x\nKeyError: 'b'\n",
            "RuntimeError: KeyError: 'b'",
        ),
        ("", "RuntimeError: "),
    ],
)
def test_error_is_told_in_its_telling_line(message: str, line: str) -> None:
    assert in_a_line(RuntimeError(message)) == line
