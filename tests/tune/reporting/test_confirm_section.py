from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pytest

import tune.reporting.page
from seglib.errors import RunError
from tune.reporting.confirm_section import view_confirm
from tune.reporting.confirmation import (
    Finding,
    FoundRecipe,
    Opening,
    load_finding,
    load_openings,
    replace_opening,
    save_finding,
    save_openings,
    tell_openings,
    to_contests,
)
from tune.reporting.verdicts import Contender, compare_all, recommend


def recipe(name: str, dice: float | None = 0.7) -> FoundRecipe:
    return FoundRecipe(
        name=name, trial=3, settings="loss <b>dice</b>", dice=dice, spread=None, trained=6,
        planned=6, seconds=None if dice is None else 65.0, search_score=0.9,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finding() -> Finding:
    rng = np.random.default_rng(0)
    patients = [f"p{number}" for number in range(8)]
    found = [
        Contender(name, pd.DataFrame(mean + 0.01 * rng.normal(size=(8, 3)), index=patients), 60.0)
        for name, mean in (("default", 0.7), ("winner", 0.8))
    ]
    comparisons = compare_all(found, ["p0"], 2, draws=200)
    take, advice = recommend(found, comparisons)
    return Finding(
        search="lgg", study="lgg-confirm", phantom=False, patients=8, chosen_by=1, seeds=(0, 1, 2),
        folds=(0, 1), epochs=(30,), recipes=(recipe("default"), recipe("winner")),
        contests=to_contests(comparisons), take=take, advice=advice, notes=("one",),
        at="2026-01-02 03:04",
    )  # fmt: skip


OPENING = Opening(
    at="2026-01-02 03:04", by="me on here", networks="abc", num_networks=12, patients=4, done=True,
    recipes=(recipe("default"), recipe("winner", None)),
)  # fmt: skip


def run_at(folder: Path, test: tuple[str, ...] = ("p9",)) -> Any:
    view = SimpleNamespace(folder=SimpleNamespace(path=folder))
    return SimpleNamespace(view=view, splits=SimpleNamespace(test=test))


def page(folder: Path) -> str:
    templates = Path(tune.reporting.page.__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates), autoescape=True, undefined=jinja2.StrictUndefined
    )
    run = SimpleNamespace(name="lgg", confirm=view_confirm(run_at(folder)))
    return environment.get_template("_confirm.html.j2").render(runs=[run], several=False)


def test_what_is_written_is_read_again_also_where_figures_are_missing(
    tmp_path: Path, finding: Finding
) -> None:
    save_finding(tmp_path, finding)
    save_openings(tmp_path, [OPENING])
    assert load_finding(tmp_path) == finding
    assert load_openings(tmp_path) == (OPENING,)
    one = Contender("winner", pd.DataFrame({0: [0.9]}, index=["p"]), math.nan)
    other = Contender("default", pd.DataFrame({0: [0.8]}, index=["p"]), math.nan)
    gaps = finding.model_copy(update={"contests": to_contests(compare_all([other, one], (), 2))})
    save_finding(tmp_path, gaps)
    assert load_finding(tmp_path) == gaps
    assert gaps.contests[0].p_holm is None


@pytest.mark.parametrize("name", ["confirmation.json", "test_openings.json"])
@pytest.mark.parametrize("content", ["{", "[1]", '{"search": 1}', "\x00"])
def test_damaged_record_is_refused_by_its_name(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=name):
        view_confirm(run_at(tmp_path))


def test_run_that_was_not_confirmed_has_no_section(tmp_path: Path) -> None:
    assert view_confirm(run_at(tmp_path)) is None


def test_section_tells_verdict_size_and_that_the_test_part_is_locked(
    tmp_path: Path, finding: Finding
) -> None:
    save_finding(tmp_path, finding)
    text = page(tmp_path)
    assert "better than the default by" in text
    assert "8 patients, 3 seeds x 2 folds; on the 7 that the search did not choose by" in text
    assert "The locked test part was not opened." in text
    assert "loss &lt;b&gt;dice" in text


def test_each_opening_is_shown_and_more_than_one_is_warned_of(
    tmp_path: Path, finding: Finding
) -> None:
    save_finding(tmp_path, finding)
    save_openings(tmp_path, [OPENING])
    assert tell_openings([OPENING]) == ""
    assert "opened 2026-01-02 03:04 by me on here" in page(tmp_path)
    later = OPENING.model_copy(update={"at": "2026-02-03 04:05", "done": False, "recipes": ()})
    save_openings(tmp_path, [OPENING, later])
    text = page(tmp_path)
    assert "The test part was opened 2 times (2026-01-02 03:04 by me on here; 2026-02-03" in text
    assert "It was begun, and not finished" in text


def test_opening_that_ends_keeps_what_was_opened_meanwhile(tmp_path: Path) -> None:
    begun = OPENING.model_copy(update={"done": False})
    other = OPENING.model_copy(update={"networks": "def"})
    save_openings(tmp_path, [begun, other])  # the other one came while this one was scored
    assert replace_opening(tmp_path, OPENING) == (OPENING, other)
    assert load_openings(tmp_path) == (OPENING, other)


def test_section_tells_what_weakens_a_finding(tmp_path: Path, finding: Finding) -> None:
    weak = {"by": "slice", "chosen_by": finding.patients}
    save_finding(tmp_path, finding.model_copy(update=weak))
    told = view_confirm(run_at(tmp_path, test=()))
    assert told is not None
    assert "networks that had seen OTHERS of the patient" in told["how"]
    assert "no difference counts here" in told["how"]
    assert told["unopened"].startswith("No part of the data was locked away")


def test_report_of_the_confirmation_tells_the_same(tmp_path: Path, finding: Finding) -> None:
    save_finding(tmp_path, finding)
    (tmp_path / "study.yaml").touch()
    (tmp_path / "confirm").mkdir()
    assert view_confirm(run_at(tmp_path / "confirm")) == view_confirm(run_at(tmp_path))
