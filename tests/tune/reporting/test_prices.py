from __future__ import annotations

import json
from pathlib import Path

import pytest

from tune.price_record import PRICE, SPENT, PriceRecord
from tune.reporting.evidence import gather
from tune.reporting.page import write_report
from tune.reporting.prices import PricesView, view_prices


def price(folder: Path, **figures: tuple[float, float, float]) -> None:
    record = PriceRecord(
        made="2026-01-01 00:00", key="k", device="a processor", slots=2, num_planned=6,
        num_measured=2, num_classes=2, figures={"wall_s": (10.0, 20.0, 30.0), **figures},
    )  # fmt: skip
    (folder / PRICE).write_text(record.model_dump_json())
    (folder / SPENT).write_text(json.dumps({"starts_s": [12.0, 13.0]}))


def view(folder: Path) -> PricesView:
    (run,) = gather(folder)
    found = view_prices(run)
    assert found is not None
    return found


def test_each_figure_says_whether_it_came_to_lie_within(task: Path) -> None:
    price(task, epochs=(18.0, 18.0, 18.0), trials=(2.0, 3.0, 5.0), money=(1.0, 2.0, 3.0))
    found = view(task)
    rows = {row.name: (row.predicted, row.actual, row.verdict, row.is_off) for row in found.rows}
    assert rows["Wall time"] == ("20 s", "25 s", "within", False)
    assert rows["Epochs"] == ("18", "18", "within", False)
    assert rows["Trials"] == ("3", "6", "20\u00a0% above", True)
    assert rows["Money"] == ("2.00", "2.50", "within", False)
    assert found.lead.endswith("3 of 4 figures came to lie within their intervals.")


def test_a_search_at_work_has_no_verdict_but_that_it_is_above(partial: Path) -> None:
    price(partial, epochs=(30.0, 36.0, 40.0), trials=(1.0, 1.0, 1.0))
    rows = {row.name: row.verdict for row in view(partial).rows}
    assert rows["Epochs"] == ""
    assert rows["Trials"].endswith("above")
    assert "has not ended" in view(partial).lead


def test_a_prediction_for_another_number_of_trials_says_so(partial: Path) -> None:
    price(partial)
    assert any("Predicted for 6 trials; the study now has 12." in n for n in view(partial).notes)


def test_without_a_prediction_the_first_epochs_make_one(task: Path) -> None:
    environment = task / "environment.json"
    starts = json.loads(environment.read_text())
    starts["starts"][-1]["concurrent"] = 2
    environment.write_text(json.dumps(starts))
    found = view(task)
    assert found.lead.startswith("Nothing was predicted before the search")
    rows = {row.name: (row.predicted, row.actual) for row in found.rows}
    assert rows["Trials"] == ("6", "6")
    assert rows["Epochs"] == ("18", "18")


def test_where_nobody_knows_how_many_ran_at_once_there_is_no_section(task: Path) -> None:
    (run,) = gather(task)
    assert view_prices(run) is None


@pytest.mark.slow
@pytest.mark.parametrize("priced", [True, False])
def test_the_page_shows_the_section_where_there_is_one(task: Path, priced: bool) -> None:
    if priced:
        price(task)
    page = write_report(task).read_text()
    assert ("Predicted and actual cost" in page) is priced
