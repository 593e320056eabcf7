from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from tests.tune.test_ledger import row
from tune.ledger import Ledger
from tune.one_writer import OneWriter, spare_reading
from tune.storage import open_storage
from tune.study_file import load_study


@pytest.fixture
def database(tmp_path: Path) -> Iterator[RDBStorage]:
    storage = RDBStorage(f"sqlite:///{tmp_path}/search.db")
    yield storage
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def waiting() -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING,
        params={"x": 0.1 + 0.2},
        distributions={"x": FloatDistribution(0, 1)},
        user_attrs={"values": {"x": 0.1 + 0.2, "sizes": (1, 2)}},
    )


def begin(storage: OneWriter, trial: FrozenTrial) -> tuple[int, list[int]]:
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "s")
    ids = [storage.create_new_trial(study, trial) for _ in range(3)]
    assert storage.set_trial_state_values(ids[0], TrialState.RUNNING)
    assert not storage.set_trial_state_values(ids[0], TrialState.RUNNING)
    return study, ids


def told(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    """All of each trial as text, in which not-a-number is like itself."""
    names = ("user_attrs", "system_attrs", "intermediate_values", "params", "distributions")
    kinds = [{name: sorted(getattr(t, name).items()) for name in names} for t in trials]
    plain = ("number", "_trial_id", "state", "values", "datetime_start", "datetime_complete")
    return [
        {name: repr(getattr(t, name)) for name in plain} | {n: repr(v) for n, v in kind.items()}
        for t, kind in zip(trials, kinds, strict=True)
    ]


def test_what_it_knows_is_what_the_database_holds(
    database: RDBStorage, waiting: FrozenTrial
) -> None:
    storage = OneWriter(database)
    study, (first, second, third) = begin(storage, waiting)
    for epoch, score in enumerate((0.1, math.inf, math.nan, 1 / 3), start=1):
        storage.set_trial_user_attr(first, f"row/{epoch}", {"score": score if epoch != 3 else 0.0})
        storage.set_trial_intermediate_value(first, epoch, score)
    storage.set_trial_system_attr(first, "completed_rung_0", 0.1)
    storage.set_trial_param(second, "y", 0.7, FloatDistribution(0, 1))
    storage.set_trial_state_values(second, TrialState.FAIL)
    storage.set_trial_state_values(first, TrialState.COMPLETE, [1 / 3])
    kept = storage.get_all_trials(study, deepcopy=False)
    assert told(kept) == told(database.get_all_trials(study))
    assert told([storage.get_trial(third)]) == told([database.get_trial(third)])
    assert storage.get_trial_id_from_study_id_trial_number(study, 2) == third
    ended = storage.get_all_trials(study, states=(TrialState.COMPLETE, TrialState.FAIL))
    assert [trial.number for trial in ended] == [0, 1]
    with pytest.raises(KeyError, match="no trial 3"):
        storage.get_trial_id_from_study_id_trial_number(study, 3)


def test_questions_ask_the_database_once(database: RDBStorage, waiting: FrozenTrial) -> None:
    study, ids = begin(OneWriter(database), waiting)
    storage, asked = OneWriter(database), []
    sqlalchemy.event.listen(
        database.engine, "before_cursor_execute", lambda *words: asked.append(words[2])
    )
    assert len(storage.get_all_trials(study, deepcopy=False)) == 3
    assert asked
    asked.clear()
    for trial_id in ids:
        storage.get_trial(trial_id)
    storage.get_all_trials(study, deepcopy=False)
    assert not asked


def test_trial_once_handed_out_stays_as_it_was(database: RDBStorage, waiting: FrozenTrial) -> None:
    storage = OneWriter(database)
    _, (first, *_) = begin(storage, waiting)
    before = storage.get_trial(first)
    storage.set_trial_intermediate_value(first, 1, 0.5)
    assert before.intermediate_values == {}
    assert storage.get_trial(first).intermediate_values == {1: 0.5}


def test_refused_change_makes_it_read_anew(database: RDBStorage, waiting: FrozenTrial) -> None:
    storage = OneWriter(database)
    study, (first, *_) = begin(storage, waiting)
    storage.set_trial_state_values(first, TrialState.FAIL)
    database.create_new_trial(study, waiting)  # as of a call whose answer was lost
    assert len(storage.get_all_trials(study)) == 3
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError, match="0"):
        storage.set_trial_user_attr(first, "late", 1)
    assert told(storage.get_all_trials(study)) == told(database.get_all_trials(study))


def test_trial_made_twice_makes_it_read_anew(database: RDBStorage, waiting: FrozenTrial) -> None:
    storage = OneWriter(database)
    study, _ = begin(storage, waiting)
    database.create_new_trial(study, waiting)
    created = storage.create_new_trial(study, waiting)
    assert storage.get_trial(created).number == 4
    assert told(storage.get_all_trials(study)) == told(database.get_all_trials(study))


def test_only_a_database_needs_it(database: RDBStorage) -> None:
    memory = InMemoryStorage()
    assert spare_reading(memory) is memory
    assert isinstance(spare_reading(database), OneWriter)


def test_database_that_may_have_other_writers_is_asked_each_time(
    database: RDBStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.engine.dialect, "name", "mysql")  # none is installed here
    assert spare_reading(database) is database


@pytest.mark.parametrize("method", ["bayes", "random"])
def test_search_in_a_database_is_the_one_in_a_journal(
    study_path: Path, tmp_path: Path, method: str
) -> None:
    places: dict[str, Callable[[], Any]] = {
        "journal": lambda: open_storage(tmp_path / "journal.log"),
        "database": lambda: RDBStorage(f"sqlite:///{tmp_path}/other.db"),
    }
    settings = (f"method={method}", "run_cap=12")
    found = {}
    for name, place in places.items():
        ledger = Ledger(load_study(study_path, settings, demo=False), place())
        orders = [ledger.ask() for _ in range(4)]
        while order := orders.pop(0) if orders else ledger.ask():
            for epoch in range(1, order.recipe.epochs + 1):
                if ledger.report(order.number, row(epoch, order.number % 5 / 10 + epoch / 100)):
                    break
            ledger.finish(order.number)
        found[name] = [(e.state, e.recipe, e.rows, e.reason) for e in ledger.entries()]
    assert len(found["journal"]) == 12
    assert found["database"] == found["journal"]
