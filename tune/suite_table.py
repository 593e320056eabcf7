"""The table at the end of a suite: what each point reached, beside what others did."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rich import box
from rich.table import Table

from seglib.errors import Problem, RunError
from seglib.foreign import read_bounded
from tune.entries import read_entries
from tune.report import best_entry, best_row, score_points
from tune.storage import view_storage
from tune.study_file import StudyFile

__all__ = ["TABLE", "SuiteLine", "list_lines", "read_studies", "render_lines", "write_lines"]

TABLE = "suite.csv"

_MOST_BYTES = 2**26


@dataclass(frozen=True)
class SuiteLine:
    """A row of the table.

    Args:
        study: Name of the study.
        point: The point, or what else the row is of.
        seeds: Trials that ended, one for each seed.
        metric: What the score is.
        score: Best epoch, mean over the seeds; None before a trial has ended.
        published: What others reached; may be empty.
    """

    study: str
    point: str
    seeds: int
    metric: str
    score: float | None
    published: str


_COLUMNS = tuple(field.name for field in fields(SuiteLine))


def list_lines(study: StudyFile, run_dir: Path, storage: str | None) -> list[SuiteLine]:
    """A study's points, or its best trial where it is no grid.

    Args:
        study: The study.
        run_dir: Its run directory; it may not be there yet.
        storage: The ledger's database; None for the journal file.

    Returns:
        One line per point.
    """
    journal = run_dir / "journal.log"
    known = storage is not None or journal.exists()
    entries = read_entries(study.name, view_storage(storage or journal)) if known else []
    metric = study.metric.name
    if study.rows:
        return [
            SuiteLine(study.name, point.name or "–", len(point.scores), metric,
                      point.mean if point.scores else None,
                      study.published.scores.get(point.name, ""))
            for point in score_points(study, entries)
        ]  # fmt: skip
    best = best_entry(study, entries)
    row = best_row(study, best) if best is not None else None
    what = f"best of {sum(entry.started for entry in entries)} trials"
    score = None if row is None else row["score"]
    return [SuiteLine(study.name, what, int(row is not None), metric, score, "")]


def write_lines(lines: Iterable[SuiteLine]) -> str:
    """The table as CSV.

    Args:
        lines: From :func:`list_lines`.

    Returns:
        The text of the file.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(astuple(line) for line in lines)
    return text.getvalue()


def read_studies(folder: Path) -> list[str]:
    """Names of a suite's studies, those not begun among them.

    Args:
        folder: The suite's folder.

    Returns:
        The names in their order; none where there is no suite.

    Raises:
        RunError: The table is damaged.
    """
    path = folder / TABLE
    if not path.is_file():
        return []
    try:
        text = read_bounded(path, _MOST_BYTES).decode()
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return list(dict.fromkeys(row["study"] for row in rows))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        problem = Problem(TABLE, f"an unreadable file ({error})", "what a suite wrote")
        raise RunError(str(path), [problem]) from None


def render_lines(lines: Iterable[SuiteLine]) -> Table:
    """The table for a terminal.

    Args:
        lines: From :func:`list_lines`.

    Returns:
        A table.
    """
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in ("seeds", "score") else "left")
    for line in lines:
        score = "–" if line.score is None else f"{line.score:.4f}"
        table.add_row(line.study, line.point, f"{line.seeds}", line.metric, score, line.published)
    return table
