"""What a confirmation comes to: its networks' scores by patient, verdicts, and a table of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from seglib.data.splits import Splits
from tune.candidates import Candidate, list_chosen
from tune.entries import recipe_key
from tune.leaderboard import as_clock
from tune.reporting.ablation import case_scores, signed
from tune.reporting.confirmation import Contest, Finding, FoundRecipe, known, to_contests
from tune.reporting.evidence import RunData, TrialData
from tune.reporting.verdicts import DEFAULT, WINNER, Contender, compare_all, recommend
from tune.reporting.words import count
from tune.study import StudyFile
from tune.study_parts import LOSSES, Metric

__all__ = ["Networks", "conclude", "list_networks", "score_patients", "show_contests",
           "show_finding", "to_found"]  # fmt: skip


_WIDTHS = {"recipe": 11, "Dice": 6}


@dataclass(frozen=True, eq=False)
class Networks:
    """A candidate with all that was trained of it.

    Args:
        candidate: The recipe.
        trials: Those that trained to their end, under the seeds and folds asked for now.
        planned: How many there should be.
    """

    candidate: Candidate
    trials: tuple[TrialData, ...]
    planned: int

    @property
    def seconds(self) -> float:
        """Mean time of a training."""
        times = [trial.seconds for trial in self.trials]
        return sum(times) / len(times) if times else math.nan

    def contend(self, scores: pd.DataFrame) -> Contender:
        """With the scores of its patients."""
        times = [trial.seconds for trial in self.trials]
        error = statistics.stdev(times) / math.sqrt(len(times)) if len(times) > 1 else 0.0
        return Contender(self.candidate.name, scores, self.seconds, error)


def list_networks(confirmed: RunData, candidates: Sequence[Candidate]) -> list[Networks]:
    """The networks of each candidate.

    Args:
        confirmed: The run directory of the confirmation.
        candidates: In their order.

    Returns:
        One for each, also where nothing was trained.
    """
    wanted = set(confirmed.study.trainings)
    found: dict[str, list[TrialData]] = {}
    for point in confirmed.points:
        for trial in point.complete:
            if trial.final is not None and (trial.entry.seed, trial.entry.fold) in wanted:
                found.setdefault(recipe_key(point.recipe), []).append(trial)
    return [
        Networks(one, tuple(found.get(recipe_key(one.recipe), ())), len(wanted))
        for one in candidates
    ]


def score_patients(
    finals: Sequence[tuple[int, pd.DataFrame]], patients: Mapping[str, str]
) -> pd.DataFrame:
    """Dice of each patient, the mean over the cases and over the networks that scored it.

    Args:
        finals: A seed and what a network of it scored, per case and class.
        patients: Case -> its patient.

    Returns:
        A row per patient, a column per seed; empty without a network.
    """
    parts: dict[int, list[pd.Series[float]]] = {}
    for seed, final in finals:
        parts.setdefault(seed, []).append(case_scores(final))
    columns = {}
    for seed, scores in parts.items():
        cases = pd.concat(scores).groupby(level=0).mean()
        columns[seed] = cases.groupby(cases.index.map(patients)).mean()
    return pd.DataFrame(columns).sort_index() if columns else pd.DataFrame()


def conclude(
    confirmed: RunData,
    candidates: Sequence[Candidate],
    splits: Splits,
    index: pd.DataFrame,
    *,
    searched: StudyFile,
    search: str,
) -> Finding:
    """Compare the candidates on the patients that their networks have not seen.

    Args:
        confirmed: The run directory of the confirmation.
        candidates: In their order, the default first.
        splits: Of the search: it chose by the validation part, or by folds.
        index: Of the prepared data, with ``case`` and ``group``.
        searched: Study of the search.
        search: Name of the search's run directory.

    Returns:
        What was found.
    """
    study, networks = confirmed.study, list_networks(confirmed, candidates)
    patients = dict(zip(index["case"].astype(str), index["group"].astype(str), strict=True))
    groups = list_chosen(searched, splits)
    chosen_by = {patients.get(name.rpartition("#")[0] or name, name) for name in groups}
    contenders = [one.contend(score_patients(_finals(one), patients)) for one in networks]
    comparisons = compare_all(contenders, chosen_by, len(study.parts))
    take, advice = recommend(contenders, comparisons)
    scored = {name for one in contenders for name in one.scores.index}
    return Finding(
        search=search,
        study=study.name,
        phantom=confirmed.phantom,
        patients=len(scored),
        by=splits.by,
        chosen_by=len(scored & chosen_by),
        seeds=study.seeds,
        folds=study.folds if study.folds != "all" else (),
        epochs=tuple(sorted({int(one.recipe["epochs"]) for one in candidates})),
        recipes=tuple(
            to_found(one, contender.scores, candidates)
            for one, contender in zip(networks, contenders, strict=True)
        ),
        contests=to_contests(comparisons),
        take=take,
        advice=advice,
        notes=tuple(_notes(searched, study, networks, splits)),
        at=time.strftime("%Y-%m-%d %H:%M"),
    )


def to_found(one: Networks, scores: pd.DataFrame, candidates: Sequence[Candidate]) -> FoundRecipe:
    """A recipe and its scores as they are written down.

    Args:
        one: Its networks.
        scores: Of their patients.
        candidates: All of them: settings are told where these differ.

    Returns:
        The record.
    """
    means = scores.mean(axis="index").dropna()
    recipe, candidate = one.candidate.recipe, one.candidate
    differ = [k for k in recipe if len({repr(other.recipe.get(k)) for other in candidates}) > 1]
    return FoundRecipe(
        name=candidate.name,
        trial=candidate.trial,
        settings=", ".join(f"{knob} {_brief(recipe[knob])}" for knob in differ),
        dice=float(means.mean()) if len(means) else None,
        spread=float(means.std(ddof=1)) if len(means) > 1 else None,
        trained=len(one.trials),
        planned=one.planned,
        seconds=known(one.seconds),
        search_score=candidate.score,
    )


def show_finding(finding: Finding, console: Console) -> None:
    """Print the table, the verdicts and the advice.

    Args:
        finding: What was found.
        console: Where to print.
    """
    demo = ", PHANTOMS" if finding.phantom else ""
    seeds, folds = len(finding.seeds), len(finding.folds)
    size = f"{count(seeds, 'seed')} x {count(folds, 'fold')}"
    title = f"{finding.search}, confirmed: Dice after the last epoch on {finding.patients} "
    title += f"patients, {size}{demo}"
    show_contests(title, finding.recipes, finding.contests, console)
    for note in finding.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    console.print(finding.advice, style="bold", markup=False, highlight=False, soft_wrap=True)


def show_contests(
    title: str,
    recipes: Sequence[FoundRecipe],
    contests: Sequence[Contest],
    console: Console,
) -> None:
    """Print recipes as a table, and a sentence for each comparison.

    Args:
        title: Over the table.
        recipes: Its rows.
        contests: The comparisons.
        console: Where to print.
    """
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold",
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=True,
    )  # fmt: skip
    for name in ("recipe", "trial", "Dice", "SD of seeds", "networks", "a training"):
        side: Literal["left", "right"] = "left" if name == "recipe" else "right"
        table.add_column(name, justify=side, no_wrap=True, min_width=_WIDTHS.get(name, len(name)))
    table.add_column(
        "settings that differ", style="cyan", overflow="ellipsis", no_wrap=True, ratio=1
    )
    for one in recipes:
        table.add_row(
            one.name,
            "–" if one.trial is None else str(one.trial),
            "–" if one.dice is None else f"{one.dice:.4f}",
            "–" if one.spread is None else f"{one.spread:.4f}",
            f"{one.trained} of {one.planned}",
            "–" if one.seconds is None else as_clock(one.seconds),
            one.settings,
        )
    console.print(table)
    for contest in contests:
        line, style = f"{contest.name}: {contest.verdict}", "green" if contest.holds else ""
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _finals(one: Networks) -> list[tuple[int, pd.DataFrame]]:
    return [(trial.column, trial.final) for trial in one.trials if trial.final is not None]


def _notes(
    searched: StudyFile, study: StudyFile, networks: Sequence[Networks], splits: Splits
) -> list[str]:
    found = [
        f"{one.planned - len(one.trials)} of {one.planned} trainings of the "
        f"{one.candidate.name} did not end well: patients or seeds that lack one are left out"
        for one in networks
        if len(one.trials) < one.planned
    ]
    if len(study.seeds) == 1:
        found.append("one seed says nothing about another training; give --seeds 3 or more")
    if len(study.seeds) == 2:
        found.append("two seeds leave wide intervals, as they tell little of a third; give more")
    if splits.by == "slice":
        found.append(splits.warning)
    metric = searched.metric
    if metric.name != "dice":
        found.append(f"the search chose by {metric.name}; what is compared here is Dice")
    names = {one.candidate.name: one for one in networks}
    best, default = names.get(WINNER), names.get(DEFAULT)
    if best and default and best.trials:
        found += _promise(best.candidate.score, default.candidate.score, metric)
    elif not best:
        found.append("the search's winner is the default recipe; runners-up are compared with it")
    return found


def _promise(best: float | None, default: float | None, metric: Metric) -> list[str]:
    """What the search made of its winner, partly by luck."""
    if best is None or default is None:
        return []
    promised = best - default
    if metric.name in LOSSES:
        size = f"{promised:+.3g} of {metric.name}".replace("-", "−")
    else:
        size = f"{signed(100 * promised)} points of {metric.name}"
    text = (
        f"the search promised {size} against the default, best epoch on the patients it chose by; "
    )
    return [f"{text}such a figure was chosen for being high, and is rather too good than too low"]


def _brief(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
