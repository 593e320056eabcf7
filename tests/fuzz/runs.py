"""A run directory under attack: every file of it that `status`, `report` and `run` read."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from rich.console import Console

from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from tests.tune.reporting.runs import make_run, write_study
from tune.reporting.comparisons import compare
from tune.reporting.drawing import Drawing
from tune.reporting.evidence import gather
from tune.reporting.legacy_table import legacy_rows
from tune.reporting.methods import say_methods, say_versions
from tune.reporting.notes import describe_run, note_run, warn_run
from tune.reporting.reliability import log_reliability
from tune.reporting.search_view import view_costs, view_parameters, view_tracks
from tune.reporting.terminal_table import render_points
from tune.reporting.trials import list_trials
from tune.reporting.words import say_lead, say_published
from tune.status import show_status

__all__ = ["file_of_run", "lay_run", "read_run"]


@cache
def whole_run() -> Path:
    """A grid of four points, five trials of it ended."""
    home = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    spec = DataSpec(layout="phantom-brats", cases=8, image_size=32, target="regions")
    store = prepare(spec, None, home / "store")
    make_run(home / "run", store, write_study(home / "small.yaml"), finish=5)
    (home / "run" / "suite.csv").write_text("study,point,seeds\nsmall,1a,3\nother,1b,0\n")
    (home / "run" / "trials" / "0" / "notes.txt").write_text("went on from epoch 2\n")
    return home / "run"


def lay_run(folder: Path) -> None:
    """The run directory, all of it."""
    shutil.copytree(whole_run(), folder, dirs_exist_ok=True)


def file_of_run(name: str) -> Callable[[], tuple[bytes, ...]]:
    """What such a file holds."""
    return lambda: ((whole_run() / name).read_bytes(),)


def _show(name: str, drawing: Drawing) -> str:
    return drawing.svg


def read_run(depth: int) -> Callable[[Path], None]:
    """Reads the run directory that lies so many folders above a file, and says all of it."""

    def read(path: Path) -> None:
        folder = path.parents[depth]
        console = Console(file=io.StringIO(), width=160)
        show_status(folder, console)
        runs = gather(folder)
        console.print(render_points(runs, wide=True))
        effects = [effect for block in compare(runs) for effect in block.effects]
        said = [say_lead(runs, effects), say_methods(runs, effects), say_versions(runs)]
        for run in runs:
            said += [warn_run(run), note_run(run), describe_run(run), legacy_rows(run)]
            board = list_trials(run)
            said += [log_reliability(run), view_tracks(run, board, None, _show)]
            said += [view_parameters(run, board, _show), view_costs(board, _show)]
        console.print(str([*said, say_published(runs)]), markup=False)

    return read
