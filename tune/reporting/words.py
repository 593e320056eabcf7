"""The sentences of a report that are made of numbers: lead, methods, versions, figure texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tune.reporting.ablation import Effect
from tune.reporting.evidence import PointData, RunData
from tune.reporting.factors import is_augmented

__all__ = [
    "describe_curves",
    "say_curves",
    "say_effects",
    "say_lead",
    "say_methods",
    "say_published",
    "say_spread",
    "say_versions",
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
    text = f"{_count(points, 'point')}{place}, {done} of {_count(len(trials), 'trial')} complete."
    if len(runs) == 1:
        text += _say_best(runs[0])
    return f"{text} {say_effects(effects)}" if effects else text


def say_effects(effects: Sequence[Effect]) -> str:
    """How many comparisons there are, and how many found something.

    Args:
        effects: All comparisons of the report.

    Returns:
        A sentence that hides none of them.
    """
    differ = sum(effect.interval.separable for effect in effects)
    hold = sum(effect.holds for effect in effects)
    text = f"{_count(len(effects), 'comparison')}; "
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
        text += " Thin lines are seeds, the thick one is the mean of those that came furthest."
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
        Empty where no point has two complete trials, so that there is no ±.
    """
    counts = {len(point.complete) for run in runs for point in run.points}
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
    seeds = _count(len(last), "trial")
    return f"Learning curves of {point.name}, {seeds}; after {epochs} epochs: {', '.join(ends)}"


def say_methods(runs: Sequence[RunData], effects: Sequence[Effect]) -> list[str]:
    """How the figures were made, with the numbers of these runs.

    Args:
        runs: All runs of the report.
        effects: All comparisons.

    Returns:
        Paragraphs.
    """
    return [
        *[_say_training(run, named=len(runs) > 1) for run in runs],
        "Dice, precision and recall are taken per case from the voxel counts of all its slices, "
        "averaged over the cases, and then over the classes; background is no class and enters "
        "no mean. Empty masks, policy “skip”: a class that is in neither truth nor "
        "prediction of a case is not counted there, one that is marked where the truth has none "
        "counts 0, and one that no case holds has no figure. HD95 is the 95th percentile of the "
        "surface distances of both directions together; surface Dice is the share of both "
        "surfaces within 2 mm of the other, or 2 pixels of the source image where no file says "
        "how large a pixel is.",
        _say_statistics(effects, seeded=all(run.study.seeds for run in runs)),
    ]


def say_versions(runs: Sequence[RunData]) -> str:
    """What ran, as each search wrote it down when it last started.

    Args:
        runs: All runs of the report.

    Returns:
        Names and versions; where runs differ, each set once.
    """
    told = []
    for run in runs:
        for start in run.starts[-1:]:
            versions = [f"{name} {text}" for name, text in start.get("versions", {}).items()]
            commit = start.get("commit")
            parts = [*versions, f"Python {start.get('python', '?')}", str(start.get("system", "?"))]
            if not start.get("nodes"):  # of a cluster each has its own number
                parts.append(f"{start.get('cores', '?')} cores")
            told.append(", ".join([*parts, f"commit {commit[:10]}"] if commit else parts))
    return "; ".join(dict.fromkeys(told)) or "Nothing was written down yet."


def _say_best(run: RunData) -> str:
    """The point with the highest mean Dice after the last epoch."""
    scores = {point.name: point.scores().to_numpy(np.float64) for point in run.points}
    means = {name: float(np.nanmean(table)) for name, table in scores.items() if table.size}
    if not means:
        return ""
    best = max(means, key=lambda name: means[name])
    return f" Highest Dice after the last epoch: {means[best]:.3f} ({best})."


def _say_training(run: RunData, *, named: bool) -> str:
    parts = run.data.get("parts", {})
    train, val, test = (parts.get(name) for name in ("train", "val", "test"))
    seeds = run.study.seeds
    epochs = sorted({str(point.recipe.get("epochs", "?")) for point in run.points})
    text = f"{run.name}: " if named else ""
    times = f"{len(seeds)} times, once under each seed" if len(seeds) > 1 else "once"
    text += f"each recipe was trained {times}, for {' or '.join(epochs) or '?'} epochs"
    if train and val:
        text += (
            f" on {_count(train['cases'], 'case')} ({_count(train['slices'], 'slice')} of "
            f"{_count(train['patients'], 'patient')}) and scored on {_count(val['cases'], 'case')} "
            f"({_count(val['slices'], 'slice')} of {_count(val['patients'], 'patient')})"
        )
    if run.splits is not None:
        text += f", divided by {run.splits.by}"
    text += "."
    if test and test["cases"]:
        text += f" {_count(test['cases'], 'case')} stay locked away for a test."
    if val and val["cases"] > val["patients"]:
        text += (
            " The cases are more than the patients: intervals take the cases of one patient for "
            "independent, so they are somewhat too narrow."
        )
    return text if named else text[0].upper() + text[1:]


def _say_statistics(effects: Sequence[Effect], *, seeded: bool) -> str:
    if not effects:
        return "Nothing was compared."
    one_seed = any(effect.num_seeds == 1 for effect in effects)
    text = (
        "What mattered: two points that differ in exactly one factor are compared on the network "
        "after the last epoch. A case’s Dice is the mean over the classes that its truth holds. "
    )
    if seeded:
        text += (
            "Its change is taken within the same seed, under which both trainings started alike "
            "and saw the data in the same order. "
        )
    else:
        text += "Each training had a seed of its own, so chance in training is part of a change. "
    text += (
        "The interval is for other cases and other trainings at once: seeds and cases are crossed "
        "random effects, each mean square has the t quantile of its own degrees of freedom, and "
        "the interval is never narrower than the paired t interval over the cases' means."
    )
    text += " A mean over pairs is treated in the same way, on the seeds and cases of all."
    if one_seed:
        text += (
            " Where there is one seed this is the paired t interval over cases: it says what other "
            "patients would give, and nothing about another training."
        )
    return f"{text} Nothing was left out for its result. {say_effects(effects)}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
