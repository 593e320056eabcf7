from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seglib.data.store import Store
from tune.reporting.data_section import view_data
from tune.reporting.evidence import gather


def test_parts_are_counted_and_the_locked_one_is_not_looked_at(task: Path, store: Store) -> None:
    run = gather(task)[0]
    cache = str(store.path.parents[1])
    run = replace(run, starts=tuple({**start, "cache": cache} for start in run.starts))
    found = view_data(run)
    assert found is not None
    assert found.classes == ("WT", "TC", "ET")
    assert [(part.name, part.patients) for part in found.parts] == [
        ("training", "2"),
        ("validation", "4"),
        ("locked test", "2"),
        ("all", "8"),
    ]
    _, validation, locked, _ = found.parts
    assert locked.held == ("–", "–", "–")
    assert run.splits is not None
    rows = store.index[store.index["group"].isin(run.splits.val)]
    share = f"{100 * (rows['px_WT'] > 0).mean():.0f}"
    assert validation.held[0] == f"4 of 4 cases ({share}\u00a0% of slices)"
    facts = dict(found.facts)
    assert facts["Classes"] == "WT, TC, ET (may overlap)"
    assert facts["Split"] == "by patient, drawn from seed 7"
    assert facts["Fingerprint"].startswith(store.key)


def test_without_the_prepared_data_the_counts_of_the_search_remain(task: Path) -> None:
    found = view_data(gather(task)[0])
    assert found is not None
    assert found.classes == ()
    assert [part.held for part in found.parts] == [()] * 4
    assert any("not at hand" in note for note in found.notes)


def test_search_that_wrote_nothing_down_has_no_such_section(task: Path) -> None:
    (task / "environment.json").unlink()
    assert view_data(gather(task)[0]) is None
