"""A run directory at a URL, fetched to be looked at: nothing is written there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglib.errors import Problem, RunError
from tune.far_journal import JOURNAL, FarJournal
from tune.mirror import describe_driver
from tune.remote import Remote
from tune.urls import hide_password, refuse_password

__all__ = ["fetching_view"]

_STUDY = "study.yaml"
_SECONDS_TO_ANSWER = 15.0


@contextmanager
def fetching_view(url: str) -> Iterator[tuple[Path, list[str]]]:
    """What tells how a search stands, in a folder of this process.

    Args:
        url: Of a run directory, or of a suite's folder of them.

    Yields:
        The folder, and what cannot be seen from it, in sentences.

    Raises:
        RunError: There is no run, or a secret in the URL.
        UnwritableError: The place does not answer.
    """
    refuse_password("RUN", url, "what its library reads, such as AWS_SECRET_ACCESS_KEY or ~/.aws")
    place = Remote(url, _SECONDS_TO_ANSWER)
    names = place.sizes()
    if _STUDY in names:
        runs = [""]
    else:
        runs = sorted(name.partition("/")[0] for name in names if _is_inside(name))
    if not runs:
        found = f"no {_STUDY}, there or one folder down"
        wanted = "a run directory at a URL, such as s3://bucket/runs/brats, or a suite's folder"
        raise RunError(hide_password(url), [Problem("run", found, wanted)])
    with tempfile.TemporaryDirectory(prefix="segtune-view-") as folder:
        notes = []
        for run in runs:
            here = Path(folder) / run
            there = Remote(f"{place.url}/{run}", _SECONDS_TO_ANSWER)
            for name in (_STUDY, "environment.json"):
                there.get(name, here / name)
            FarJournal(there, here / JOURNAL).fetch()
            notes.append(
                f"{run + ': ' if run else ''}begun last by {describe_driver(there)}; "
                "whether it is still at work cannot be seen from here"
            )
        yield Path(folder), notes


def _is_inside(name: str) -> bool:
    return name.count("/") == 1 and name.endswith(f"/{_STUDY}")
