"""The sentences of a report that are made of numbers: lead, comparisons, figure texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tune.reporting.ablation import Effect
from tune.reporting.evidence import PointData, RunData
from tune.reporting.factors import is_augmented
from tune.reporting.tables import last_dice

__all__ = [
    "count",
    "describe_curves",
    "say_curves",
    "say_effects",
    "say_lead",
    "say_published",
    "say_spread",
]


def say_lead(runs: Sequence[RunData], effects: Sequence[Effect]) -> str:
    """What there is, in two sentences.

    Args:
        runs: All runs of the report.
        effects: All comparisons.

    Returns:
        For the head of the page.
    """
    trials = [trial for run in runs for point in run.points for trial in point.trials]
    done = sum(trial.complete for trial in trials)
    points = sum(len(run.points) for run in runs)
    place = f" in {len(runs)} studies" if len(runs) > 1 else ""
    text = f"{count(points, 'point')}{place}, {done} of {count(len(trials), 'trial')} complete."
    searched = all(run.study.method != "grid" for run in runs)
    if searched:
        text = f"{count(len(trials), 'trial')}{place}, {done} complete."
    if len(runs) == 1:
        text += _say_best(runs[0])
    # two trials of a search differ in one factor by chance: no sentence for the head
    return f"{text} {say_effects(effects)}" if effects and not searched else text


def say_effects(effects: Sequence[Effect]) -> str:
    """How many comparisons there are, and how many found something.

    Args:
        effects: All comparisons of the report.

    Returns:
        A sentence that hides none of them.
    """
    differ = sum(effect.interval.separable for effect in effects)
    hold = sum(effect.holds for effect in effects)
    text = f"{count(len(effects), 'comparison')}; "
    if len(effects) == 1:
        text += f"it {'differs' if differ else 'does not differ'} from 0 (95 %)"
    else:
        text += f"{differ or 'none'} {'differ' if differ > 1 else 'differs'} from 0 (95 %)"
    if not differ:
        return f"{text}."
    also = "also" if hold == differ else f"{hold} of them also" if hold else "but not"
    corrected = sum(effect.interval.known for effect in effects)
    return f"{text}, {also} after Holm's correction for {corrected}."


def say_curves(runs: Sequence[RunData]) -> str:
    """How to read the learning curves, told of what these recipes have.

    Args:
        runs: All runs of the report.

    Returns:
        For above the panels.
    """
    trained = [point for run in runs for point in run.points if point.trained]
    recipes = [point.recipe for point in trained]
    ways = {
        "on augmented images": [is_augmented(recipe) for recipe in recipes],
        "with dropout": [bool(recipe.get("dropout")) for recipe in recipes],
    }
    told = [
        way if all(has) else f"{way} (where the point has {'them' if 'images' in way else 'it'})"
        for way, has in ways.items()
        if any(has)
    ]
    text = "Loss and Dice over the epochs. Dashed: training"
    text += (
        f", {' and '.join(told)}; solid: validation, always without."
        if told
        else ("; solid: validation.")
    )
    if any(len(point.trained) > 1 for point in trained):
        word = "trials of a seed and a fold" if any(run.study.folds for run in runs) else "seeds"
        text += f" Thin lines are {word}, the thick one is the mean of those that came furthest."
    return text


def say_published(runs: Sequence[RunData]) -> list[str]:
    """Where the published scores come from, or why they are not shown.

    Args:
        runs: All runs of the report.

    Returns:
        A sentence for each source.
    """
    names: dict[str, list[str]] = {}
    for run in runs:
        published = run.study.published
        if run.phantom and published.scores:
            note = "not shown, as phantoms' scores beside patients' scores would compare nothing."
        else:
            note = published.note
        names.setdefault(note, []).append(run.name)
    names.pop("", None)
    return [
        f"Published scores{' of ' + ', '.join(of) if len(of) < len(runs) else ''}: {note}"
        for note, of in names.items()
    ]


def say_spread(runs: Sequence[RunData]) -> str:
    """What stands behind the ±, as short as a table's head wants it.

    Args:
        runs: All runs of the report.

    Returns:
        Empty where no point has two seeds, so that there is no ±.
    """
    counts = {
        len({trial.column for trial in point.complete} if run.study.folds else point.complete)
        for run in runs
        for point in run.points
    }
    if max(counts, default=0) < 2:
        return ""
    same = len(counts) == 1
    return f"± SD over {counts.pop()} seeds" if same else "± SD over seeds"


def describe_curves(point: PointData) -> str:
    """A panel of learning curves for those who cannot see it.

    Args:
        point: A point with at least one epoch.

    Returns:
        Where the curves end.
    """
    last = [trial.entry.rows[-1] for trial in point.trained]
    epochs = max(len(trial.entry.rows) for trial in point.trained)
    words = (
        *(("train_loss", "training loss"), ("val_loss", "validation loss")),
        *(("train_dice", "training Dice"), ("dice", "validation Dice")),
    )
    ends = [
        f"{word} {sum(row[name] for row in last) / len(last):.3f}"
        for name, word in words
        if all(name in row for row in last)
    ]
    seeds = count(len(last), "trial")
    return f"Learning curves of {point.name}, {seeds}; after {epochs} epochs: {', '.join(ends)}"


def _say_best(run: RunData) -> str:
    """The point with the highest mean Dice after the last epoch, as the main table has it."""
    means = {point.name: last_dice(point) for point in run.points}
    known = {name: mean for name, mean in means.items() if not math.isnan(mean)}
    if not known:
        return ""
    best = max(known, key=lambda name: known[name])
    return f" Highest Dice after the last epoch: {known[best]:.3f} ({best})."


def count(number: int, word: str) -> str:
    """``1 case`` or ``2 cases``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
