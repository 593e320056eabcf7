"""The report as one HTML file that needs no network, with its figures beside it as PNG.

The only file that imports Jinja.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seglib.errors import UnwritableError
from seglib.files import write_whole
from tune.leaderboard import as_clock
from tune.reporting.ablation import Effect
from tune.reporting.comparisons import Block, compare
from tune.reporting.early_stopping import audit_stopping
from tune.reporting.evidence import PointData, RunData, gather
from tune.reporting.figures import (
    FEWEST_FOR_BOX,
    CurvePanel,
    draw_cases,
    draw_curve_sheet,
    draw_curves,
    draw_effects,
)
from tune.reporting.notes import describe_run, note_run, warn_run
from tune.reporting.tables import NONE, as_memory, legacy_rows, point_rows
from tune.reporting.words import (
    describe_curves,
    say_curves,
    say_effects,
    say_lead,
    say_methods,
    say_published,
    say_spread,
    say_versions,
)

__all__ = ["add_report", "render_points", "show_report", "write_report"]

PAGE = "report.html"
FIGURES = "figures"
MOST_PANELS = 24
_WIDTH_FOR_ALL = 150

_UNITS = {"mm": "mm", "px": "source px"}  # of a distance, whatever the images were scaled to

Pictures = dict[str, bytes]


def write_report(folder: Path, storage: str | None = None) -> Path:
    """Write ``report.html`` and ``figures/*.png``, each whole or not at all.

    Nothing else is written, so a search may be running meanwhile.

    Args:
        folder: A run directory, or a suite's folder of run directories.
        storage: The ledger's database, where its URL has a password in it.

    Returns:
        The page.

    Raises:
        RunError: There is no run, or a file of a run is damaged.
    """
    folder = folder.resolve()
    return _write(folder, gather(folder, storage))


def show_report(folder: Path, console: Console, storage: str | None = None) -> None:
    """Write the report, print its main table and where it is.

    Args:
        folder: A run directory, or a suite's folder of run directories.
        console: Where to print.
        storage: The ledger's database, where its URL has a password in it.

    Raises:
        RunError: There is no run, or a file of a run is damaged.
    """
    folder = folder.resolve()
    runs = gather(folder, storage)
    page = _write(folder, runs)
    for text in dict.fromkeys(text for run in runs for text in warn_run(run)):
        console.print(text, style="bold red", markup=False, highlight=False)
    console.print(render_points(runs, wide=console.width >= _WIDTH_FOR_ALL), markup=False)
    effects = [effect for block in compare(runs) for effect in block.effects]
    console.print(say_lead(runs, effects), markup=False, highlight=False)
    console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)


def add_report(folder: Path, console: Console, storage: str | None = None) -> None:
    """Write the report at the end of a search; a fault in it is told, and spoils nothing.

    Args:
        folder: A run directory, or a suite's folder of run directories.
        console: Where to say where it is.
        storage: The ledger's database, where its URL has a password in it.
    """
    try:
        folder = folder.resolve()
        runs = gather(folder, storage)
        # the caller has ended, though it may hold the folder still
        ended = [replace(run, view=replace(run.view, held=False)) for run in runs]
        line, style = f"report:      {_write(folder, ended)}", ""
    except UnwritableError:
        raise
    except Exception as error:
        line, style = f"no report was written: {type(error).__name__}: {error}", "red"
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def render_points(runs: Sequence[RunData], *, wide: bool) -> Table:
    """The main table for a terminal.

    Args:
        runs: All runs of a report.
        wide: Is there room for all columns?

    Returns:
        A line per point, and per class where there are several.
    """
    columns = {"Dice, last": "last", "Dice, best": "best"}
    if wide:
        columns |= {"precision": "precision", "recall": "recall", "HD95": "hd95"}
        columns |= {"no HD95": "missed", "surface Dice": "surface_dice"}
        if any(row.published not in ("", NONE) for run in runs for row in point_rows(run)):
            columns |= {"published": "published"}
    columns |= {"time": "seconds"}
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    view.add_column("point", overflow="fold", min_width=8)
    for name in columns:
        view.add_column(name, justify="right", no_wrap=True)
    view.add_column("trials complete")
    for run in runs:
        if len(runs) > 1:
            view.add_row(Text(run.name, style="bold"))
        for row in point_rows(run):
            label = Text(f"  {row.part}" if row.part else row.point)
            cells = [str(getattr(row, field)) for field in columns.values()]
            view.add_row(label, *cells, row.trials, style="dim" if row.part else "")
    return view


def _write(folder: Path, runs: Sequence[RunData]) -> Path:
    pictures: Pictures = {}
    text = _render(_context(folder.name, runs, pictures))
    for name, picture in pictures.items():
        write_whole(folder / FIGURES / f"{name}.png", picture)
    write_whole(folder / PAGE, text)
    return folder / PAGE


def _render(context: Mapping[str, Any]) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(context)


def _context(title: str, runs: Sequence[RunData], pictures: Pictures) -> dict[str, Any]:
    several = len(runs) > 1
    blocks = compare(runs)
    effects = [effect for block in blocks for effect in block.effects]
    views = [_view_run(run, pictures, several=several) for run in runs]
    units = {view["unit"] for view in views}
    published = any(row.published not in ("", NONE) for view in views for row in view["rows"])
    return {
        "title": title,
        "lead": say_lead(runs, effects),
        "warnings": list(dict.fromkeys(text for run in runs for text in warn_run(run))),
        "several": several,
        "runs": views,
        "unit": units.pop() if len(units) == 1 else "",
        "has_published": published,
        "num_columns": 11 if published else 10,
        "published_notes": say_published(runs),
        "spread": say_spread(runs),
        "curves_lead": say_curves(runs),
        "fewest_for_box": FEWEST_FOR_BOX,
        "has_legacy": any(view["legacy"] for view in views),
        "effects_lead": say_effects(effects) if effects else "",
        "blocks": [
            _view_block(block, f"effects-{number}" if len(blocks) > 1 else "effects", pictures)
            for number, block in enumerate(blocks, start=1)
        ],
        "methods": say_methods(runs, effects),
        "versions": say_versions(runs),
        "made": time.strftime("%Y-%m-%d %H:%M"),
    }


def _view_run(run: RunData, pictures: Pictures, *, several: bool) -> dict[str, Any]:
    prefix = f"{run.name}-" if several else ""
    shown, curves_note = _choose_panels(run)
    panels = [
        CurvePanel(point.name, [trial.epochs() for trial in point.trained], describe_curves(point))
        for point in shown
    ]
    if panels:
        alt = f"Learning curves of {len(panels)} points of {run.name}"
        pictures[f"{prefix}curves"] = draw_curve_sheet(panels, alt)
    return {
        "name": run.name,
        "brief": f"{run.study.data.layout}, {len(run.points)} points",
        "description": describe_run(run),
        "unit": _UNITS.get(run.data.get("unit", ""), ""),
        "rows": point_rows(run),
        "legacy": legacy_rows(run),
        "curves": draw_curves(panels) if panels else [],
        "curves_note": curves_note,
        "cases": _view_cases(run, f"{prefix}cases", pictures),
        "stopping": audit_stopping(run.study, run.view.entries),
        "notes": note_run(run),
    }


def _view_cases(run: RunData, name: str, pictures: Pictures) -> str | None:
    columns = {point.name: point.scores().mean(axis="columns").dropna() for point in run.points}
    scores = {point: column for point, column in columns.items() if len(column)}
    if not scores:
        return None
    alt = f"Dice of each validation case for {len(scores)} points of {run.name}"
    drawing = draw_cases(scores, alt)
    pictures[name] = drawing.png
    return drawing.svg


def _choose_panels(run: RunData) -> tuple[list[PointData], str]:
    """All points with an epoch; of a long search the best, and a word on the rest."""
    trained = [point for point in run.points if point.trained]
    if len(trained) <= MOST_PANELS:
        return trained, ""

    def best(point: PointData) -> float:
        rows = [row for trial in point.trained for row in trial.entry.rows]
        return max(row.get("dice", -math.inf) for row in rows)

    chosen = sorted(trained, key=best, reverse=True)[:MOST_PANELS]
    note = f"The {MOST_PANELS} of {len(trained)} points with the best epoch, best first."
    return chosen, note


def _view_block(block: Block, name: str, pictures: Pictures) -> dict[str, Any]:
    effects, forest = block.effects, None
    if effects:
        alt = f"Forest plot of {len(effects)} comparisons; the table below has the same numbers"
        drawing = draw_effects(effects, alt)
        pictures[name], forest = drawing.png, drawing.svg
    factors = dict.fromkeys(effect.factor for effect in effects)
    return {
        "title": block.title,
        "effects": effects,
        "forest": forest,
        "factors": [
            {"name": factor, "rows": [_view_effect(e) for e in effects if e.factor == factor]}
            for factor in factors
        ],
        "pooled": any(effect.num_pairs > 1 for effect in effects),
        "empty": "No two finished points differ in one factor alone, so nothing can be compared.",
        "notes": block.ablation.notes,
    }


def _view_effect(effect: Effect) -> dict[str, Any]:
    pooled = effect.num_pairs > 1
    between = " → ".join(effect.names)
    if effect.setting and not pooled:
        between += f"; {effect.setting}"
    return {
        "change": f"{effect.before} → {effect.after}",
        "verdict": effect.verdict,
        "holds": effect.holds,
        "pooled": pooled,
        "p": _p_value(effect.interval.p),
        "p_holm": _p_value(effect.p_holm),
        "size": f"{effect.num_cases} × {effect.num_seeds}",
        "seconds": " → ".join(as_clock(end) for end in effect.seconds),
        "memory": " → ".join(as_memory(end) for end in effect.memory_mb),
        "between": effect.setting if pooled else between,
    }


def _p_value(p: float) -> str:
    if math.isnan(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
