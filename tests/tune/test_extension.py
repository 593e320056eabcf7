"""Finished trials that go on to more epochs, as trials of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seglib.checkpoint import load_checkpoint, save_checkpoint
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import RunError, StudyFileError
from tests.conftest import TINY_STUDY
from tests.tune.test_ledger import open_ledger, play
from tune.executor import Job
from tune.extension import extend_trials
from tune.history import History
from tune.ledger import Ledger
from tune.request import Request
from tune.trial import FAILURE, ROW, run_trial
from tune.trial_files import LAST, NOTES

pytestmark = pytest.mark.fault("edited")

SCORES = ([0.3, 0.4, 0.5], [0.1, 0.2, 0.3], [0.6, 0.7, 0.8], [0.5, 0.6, 0.7])
LONGER = ("epochs=5", "early_terminate.type=none")


@pytest.fixture
def finished(study_path: Path) -> Path:
    """A search of four complete trials, best first: 2, 3, 0, 1; with their checkpoints."""
    ledger = open_ledger(study_path, "early_terminate.type=none")
    for scores in SCORES:
        order = ledger.ask()
        assert order is not None
        assert play(ledger, order, list(scores)) == "COMPLETE"
        save(study_path, order.number, len(scores))
    assert ledger.ask() is None
    return study_path


def save(path: Path, number: int, epochs: int) -> None:
    state = {"rows": [{"epoch": epoch} for epoch in range(1, epochs + 1)]}
    save_checkpoint({**state, "weight": torch.ones(2)}, place(path, number) / LAST)


def place(path: Path, number: int) -> Path:
    return path.parent / "trials" / str(number)


def extend(path: Path, count: int, *overrides: str) -> tuple[Ledger, list[str]]:
    ledger = open_ledger(path, *(overrides or LONGER))
    return ledger, extend_trials(ledger, path.parent, count)


def extensions(ledger: Ledger) -> list[tuple[int, int | None, str]]:
    return [(e.number, e.extends, e.state) for e in ledger.entries() if e.extends is not None]


def test_best_trials_go_on_as_trials_of_their_own(finished: Path) -> None:
    before = open_ledger(finished).entries()
    ledger, said = extend(finished, 2)
    assert extensions(ledger) == [(4, 2, "RUNNING"), (5, 3, "RUNNING")]
    assert ledger.entries()[:4] == before
    order = ledger.ask()
    assert order is not None
    assert (order.number, order.num_reported, order.recipe.epochs) == (4, 3, 5)
    assert order.seed == ledger.file.trial_seed(2, None)
    assert order.recipe.model_copy(update={"epochs": 3}) == ledger.recipe(2)
    entry = ledger.entry(4)
    assert (entry.origin, list(entry.rows)) == ("extends 2", list(before[2].rows))
    assert place(finished, 4).joinpath(LAST).read_bytes() == (
        place(finished, 2).joinpath(LAST).read_bytes()
    )
    (note,) = place(finished, 4).joinpath(NOTES).read_text().splitlines()
    assert said[0] == f"trial 4: {note}"
    assert "not the same as 5 epochs from the start" in note


def test_asked_again_nothing_is_done_twice_and_more_means_more(finished: Path) -> None:
    extend(finished, 1)
    ledger, said = extend(finished, 1)
    assert extensions(ledger) == [(4, 2, "RUNNING")]
    assert said == []
    order = ledger.ask()
    assert order is not None
    for epoch, score in ((4, 0.9), (5, 0.95)):
        assert not ledger.report(4, {"epoch": epoch, "score": score, "seconds": 1.0})
    ledger.finish(4)
    assert ledger.ask() is None  # the cap is reached, and an extension does not count
    assert extensions(extend(finished, 1)[0]) == [(4, 2, "COMPLETE")]
    assert extensions(extend(finished, 2)[0]) == [(4, 2, "COMPLETE"), (5, 3, "RUNNING")]
    assert ledger.num_planned == 6


def test_extended_trial_can_be_extended_from_the_same_seed(finished: Path) -> None:
    ledger, _ = extend(finished, 1)
    for epoch in (4, 5):
        ledger.report(4, {"epoch": epoch, "score": 0.9, "seconds": 1.0})
    ledger.finish(4)
    save(finished, 4, 5)
    longest, _ = extend(finished, 1, "epochs=7", "early_terminate.type=none")
    assert extensions(longest) == [(4, 2, "COMPLETE"), (5, 4, "RUNNING")]
    order = longest.ask()
    assert order is not None
    assert (order.seed, order.num_reported) == (longest.file.trial_seed(2, None), 5)


def test_no_rung_stops_it_and_no_sampler_hears_of_it_twice(finished: Path) -> None:
    ledger, _ = extend(finished, 1, "epochs=9", "method=bayes")
    assert not any(
        ledger.report(4, {"epoch": epoch, "score": 0.0, "seconds": 1.0}) for epoch in range(4, 9)
    )
    history = History(ledger.file)
    assert [history._place(t).state.name for t in ledger._frozen()] == ["COMPLETE"] * 4 + ["FAIL"]


def test_death_in_between_is_made_up_for_at_the_next_start(finished: Path) -> None:
    ledger = open_ledger(finished, *LONGER)
    ledger.extend(2, 5)  # and no checkpoint was handed over
    again, said = extend(finished, 0)
    assert len(said) == 1
    assert load_checkpoint(place(finished, 4) / LAST)[0]["rows"][-1] == {"epoch": 3}
    assert extensions(extend(finished, 2)[0]) == [(4, 2, "RUNNING"), (5, 3, "RUNNING")]
    assert again.ask() is not None


def test_checkpoint_lost_in_between_is_a_failure_with_its_reason(finished: Path) -> None:
    open_ledger(finished, *LONGER).extend(2, 5)
    place(finished, 2).joinpath(LAST).unlink()
    ledger, _ = extend(finished, 0)
    assert extensions(ledger) == [(4, 2, "FAIL")]
    assert "checkpoint of trial 2" in ledger.entry(4).reason
    assert ledger.ask() is None


def test_lost_and_damaged_checkpoints_are_refused_before_anything_is_begun(finished: Path) -> None:
    place(finished, 2).joinpath(LAST).unlink()
    place(finished, 3).joinpath(LAST).write_bytes(b"no zip")
    with pytest.raises(RunError, match=r"(?s)trial 2: found .*nothing.*trial 3: .*damaged.*5 best"):
        extend(finished, 3)
    assert extensions(open_ledger(finished)) == []
    assert not place(finished, 4).exists()


@pytest.mark.parametrize(
    ("count", "overrides", "found"),
    [
        (5, LONGER, "found 5, but 4 complete trials of less than 5 epochs"),
        (1, ("run_cap=4",), "found 1, but 0 complete trials of less than 3 .*raise epochs first"),
    ],
)
def test_more_than_there_are_is_refused(
    count: int, overrides: tuple[str, ...], found: str, finished: Path
) -> None:
    with pytest.raises(RunError, match=f"(?s){found}"):
        extend(finished, count, *overrides)


def test_grid_is_not_extended(tmp_path: Path) -> None:
    text = TINY_STUDY.replace("method: random", "method: grid")
    path = tmp_path / "grid.yaml"
    path.write_text(
        text.replace("{distribution: log_uniform_values, min: 1e-4, max: 1e-2}", "{value: 1e-3}")
    )
    with pytest.raises(StudyFileError, match="--extend: found a grid ; wanted a search"):
        Request(path, extend=1).load()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_training_goes_on_where_it_ended(
    schedule: str, study_path: Path, store: Store, split: Split
) -> None:
    rule = (f"parameters.schedule={{value: {schedule}}}", "run_cap=1")

    def train(ledger: Ledger) -> int:
        order = ledger.ask()
        assert order is not None
        sent: list[dict[str, float]] = []
        config = Job(study_path.parent, store.path, split).config(order, ledger)
        run_trial(config, lambda told: sent.append(told[ROW]))
        assert not any(FAILURE in row for row in sent)
        for row in sent:
            ledger.report(order.number, row)
        ledger.finish(order.number)
        return order.number

    train(open_ledger(study_path, *rule))
    ledger, (said,) = extend(study_path, 1, "epochs=5", *rule)
    assert train(ledger) == 1
    short, long = (list(ledger.entry(number).rows) for number in (0, 1))
    assert [row["epoch"] for row in long] == [1, 2, 3, 4, 5]
    assert long[:3] == short
    anew = study_path.parent / "anew"
    anew.mkdir()
    fresh = anew / study_path.name
    fresh.write_text(study_path.read_text())
    whole = open_ledger(fresh, "epochs=5", *rule)
    order = whole.ask()
    assert order is not None
    sent = []
    run_trial(
        Job(anew, store.path, split).config(order, whole), lambda told: sent.append(told[ROW])
    )
    same = [row["score"] for row in sent] == [row["score"] for row in long]
    assert same == (schedule == "constant")
    assert ("would give" in said) == (schedule == "constant")
