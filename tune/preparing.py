"""The data of a study, made ready for training: what every command does first that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from seglib.data.spec import PHANTOM_LAYOUTS
from tune.request import Request
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from seglib.data.store import Store

__all__ = ["DEMO", "build_store", "prepare_data"]

DEMO = (
    "DEMO on generated phantoms, not on patients: the scores show that the software works, "
    "nothing else. For real data give --data DIR."
)


def prepare_data(request: Request, study: StudyFile, console: Console) -> Store:
    """The prepared data of a study: made now, or found where they were made before.

    Args:
        request: Says where the sources are and where prepared data go.
        study: Says what to make of them.
        console: Shows progress and what the user should know of the data.

    Returns:
        The store, opened.

    Raises:
        DataError: The folder or its files have faults.
    """
    store = build_store(request, study, console)
    for note in store.info.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    return store


def build_store(request: Request, study: StudyFile, console: Console) -> Store:
    """The same as :func:`prepare_data`, without a word but of how far it is."""
    from seglib.data.prepare import prepare
    from tune.progress import progress_on

    source = None if study.data.layout in PHANTOM_LAYOUTS else request.data
    with progress_on(console) as report:
        return prepare(study.data, source, request.prepared, progress=report)
