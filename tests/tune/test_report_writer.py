from __future__ import annotations

from pathlib import Path

import pytest

from tests.tune.test_ledger import open_ledger, row
from tune.report_writer import ReportWriter
from tune.run_directory import RunDirectory


class Clocked:
    """A writer on a clock set by hand, where writing takes a second."""

    def __init__(self, study_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.written = 0.0, list[float]()
        folder = RunDirectory(study_path.parent / "run")
        self.writer = ReportWriter(open_ledger(study_path), folder, lambda: self.now)
        monkeypatch.setattr(self.writer, "write", self.write)

    def write(self) -> None:
        self.written.append(self.now)
        self.now += 1


@pytest.fixture
def clocked(study_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clocked:
    return Clocked(study_path, monkeypatch)


def test_trials_that_end_one_after_another_wait_for_one_writing(clocked: Clocked) -> None:
    for number in range(1000):
        clocked.writer.finished(number)
        clocked.now += 0.1
    assert 4 <= len(clocked.written) <= 6  # a twentieth of the 100 s


def test_what_had_to_wait_is_written_at_the_next_epoch_after_a_while(clocked: Clocked) -> None:
    clocked.writer.finished(0)
    clocked.writer.finished(1)
    clocked.writer.reported(2, row(1, 0.5))
    assert clocked.written == [0]
    clocked.now = 20
    clocked.writer.reported(2, row(2, 0.5))
    clocked.writer.reported(2, row(3, 0.5))
    assert clocked.written == [0, 20]


def test_trials_of_a_minute_are_written_at_once(clocked: Clocked) -> None:
    for number in range(3):
        clocked.now = 60 * number
        clocked.writer.finished(number)
    assert clocked.written == [0, 60, 120]
