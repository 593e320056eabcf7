"""What `segtune status --address` shows of jobs, on terminals of all widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from seglib.errors import RunError
from tune.cli_jobs import _last_words, _require, _show_table
from tune.jobs import JobState

JOB = "segtune-brats-20261130-182105"


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("progress", ["", "trial 3 epoch 7: 0.8", "error: " + "x" * 200])
def test_name_and_state_of_a_job_are_whole_at_any_width(width: int, progress: str) -> None:
    jobs = [JobState(JOB, "brats", "/s/runs/brats", "SUCCEEDED", 1.8e9, 0, progress)]
    file = io.StringIO()
    _show_table(jobs, Console(file=file, width=width))
    (row,) = [line for line in file.getvalue().splitlines() if JOB in line]
    assert "SUCCEEDED" in row
    assert progress[:5] in row
    assert width < 80 or len(row.rstrip()) <= width


def test_words_of_a_job_that_is_done_begin_with_its_leaderboard() -> None:
    log = "a\nb: best dice per trial on 2 cases\n 0 COMPLETE\nbest: trial 0\n"
    assert _last_words(log)[0] == "b: best dice per trial on 2 cases"
    assert _last_words("".join(f"{n}\n" for n in range(20))) == [str(n) for n in range(10, 20)]


@pytest.mark.parametrize(
    ("run", "address", "hint"),
    [
        (JOB, None, "--address http://head:8265"),
        (None, None, "with --address"),
        (None, "http://h:1", "lists them"),
    ],
)
def test_what_is_meant_is_asked_for(run: str | None, address: str | None, hint: str) -> None:
    with pytest.raises(RunError, match=hint):
        _require(run, address)
