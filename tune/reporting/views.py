"""What the templates read: every run of a report as plain values, figures as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tune.leaderboard import as_clock
from tune.reporting.ablation import Effect
from tune.reporting.citation import cite
from tune.reporting.comparisons import Block, compare
from tune.reporting.confirm_section import view_confirm
from tune.reporting.data_section import view_data
from tune.reporting.drawing import Drawing
from tune.reporting.early_stopping import audit_stopping
from tune.reporting.empties import view_empties
from tune.reporting.evidence import PointData, RunData
from tune.reporting.figures import (
    FEWEST_FOR_BOX,
    CurvePanel,
    draw_cases,
    draw_curve_sheet,
    draw_curves,
    draw_effects,
)
from tune.reporting.headline import show_progress, show_tiles
from tune.reporting.legacy_table import legacy_rows
from tune.reporting.methods import say_methods, say_versions
from tune.reporting.notes import describe_run, note_run, warn_run
from tune.reporting.overlays import view_overlays
from tune.reporting.prices import view_prices
from tune.reporting.reliability import log_reliability
from tune.reporting.search_view import Show, view_costs, view_parameters, view_tracks
from tune.reporting.sections import choose_sections
from tune.reporting.tables import NONE, as_memory, point_rows
from tune.reporting.trials import list_trials
from tune.reporting.words import (
    count,
    describe_curves,
    say_curves,
    say_effects,
    say_lead,
    say_published,
    say_spread,
)

__all__ = ["Pictures", "build_context"]

MOST_PANELS = 24
_MOST_EFFECTS = 150
_MOST_PANELS_OF_SEARCH = 8  # its trials are all in one figure, too

_TOLD = ("Data", "Images", "Split")  # in the section on the data, where there is one
_UNITS = {"mm": "mm", "px": "source px"}  # of a distance, whatever the images were scaled to

Pictures = dict[str, bytes]


def build_context(title: str, runs: Sequence[RunData], pictures: Pictures) -> dict[str, Any]:
    """Everything that the templates read.

    Args:
        title: Name of the folder.
        runs: All runs of the report.
        pictures: Where the figures go, name to PNG.

    Returns:
        Name to value.
    """
    several = len(runs) > 1
    blocks = compare(runs)
    effects = [effect for block in blocks for effect in block.effects]
    views = [_view_run(run, pictures, effects, several=several) for run in runs]
    grid = all(run.study.method == "grid" for run in runs)
    return {
        "title": title,
        "kind": "ablation report" if grid else "report of a search",
        "lead": say_lead(runs, effects) + _say_confirmed(views),
        "warnings": list(dict.fromkeys(text for run in runs for text in warn_run(run))),
        "progress": show_progress(runs),
        "several": several,
        "runs": views,
        "sections": choose_sections(views, grid=grid),
        "curves_lead": say_curves(runs),
        "fewest_for_box": FEWEST_FOR_BOX,
        **_view_results(runs, views),
        **_view_effects(blocks, effects, pictures),
        "methods": say_methods(runs, effects),
        "bibtex": cite(runs, importance=any(view["parameters"] for view in views)),
        "versions": say_versions(runs),
    }


def _say_confirmed(views: Sequence[dict[str, Any]]) -> str:
    """What a confirmation advises, for the head of the page."""
    advice = views[0]["confirm"]["advice"] if len(views) == 1 and views[0]["confirm"] else ""
    return f" Confirmed: {advice[0].lower()}{advice[1:]}" if advice else ""


def _view_results(runs: Sequence[RunData], views: Sequence[dict[str, Any]]) -> dict[str, Any]:
    units = {view["unit"] for view in views}
    published = any(row.published not in ("", NONE) for view in views for row in view["rows"])
    return {
        "unit": units.pop() if len(units) == 1 else "",
        "has_published": published,
        "num_columns": 11 if published else 10,
        "published_notes": say_published(runs),
        "spread": say_spread(runs),
    }


def _view_effects(
    blocks: Sequence[Block], effects: Sequence[Effect], pictures: Pictures
) -> dict[str, Any]:
    return {
        "effects_lead": say_effects(effects) if effects else "",
        "blocks": [
            _view_block(block, f"effects-{number}" if len(blocks) > 1 else "effects", pictures)
            for number, block in enumerate(blocks, start=1)
        ],
    }


def _view_run(
    run: RunData, pictures: Pictures, effects: Sequence[Effect], *, several: bool
) -> dict[str, Any]:
    prefix = f"{run.name}-" if several else ""

    def show(name: str, drawing: Drawing) -> str:
        pictures[f"{prefix}{name}"] = drawing.png
        return drawing.svg

    is_grid = run.study.method == "grid"
    board = list_trials(run)
    audit, told = audit_stopping(run.study, run.view.entries), view_data(run)
    return {
        "name": run.name,
        "brief": f"{run.study.data.layout}, {count(len(run.points), 'point')}",
        "description": [line for line in describe_run(run) if not told or line[0] not in _TOLD],
        "data_section": told,
        "unit": _UNITS.get(run.data.get("unit", ""), ""),
        "tiles": show_tiles(run, board, audit, effects),
        "board": board if board.lines else None,
        "rows": [row for row in point_rows(run) if is_grid or row.finished],
        "is_grid": is_grid,
        "effects": is_grid or bool(effects),
        "parameters": view_parameters(run, board, show),
        "tracks": view_tracks(run, board, audit, show),
        **_view_curves(run, prefix, pictures),
        "stopping": audit,
        "costs": view_costs(board, show),
        "cases": _view_cases(run, show),
        "overlays": view_overlays(run),
        "empties": view_empties(run),
        "confirm": view_confirm(run),
        "prices": view_prices(run),
        "legacy": legacy_rows(run),
        "reliability": log_reliability(run),
        "notes": note_run(run),
    }


def _view_curves(run: RunData, prefix: str, pictures: Pictures) -> dict[str, Any]:
    shown, note = _choose_panels(run)
    panels = [
        CurvePanel(point.name, [trial.epochs() for trial in point.trained], describe_curves(point))
        for point in shown
    ]
    if panels:
        alt = f"Learning curves of {len(panels)} points of {run.name}"
        pictures[f"{prefix}curves"] = draw_curve_sheet(panels, alt)
    return {"curves": draw_curves(panels) if panels else [], "curves_note": note}


def _view_cases(run: RunData, show: Show) -> str | None:
    columns = {point.name: point.scores().mean(axis="columns").dropna() for point in run.points}
    scores = {point: column for point, column in columns.items() if len(column)}
    if not scores:
        return None
    alt = f"Dice of each validation case for {len(scores)} points of {run.name}"
    return show("cases", draw_cases(scores, alt))


def _choose_panels(run: RunData) -> tuple[list[PointData], str]:
    """All points with an epoch; of a long search the best, and a word on the rest."""
    trained = [point for point in run.points if point.trained]
    most = MOST_PANELS if run.study.method == "grid" else _MOST_PANELS_OF_SEARCH
    if len(trained) <= most:
        return trained, ""

    def best(point: PointData) -> float:
        rows = [row for trial in point.trained for row in trial.entry.rows]
        return max(row.get("dice", -math.inf) for row in rows)

    chosen = sorted(trained, key=best, reverse=True)[:most]
    note = f"The {most} of {len(trained)} points with the best epoch, best first."
    return chosen, note


def _view_block(block: Block, name: str, pictures: Pictures) -> dict[str, Any]:
    effects, forest = _choose_effects(block.effects), None
    few = "" if len(effects) == len(block.effects) else (
        f"{len(effects)} of {len(block.effects):,} comparisons are shown, means over pairs first; "
        "p values are corrected for all of them."
    )  # fmt: skip
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
        "notes": [few, *block.ablation.notes] if few else block.ablation.notes,
    }


def _choose_effects(effects: Sequence[Effect]) -> Sequence[Effect]:
    """All, but of very many those that say most, in the same order."""
    if len(effects) <= _MOST_EFFECTS:
        return effects

    def rank(place: int) -> tuple[bool, bool, float]:
        p = effects[place].p_holm
        return effects[place].num_pairs == 1, math.isnan(p), p

    places = sorted(range(len(effects)), key=rank)[:_MOST_EFFECTS]
    return [effects[place] for place in sorted(places)]


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
