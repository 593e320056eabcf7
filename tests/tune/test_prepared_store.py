from __future__ import annotations

import shutil
from pathlib import Path

from seglib.data.store import INFO, Store
from tune.prepared_store import find_store


def test_store_is_found_where_it_lay_and_beside_a_folder_that_was_moved(
    store: Store, tmp_path: Path
) -> None:
    data = {"key": store.key}
    run = tmp_path / "runs" / "tiny"
    assert find_store(run, {"data": data}) is None
    cache = str(store.path.parents[1])
    assert find_store(run, {"data": data, "cache": cache}).path == store.path
    beside = tmp_path / "runs" / ".cache" / "stores" / store.key
    shutil.copytree(store.path, beside)
    assert find_store(run, {"data": data, "cache": str(tmp_path / "gone")}).path == beside
    assert find_store(tmp_path / "runs" / "suite" / "one", {"data": data}).path == beside


def test_damaged_store_is_none(store: Store, tmp_path: Path) -> None:
    place = tmp_path / ".cache" / "stores" / store.key
    shutil.copytree(store.path, place)
    (place / INFO).write_text("{}")
    assert find_store(tmp_path / "tiny", {"data": {"key": store.key}}) is None
    assert find_store(tmp_path / "tiny", {}) is None
