"""Where the prepared data of a run are, for those who look at it after its search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglib.data.store import Store
from seglib.errors import DataError

__all__ = ["find_store"]


def find_store(run: Path, start: Mapping[str, Any]) -> Store | None:
    """Open the prepared data that a search trained on, if they are still there.

    They are looked for where they lay, and beside the run directory or its suite, so that a
    folder of runs may be moved as a whole.

    Args:
        run: The run directory.
        start: Record of the last start of the search, see :mod:`tune.start_records`.

    Returns:
        The store; None where it is gone, damaged, or of another version.
    """
    key = start.get("data", {}).get("key")
    if not key:
        return None
    before = [Path(start["cache"])] if "cache" in start else []
    for cache in [*before, *(folder / ".cache" for folder in run.resolve().parents[:2])]:
        try:
            store = Store.open(cache / "stores" / key)
        except (DataError, OSError):
            continue
        if store.key == key:
            return store
    return None
