"""Honest figures beside those of the lab's notebooks, as rows of text."""

from __future__ import annotations

from dataclasses import dataclass

from tune.reporting.evidence import RunData
from tune.reporting.tables import ALL, OVERLAP, last_figures, say_spreads

__all__ = ["LegacyRow", "legacy_rows"]


@dataclass(frozen=True)
class LegacyRow:
    """One network, scored honestly and as the lab's notebooks did.

    Args:
        point: Name of the point.
        honest: Dice, precision and recall per case.
        batch: The same, all pixels of a batch in one pot.
        with_background: The same with background as a class.
    """

    point: str
    honest: tuple[str, ...]
    batch: tuple[str, ...]
    with_background: tuple[str, ...]


def legacy_rows(run: RunData) -> list[LegacyRow]:
    """Honest figures beside the lab's, for the points that have both.

    Args:
        run: The run.

    Returns:
        A line per point.
    """
    rows = []
    with_background = [f"batch_{name}_with_background" for name in OVERLAP]
    for point in run.points:
        done = [trial for trial in point.complete if trial.legacy is not None]
        if not done:
            continue
        honest = [last_figures(trial)[ALL] for trial in done]
        lab = [trial.legacy for trial in done if trial.legacy is not None]
        rows.append(
            LegacyRow(
                point=point.name,
                honest=say_spreads(honest, OVERLAP, digits=4),
                batch=say_spreads(lab, [f"batch_{name}" for name in OVERLAP], digits=4),
                with_background=say_spreads(lab, with_background, digits=4),
            )
        )
    return rows
