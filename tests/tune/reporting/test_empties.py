from __future__ import annotations

from pathlib import Path

import pandas as pd

from tune.reporting.empties import view_empties
from tune.reporting.evidence import gather


def test_false_alarms_are_counted_over_all_seeds_of_a_point(task: Path) -> None:
    file = task / "trials" / "1" / "final.csv"  # 1b under its first seed
    table = pd.read_csv(file)
    empty = table.index[(table["class"] == "ET") & (table["tp"] + table["fn"] == 0)]
    table.loc[empty[0], "fp"], table.loc[empty[1], "fp"] = 50, 1200
    table.to_csv(file, index=False)
    found = view_empties(gather(task)[0])
    assert found is not None
    second, first = found.rows
    assert (first.point, first.part, first.alarms, first.share) == (
        "1b",
        "ET",
        "2 of 9",
        "22\u00a0%",
    )
    assert (first.typical, first.worst) == ("625", f"{table['case'][empty[1]]} (1,200)")
    assert (second.point, second.alarms, second.worst) == ("1a", "0 of 9", "–")


def test_data_in_which_every_case_holds_every_class_say_so(task: Path) -> None:
    for file in task.glob("trials/*/final.csv"):
        table = pd.read_csv(file)
        table[table["class"] != "ET"].to_csv(file, index=False)
    found = view_empties(gather(task)[0])
    assert found is not None
    assert found.rows == ()
    assert found.note.startswith("Every validation case holds every class")


def test_search_without_a_complete_trial_has_no_such_section(partial: Path) -> None:
    for file in partial.glob("trials/*/final.csv"):
        file.unlink()
    assert view_empties(gather(partial)[0]) is None
