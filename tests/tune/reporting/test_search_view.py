from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.tune.reporting.test_figures import assert_sound
from tune.reporting.drawing import Drawing
from tune.reporting.early_stopping import audit_stopping
from tune.reporting.evidence import RunData
from tune.reporting.headline import show_progress, show_tiles
from tune.reporting.search_view import Parameters, view_costs, view_parameters, view_tracks
from tune.reporting.spaces import build_axis, scale_axis
from tune.reporting.trials import list_trials


class Wall:
    """Keeps what is shown, by name."""

    def __init__(self) -> None:
        self.drawings: dict[str, Drawing] = {}

    def show(self, name: str, drawing: Drawing) -> str:
        self.drawings[name] = drawing
        return drawing.svg

    def trials(self, name: str) -> set[int]:
        """The trials that a figure has marks of."""
        return set(map(int, re.findall(r'data-trial="(\d+)"', self.drawings[name].svg)))


@pytest.fixture(scope="module")
def seen(search: RunData) -> tuple[Wall, Parameters | None]:
    wall, board = Wall(), list_trials(search)
    view_tracks(search, board, audit_stopping(search.study, search.view.entries), wall.show)
    found = view_parameters(search, board, wall.show)
    view_costs(board, wall.show)
    return wall, found


def test_figures_are_sound(seen: tuple[Wall, Parameters | None]) -> None:
    wall, _ = seen
    assert set(wall.drawings) == {
        "trials", "importance", "parallel", "slice-1", "slice-2", "slice-both", "cost-seconds",
        "cost-memory", "cost-parameters",
    }  # fmt: skip
    for drawing in wall.drawings.values():
        alt = re.search(r'aria-label="([^"]*)"', drawing.svg)
        assert alt is not None
        assert len(alt[1]) > 20
        assert_sound(drawing.svg, alt[1])
        assert drawing.png.startswith(b"\x89PNG")


def test_each_trial_has_its_marks_and_its_words(
    search: RunData, seen: tuple[Wall, Parameters | None]
) -> None:
    wall, _ = seen
    trained = {entry.number for entry in search.view.entries if entry.rows}
    complete = {entry.number for entry in search.view.entries if entry.state == "COMPLETE"}
    assert wall.trials("trials") == wall.trials("parallel") == wall.trials("slice-1") == trained
    assert wall.trials("cost-seconds") == complete
    for number in trained:
        mark = f'<g data-trial="{number}"><title>trial {number}'
        assert mark in wall.drawings["trials"].svg


def test_rungs_say_how_many_were_stopped_there(seen: tuple[Wall, Parameters | None]) -> None:
    assert re.search(r">\d+ stopped<", seen[0].drawings["trials"].svg)


def test_slices_are_of_parameters_that_count_in_half_of_the_trials(
    search: RunData, seen: tuple[Wall, Parameters | None]
) -> None:
    found = seen[1]
    assert found is not None
    assert found.slices_note.startswith("learning rate and ")
    assert "learning rate" in found.lead
    assert found.num_told == 4


def test_grid_has_no_parameters_of_a_search(search: RunData) -> None:
    study = replace(search.study, method="grid")
    grid = replace(search, view=replace(search.view, study=study))
    assert view_parameters(grid, list_trials(grid), Wall().show) is None


def test_one_trial_has_no_figures(search: RunData) -> None:
    view = replace(search.view, entries=search.view.entries[:1])
    alone = replace(search, points=search.points[:1], view=view)
    board = list_trials(alone)
    assert view_tracks(alone, board, None, Wall().show) == ""
    assert view_costs(board, Wall().show) is None


def test_axes_are_laid_out_as_the_study_says(search: RunData) -> None:
    space = search.study.space
    rate = build_axis(space["learning_rate"], {0: 1e-4, 1: 1e-3, 2: 1e-2})
    assert rate.places == pytest.approx({0: 0.0, 1: 0.5, 2: 1.0})  # by its logarithm
    assert [text for _, text in rate.ticks] == ["0.0001", "0.001", "0.01"]
    words = build_axis(space["optimizer"], {3: "sgd"})
    assert words.places == {3: 1.0}
    assert words.ticks == ((0.0, "adamw"), (1.0, "sgd"))
    assert scale_axis("dice", {0: 0.5, 1: 0.5}).places == {0: 0.5, 1: 0.5}


def test_tiles_have_the_best_trial_and_its_gain(search: RunData) -> None:
    board = list_trials(search)
    tiles = {tile.label: tile for tile in show_tiles(search, board, None, ())}
    best, default = board.lines[0], next(line for line in board.lines if line.number == 0)
    assert tiles["Best dice"].value == f"{best.score:.3f}"
    assert f"trial {best.number}, epoch 1; 95 % over cases" in tiles["Best dice"].detail
    gain = tiles["Against the default"]
    assert gain.value == ("±0" if best is default else f"{best.score - default.score:+.3f}")
    assert tiles["Trials"].value == "14"
    assert "1 failed" in tiles["Trials"].detail


def test_progress_is_that_of_a_search_at_work(search: RunData) -> None:
    assert show_progress([search]) is None
    at_work = replace(search, view=replace(search.view, held=True))
    progress = show_progress([at_work])
    assert progress is not None
    assert (progress.ended, progress.planned, progress.training) == (13, 14, 1)
