from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.tune.reporting.runs import epoch_row
from tune.entries import Entry
from tune.ledger import Ledger
from tune.reporting.early_stopping import FEWEST, StoppingAudit, audit_stopping
from tune.reporting.evidence import gather
from tune.reporting.notes import note_run, warn_run
from tune.reporting.page import show_report
from tune.run_directory import RunDirectory
from tune.study_file import StudyFile, load_study

STUDY = """\
method: random
data: {{layout: phantom-brats, cases: 8, image_size: 32}}
parameters:
  learning_rate: {{distribution: log_uniform_values, min: 1e-4, max: 1e-2}}
  epochs: {{value: 9}}
early_terminate: {{{rule}}}
run_cap: 50
"""
ASHA = "type: asha, min_iter: 1, eta: 3"


def make_study(folder: Path, rule: str = ASHA) -> StudyFile:
    path = folder / "study.yaml"
    path.write_text(STUDY.format(rule=rule))
    return load_study(path, demo=False)


def trial(number: int, scores: Sequence[float], state: str = "COMPLETE", **more: int) -> Entry:
    rows = [epoch_row(epoch, score) for epoch, score in enumerate(scores, start=1)]
    return Entry(number, state, "sampler", {}, {"epochs": 9}, rows, "", started=True, **more)


def complete(
    firsts: Sequence[float], lasts: Sequence[float], third: float | None = None
) -> list[Entry]:
    """Trials that ran to their end; at epoch 3 they stand as at the end unless told."""
    pairs = enumerate(zip(firsts, lasts, strict=True))
    return [
        trial(number, [first, 0.1, last if third is None else third, *[0.2] * 5, last])
        for number, (first, last) in pairs
    ]


def audit(folder: Path, entries: list[Entry], rule: str = ASHA) -> StoppingAudit:
    found = audit_stopping(make_study(folder, rule), entries)
    assert found is not None
    return found


ORDER = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
SHUFFLED = [0.5, 0.2, 0.8, 0.1, 0.7, 0.4, 0.3, 0.6]


def test_first_look_that_tells_nothing_is_warned_of(tmp_path: Path) -> None:
    found = audit(tmp_path, complete(SHUFFLED, ORDER))
    first, second = found.rungs
    # by hand: squared rank differences 16, 0, 25, 9, 4, 4, 16, 4 add up to 78
    assert first.found.estimate == pytest.approx(1 - 6 * 78 / (8 * 63))
    assert first.found.low < 0 < first.found.high
    assert (first.is_low, second.is_low) == (True, False)
    (warning,) = found.warnings
    assert "0.07 [−0.67, 0.74] at epoch 1, over 8 trials" in warning
    assert "epoch 3" not in warning
    assert found.notes == []


def test_first_look_that_tells_the_order_is_not_warned_of(tmp_path: Path) -> None:
    found = audit(tmp_path, complete(ORDER, ORDER))
    assert found.rungs[0].found.estimate == 1
    assert found.rungs[0].correlation.startswith("1.00 [0.")  # eight trials prove no perfect order
    assert found.warnings == found.notes == []


def test_of_too_few_trials_no_correlation_is_told(tmp_path: Path) -> None:
    few = complete(SHUFFLED[: FEWEST - 1], ORDER[: FEWEST - 1])
    found = audit(tmp_path, few)
    assert found.warnings == []
    assert found.notes == [
        "Whether the score at epoch 1 and 3 tells the last one cannot be told: 5 trials ran to "
        "the end, 6 are needed."
    ]
    assert found.rungs[0].correlation == "cannot be told from 5; 6 are needed"
    one_more = complete(SHUFFLED[:FEWEST], ORDER[:FEWEST])
    assert audit(tmp_path, one_more).rungs[0].is_told


def test_scores_that_are_all_the_same_tell_nothing(tmp_path: Path) -> None:
    found = audit(tmp_path, complete([0.5] * 8, ORDER))
    assert found.warnings == []
    assert found.rungs[0].correlation == "cannot be told: the scores are all the same"
    assert found.notes[0].endswith(
        "epoch 1 tells the last one cannot be told: the scores are all the same."
    )


def test_what_was_stopped_counts_as_saved_but_in_no_correlation(tmp_path: Path) -> None:
    ended = complete(ORDER, ORDER)
    stopped = [trial(8, [0.9], "PRUNED"), trial(9, [0.9, 0.9, 0.0], "PRUNED")]
    others = [trial(10, [0.9], "RUNNING"), trial(11, [*ORDER, 0.0], extends=3)]
    found = audit(tmp_path, ended + stopped + others)
    assert found.rungs[0].found.estimate == 1
    assert [(r.num_reached, r.num_stopped, r.num_complete) for r in found.rungs] == [
        (11, 1, 8),
        (9, 1, 8),
    ]
    # the second look saw the eight in order, and one that fell from the top to the bottom
    assert found.rungs[0].num_onward == 9
    assert found.rungs[0].onward_correlation.startswith("0.40 [")  # 1 - 6 * 72 / 720
    assert found.rungs[1].onward_correlation == ""
    assert found.saving == (
        "Early stopping ended 2 of 11 trials and saved 14 of 91 epochs (15%), "
        "about 4:40 of 30:20 of training (15%)."
    )


@pytest.mark.parametrize("rule", ["type: none", "type: patience, min_iter: 3"])
def test_study_that_compares_no_trials_has_no_audit(tmp_path: Path, rule: str) -> None:
    assert audit_stopping(make_study(tmp_path, rule), complete(ORDER, ORDER)) is None


def test_median_is_looked_at_where_it_first_may_stop(tmp_path: Path) -> None:
    found = audit(tmp_path, complete(SHUFFLED, ORDER), "type: median, min_iter: 3")
    assert [rung.epoch for rung in found.rungs] == [3]


def test_search_without_a_trial_has_no_audit(tmp_path: Path) -> None:
    assert audit_stopping(make_study(tmp_path), []) is None


@pytest.fixture
def lottery(tmp_path: Path) -> Path:
    """Eight whole trials whose first look tells nothing; each led there, so none was stopped."""
    study = make_study(tmp_path, "type: asha, min_iter: 4, eta: 3")
    run = RunDirectory(tmp_path / "run")
    run.settle_study(study)
    ledger = Ledger(study, run.settle_storage(None))
    for early, last in zip(ORDER, SHUFFLED, strict=True):
        order = ledger.ask()
        assert order is not None
        for epoch in range(1, 10):
            ledger.report(order.number, epoch_row(epoch, last if epoch == 9 else early))
        ledger.finish(order.number)
    return run.path


@pytest.mark.slow
def test_lottery_is_warned_of_before_the_figures(lottery: Path) -> None:
    (data,) = gather(lottery)
    assert any("lottery" in text for text in warn_run(data))
    assert not any("cannot be told" in text for text in note_run(data))


@pytest.mark.slow
def test_warning_reaches_the_terminal_and_the_page(lottery: Path) -> None:
    console = Console(record=True, width=400, file=io.StringIO())
    show_report(lottery, console)
    assert "Early stopping may be a lottery: rank correlation" in console.export_text()
    page = (lottery / "report.html").read_text(encoding="utf-8")
    assert 'href="#stopping"' in page
    assert "No trial of 8 was stopped early." in page
