from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.tune.reporting.runs import epoch_row
from tests.tune.reporting.test_ablation import point
from tune.reporting.ablation import Effect, find_effects, signed
from tune.reporting.figures import (
    FEWEST_FOR_BOX,
    CurvePanel,
    draw_cases,
    draw_curve_sheet,
    draw_curves,
    draw_effects,
)


def epochs(*scores: float) -> pd.DataFrame:
    return pd.DataFrame([epoch_row(epoch, score) for epoch, score in enumerate(scores, start=1)])


@pytest.fixture
def panels() -> list[CurvePanel]:
    return [
        CurvePanel("1a", [epochs(0.1, 0.5, 0.6), epochs(0.2, 0.4)], "Curves of 1a"),
        CurvePanel("$5 & <b>", [epochs(0.3)], 'Curves of "$5"'),
    ]


@pytest.fixture
def effects() -> tuple[Effect, ...]:
    points = [
        point("a", 0.8, loss="bce"), point("b", 0.9, loss="dice"),
        point("c", 0.8, loss="bce", norm="none"), point("d", 0.9, loss="dice", norm="none"),
    ]  # fmt: skip
    return find_effects(points).effects


def texts(svg: str) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext())


def assert_sound(svg: str, alt: str) -> None:
    """Well-formed, spoken, scaled and recoloured by the page; refers to itself alone."""
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == alt
    assert root.get("viewBox")
    assert root.get("width") is None
    assert "var(--ink, #" in svg
    assert not re.search(r"(?<!, )#[0-9a-f]{6}\b", svg), "a colour that no page can change"
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(set(ids)) == len(ids)
    used = re.findall(r'(?:href="#|url\(#)([^")]*)', svg)
    assert set(used) <= set(ids)


def assert_printable(png: bytes, alt: str) -> None:
    with Image.open(io.BytesIO(png)) as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.info["Description"] == alt


def test_each_point_has_a_panel_of_curves(panels: list[CurvePanel]) -> None:
    drawings = draw_curves(panels)
    for svg, panel in zip(drawings, panels, strict=True):
        assert_sound(svg, panel.alt)
        assert panel.name in texts(svg)
        assert "validation" in texts(svg)


def test_panels_have_the_same_axes(panels: list[CurvePanel]) -> None:
    ticks = [re.findall(r">(\d\.\d+)</text>", svg) for svg in draw_curves(panels)]
    assert ticks[0] == ticks[1]
    assert len(ticks[0]) > 4


def test_names_in_two_figures_never_meet(panels: list[CurvePanel]) -> None:
    first, second = (re.findall(r'\bid="([^"]*)"', svg) for svg in draw_curves(panels))
    assert not set(first) & set(second)


def test_figure_is_the_same_every_time(panels: list[CurvePanel]) -> None:
    assert draw_curves(panels[1:]) == draw_curves(panels[1:])


@pytest.mark.parametrize("count", [1, 4])
def test_sheet_is_drawn_for_any_number_of_points(panels: list[CurvePanel], count: int) -> None:
    many = [CurvePanel(f"point {n}", panels[0].seeds, "") for n in range(count)]
    sheet = draw_curve_sheet(many, "All curves")
    assert_printable(sheet, "All curves")


def test_curves_of_an_older_run_lack_what_it_did_not_record() -> None:
    table = epochs(0.1, 0.2).drop(columns=["train_dice", "val_loss"])
    (svg,) = draw_curves([CurvePanel("old", [table], "Curves of old")])
    assert_sound(svg, "Curves of old")


def test_forest_plot_has_a_line_of_text_for_each_effect(effects: tuple[Effect, ...]) -> None:
    drawing = draw_effects(effects, "Forest plot")
    assert_sound(drawing.svg, "Forest plot")
    assert_printable(drawing.png, "Forest plot")
    said = texts(drawing.svg)
    assert said.count("bce → dice") == 3
    assert said.count("batch → none") == 3
    for effect in effects:
        assert signed(effect.interval.estimate) in said


def test_effect_without_an_interval_is_drawn_as_a_dot() -> None:
    pair = [
        point(name, 0.8, cases=["x"], loss=loss) for name, loss in (("a", "bce"), ("b", "dice"))
    ]
    assert "(one case)" in texts(draw_effects(find_effects(pair).effects, "Forest plot").svg)


def test_cases_are_drawn_for_each_point() -> None:
    scores = {"1a": pd.Series(np.linspace(0.5, 0.9, 20)), "one case": pd.Series([0.7])}
    few = {name: series.iloc[: FEWEST_FOR_BOX - 1] for name, series in scores.items()}
    medians = [len(re.findall(r"stroke-width: 2\b[^.]", draw_cases(each, "").svg))
               for each in (few, scores)]  # fmt: skip
    assert medians == [0, 1]
    drawing = draw_cases(scores, "Cases")
    assert_sound(drawing.svg, "Cases")
    assert_printable(drawing.png, "Cases")
    assert "one case" in texts(drawing.svg)
