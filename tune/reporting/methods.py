"""Methods: how the figures of a report were made, with the numbers of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tune.reporting.ablation import Effect
from tune.reporting.confirmation import confirmed_run, load_finding, load_openings
from tune.reporting.evidence import RunData
from tune.reporting.factors import in_words
from tune.reporting.words import count, say_effects

__all__ = ["say_methods", "say_versions"]

_METHODS = {
    "random": "random search",
    "bayes": "Optuna's tree-structured Parzen estimator (multivariate, constant liar)",
    "gp": "Optuna's Gaussian process",
    "cmaes": "CMA-ES",
}
_RULES = {
    "asha": "Asynchronous successive halving",
    "hyperband": "Hyperband",
    "median": "The median rule",
    "patience": "A rule of patience",
}
_OF_TRIALS = (
    "A trial's interval is the 95 % t interval over the validation cases of its best epoch, each "
    "case weighed by the classes that it holds: it tells of other cases, not of another training, "
    "and not of the choice of the best trial among many, which makes its score too high. "
    "Importance is that of PED-ANOVA, held against the 95th percentile of 60 analyses with the "
    "scores dealt out anew."
)


def say_methods(runs: Sequence[RunData], effects: Sequence[Effect]) -> list[str]:
    """How the figures were made, with the numbers of these runs.

    Args:
        runs: All runs of the report.
        effects: All comparisons.

    Returns:
        Paragraphs.
    """
    return [
        *[_say_search(run) for run in runs if run.study.method != "grid"],
        *[_say_training(run, named=len(runs) > 1) for run in runs],
        *[text for run in runs for text in _say_confirmation(run)],
        "Dice, precision and recall are taken per case from the voxel counts of all its slices, "
        "averaged over the cases, and then over the classes; background is no class and enters "
        "no mean. Empty masks, policy “skip”: a class that is in neither truth nor "
        "prediction of a case is not counted there, one that is marked where the truth has none "
        "counts 0, and one that no case holds has no figure. HD95 is the 95th percentile of the "
        "surface distances of both directions together; surface Dice is the share of both "
        "surfaces within 2 mm of the other, or 2 pixels of the source image where no file says "
        "how large a pixel is.",
        *([_OF_TRIALS] if any(run.study.method != "grid" for run in runs) else []),
        *([_say_statistics(runs, effects)] if effects else []),
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


def _say_search(run: RunData) -> str:
    study = run.study
    trials = [trial for point in run.points for trial in point.trials]
    stopped = sum(trial.entry.state == "PRUNED" for trial in trials)
    varied = [name for name in study.space.names if study.space[name].domain.grid() is None
              or len(study.space[name].domain.grid() or ()) > 1]  # fmt: skip
    text = (
        f"{count(len(varied), 'parameter')} ({', '.join(map(in_words, varied))}) "
        f"{'was' if len(varied) == 1 else 'were'} searched by {_METHODS[study.method]} for the "
        f"{'highest' if study.metric.goal == 'maximize' else 'lowest'} validation "
        f"{study.metric.name}; the default recipe was the first of {count(len(trials), 'trial')}."
    )
    rule = study.early_terminate
    if rule.type in _RULES:
        rungs = ", ".join(map(str, study.rungs()))
        at = f" (compared after epoch {rungs}; about one in {rule.eta} goes on)" if rungs else ""
        text += f" {_RULES[rule.type]}{at} stopped {stopped} of them before their last epoch."
    return text


def _say_training(run: RunData, *, named: bool) -> str:
    parts = run.data.get("parts", {})
    train, val, test = (parts.get(name) for name in ("train", "val", "test"))
    seeds = run.study.seeds
    epochs = sorted({str(point.recipe.get("epochs", "?")) for point in run.points})
    text = f"{run.name}: " if named else ""
    times = f"{len(seeds)} times, once under each seed" if len(seeds) > 1 else "once"
    if (folds := run.study.folds) and folds != "all":
        times += f" with each of {count(len(folds), 'fold')}"
    text += f"each recipe was trained {times}, for {' or '.join(epochs) or '?'} epochs"
    if train and val:
        text += _say_parts(run, train, val)
    if run.splits is not None:
        text += f", divided by {run.splits.by}"
    text += "."
    if test and test["cases"]:
        text += f" {count(test['cases'], 'case')} {_say_locked(run)}."
    if val and val["cases"] > val["patients"]:
        text += (
            " The cases are more than the patients: intervals take the cases of one patient for "
            "independent, so they are somewhat too narrow."
        )
    return text if named else text[0].upper() + text[1:]


def _say_locked(run: RunData) -> str:
    openings = load_openings(confirmed_run(run.view.folder.path))
    if not openings:
        return "stay locked away for a test"
    first = openings[0]
    scored = f"when {count(first.num_networks, 'network')} of the confirmation scored them"
    again = f"; opened {len(openings)} times in all" if len(openings) > 1 else ""
    return f"were locked away for a test until {first.at}, {scored}{again}"


def _say_confirmation(run: RunData) -> list[str]:
    """What was trained again after the search, and what it and the test part told."""
    folder = confirmed_run(run.view.folder.path)
    finding, openings = load_finding(folder), load_openings(folder)
    if finding is None or folder != run.view.folder.path:
        return []
    recipes = ", ".join(one.name for one in finding.recipes)
    text = (
        f"Confirmation: {recipes} were trained anew under {count(len(finding.seeds), 'seed')} with "
        f"each of {count(len(finding.folds), 'fold')}, to the last epoch, and compared on "
        f"{count(finding.patients, 'patient')} in pairs; intervals are for other seeds and other "
        "patients, p values corrected after Holm. "
    )
    text += " ".join(f"The {one.name} was {one.verdict}." for one in finding.contests)
    for one in (one for opening in openings[:1] if opening.done for one in opening.contests):
        text += f" On the test part the {one.name} was {one.verdict}."
    return [text]


def _say_parts(run: RunData, train: Mapping[str, int], val: Mapping[str, int]) -> str:
    """What was trained on and what scores."""
    both = {name: train[name] + val[name] for name in train}
    if run.study.folds == "all":
        return f" on {_say_size(both)}, and scored on {_say_size(val)} of these, which it has seen"
    if run.study.folds:
        size = "" if run.splits is None or run.splits.fold_trains else f" of {_say_size(both)}"
        return f"; each fold{size} is scored by the networks that were trained on the others"
    return f" on {_say_size(train)} and scored on {_say_size(val)}"


def _say_size(part: Mapping[str, int]) -> str:
    return (
        f"{count(part['cases'], 'case')} ({count(part['slices'], 'slice')} of "
        f"{count(part['patients'], 'patient')})"
    )


def _say_statistics(runs: Sequence[RunData], effects: Sequence[Effect]) -> str:
    one_seed = any(effect.num_seeds == 1 for effect in effects)
    text = (
        "What mattered: two points that differ in exactly one factor are compared on the network "
        "after the last epoch. A case’s Dice is the mean over the classes that its truth holds. "
    )
    if all(run.study.seeds for run in runs):
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
