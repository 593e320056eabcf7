"""Sections: which parts a page has, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SECTIONS", "Section", "choose_sections"]


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Args:
        name: Its anchor.
        title: In the list of contents.
        part: The run's part that it shows; without it in any run the section is left out.
            Empty for one that is always there.
        template: Its file is ``_<template>.html.j2``; empty for that of its name.
    """

    name: str
    title: str
    part: str = ""
    template: str = ""


SECTIONS = (
    Section("run", "What was run"),
    Section("data", "Data and split", "data_section"),
    Section("leaderboard", "Leaderboard", "board"),
    Section("results", "Results"),
    Section("confirm", "Confirmed", "confirm"),
    Section("effects", "What mattered", "effects"),
    Section("parameters", "Parameters", "parameters"),
    Section("curves", "Learning curves"),
    Section("stopping", "Early stopping", "stopping"),
    Section("costs", "What a score costs", "costs"),
    Section("cases", "Case by case"),
    Section("pictures", "Pictures", "overlays", "overlays"),
    Section("empties", "False alarms", "empties"),
    Section("prices", "Predicted and actual", "prices"),
    Section("lab", "As a notebook would have scored", "legacy"),
    Section("reliability", "Reliability", "reliability"),
    Section("notes", "Notes"),
    Section("methods", "Methods"),
)
_GRID_FIRST = ("results", "leaderboard")


def choose_sections(views: Sequence[Mapping[str, Any]], *, grid: bool) -> list[Section]:
    """The sections that have something to show.

    Args:
        views: What the page shows of each run.
        grid: Is every run a grid? Then its rows come before its trials.

    Returns:
        In the order of the page.
    """
    chosen = [one for one in SECTIONS if not one.part or any(view[one.part] for view in views)]
    if not grid:
        return chosen
    swap = dict(zip(_GRID_FIRST[::-1], _GRID_FIRST, strict=True))
    by_name = {one.name: one for one in chosen}
    return [by_name.get(swap.get(one.name, one.name), one) for one in chosen]
