"""The section on the confirmation: what was found, and each opening of the locked test part."""

from __future__ import annotations

from typing import Any

from tune.leaderboard import as_clock
from tune.reporting.confirmation import (
    Contest,
    Finding,
    FoundRecipe,
    Opening,
    confirmed_run,
    load_finding,
    load_openings,
    tell_openings,
)
from tune.reporting.evidence import RunData
from tune.reporting.words import count

__all__ = ["view_confirm"]


def view_confirm(run: RunData) -> dict[str, Any] | None:
    """What a report of a search, or of its confirmation, says of both.

    Args:
        run: The run.

    Returns:
        What the template shows; None before a confirmation has ended.

    Raises:
        RunError: A file is damaged.
    """
    folder = confirmed_run(run.view.folder.path)
    finding, openings = load_finding(folder), load_openings(folder)
    if finding is None and not openings:
        return None
    num_openings = len(openings)
    return {
        "warning": tell_openings(openings),
        "unopened": _say_unopened(run) if not openings else "",
        "openings": [
            _view_opening(one, f" ({place} of {num_openings})" if num_openings > 1 else "")
            for place, one in enumerate(openings, 1)
        ],
        **({"advice": "", "notes": ()} if finding is None else _view_finding(finding)),
    }


def _say_unopened(run: RunData) -> str:
    if run.splits is not None and not run.splits.test:
        return "No part of the data was locked away, so there is no test to open."
    return "The locked test part was not opened."


def _view_finding(finding: Finding) -> dict[str, Any]:
    seeds, folds = count(len(finding.seeds), "seed"), count(len(finding.folds), "fold")
    epochs = " or ".join(map(str, finding.epochs))
    patients = count(finding.patients, "patient")
    how = (
        f"Each recipe was trained anew under {seeds} with {folds}, for {epochs} epochs, and none "
        f"was stopped early. {_say_scored(finding, patients)}, after the last epoch. Intervals "
        "are for other trainings and other patients at once: a bootstrap over seeds and patients, "
        "or crossed random effects where these are wider, as few seeds "
        f"tell little. p is corrected for {count(len(finding.contests), 'comparison')}. "
    )
    if 0 < finding.chosen_by == finding.patients:
        how += (
            "By all of these patients the search chose its winner, so on them it looks better than "
            "it is, and no difference counts here: only the locked test part could show one."
        )
    elif finding.chosen_by:
        how += (
            f"By {finding.chosen_by} of these patients the search chose its winner, so on them it "
            "looks better than it is: a difference counts only if it holds without them, too."
        )
    return {
        "title": f"Dice after the last epoch on {patients}, {seeds} × {folds}"
        + (", ± SD over seeds" if len(finding.seeds) > 1 else ""),
        "how": how,
        "advice": finding.advice[:1].upper() + finding.advice[1:] + ".",
        "notes": finding.notes,
        "recipes": [_view_recipe(one) for one in finding.recipes],
        "contests": [_view_contest(one) for one in finding.contests],
    }


def _say_scored(finding: Finding, patients: str) -> str:
    if finding.by == "slice":
        return f"Slices of {patients} were scored by networks that had seen OTHERS of the patient"
    return f"Each of {patients} was scored by networks that had not seen it"


def _view_opening(opening: Opening, which: str) -> dict[str, Any]:
    networks = count(opening.num_networks, "confirmed network")
    how = f"{count(opening.patients, 'patient')}, scored by {networks} after their last epoch. "
    how += "A patient’s Dice under a seed is the mean over the networks of all folds."
    if not opening.done:
        how = "It was begun, and not finished: segtune confirm with --open-test goes on."
    return {
        "head": f"The locked test part, opened {opening.at} by {opening.by}{which}",
        "how": how,
        "title": f"Dice on {count(opening.patients, 'patient')} of the test part",
        "recipes": [_view_recipe(one) for one in opening.recipes],
        "contests": [_view_contest(one) for one in opening.contests],
    }


def _view_recipe(one: FoundRecipe) -> dict[str, Any]:
    return {
        "name": one.name,
        "trial": one.trial,
        "dice": "–" if one.dice is None else f"{one.dice:.3f}",
        "spread": "" if one.spread is None else f"{one.spread:.3f}",
        "networks": f"{one.trained} of {one.planned}",
        "time": "–" if one.seconds is None else as_clock(one.seconds),
        "settings": one.settings,
    }


def _view_contest(one: Contest) -> dict[str, Any]:
    p = "–"
    if one.p_holm is not None:
        p = "< 0.001" if one.p_holm < 0.001 else f"{one.p_holm:.3f}"
    return {
        "name": one.name,
        "other": one.other,
        "verdict": one.verdict,
        "holds": one.holds,
        "p": p,
    }
