from __future__ import annotations

from pathlib import Path

import tune.reporting
from tune.reporting.sections import SECTIONS, choose_sections

TEMPLATES = Path(tune.reporting.__file__).parent / "templates"


def test_every_section_has_its_partial_and_anchor() -> None:
    for section in SECTIONS:
        partial = TEMPLATES / f"_{section.template or section.name}.html.j2"
        assert f'<section id="{section.name}"' in partial.read_text(encoding="utf-8")


def test_every_partial_is_a_section() -> None:
    named = {f"_{one.template or one.name}.html.j2" for one in SECTIONS}
    assert {path.name for path in TEMPLATES.glob("_*")} == named | {"_macros.html.j2"}


def test_what_no_run_has_is_left_out_and_a_grid_has_its_rows_first() -> None:
    bare = dict.fromkeys((one.part for one in SECTIONS if one.part), None)
    always = [one.name for one in SECTIONS if not one.part]
    assert [one.name for one in choose_sections([bare], grid=False)] == always
    view = bare | {"board": True}
    search, grid = (
        [one.name for one in choose_sections([bare, view], grid=grid)] for grid in (False, True)
    )
    assert search.index("leaderboard") + 1 == search.index("results")
    assert grid.index("results") + 1 == grid.index("leaderboard")
    assert sorted(search) == sorted(grid)
