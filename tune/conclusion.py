"""What a confirmation comes to: its networks' scores by patient, verdicts, and a table of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from seglib.data.splits import Splits
from tune.candidates import Candidate
from tune.entries import recipe_key
from tune.leaderboard import as_clock
from tune.reporting.ablation import case_scores, signed
from tune.reporting.confirmation import Contest, Finding, FoundRecipe, known, to_contests
from tune.reporting.evidence import RunData, TrialData
from tune.reporting.verdicts import DEFAULT, WINNER, Contender, compare_all, recommend
from tune.study import StudyFile

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
    search: str,
) -> Finding:
    """Compare the candidates on the patients that their networks have not seen.

    Args:
        confirmed: The run directory of the confirmation.
        candidates: In their order, the default first.
        splits: Of the search: it chose by the validation part.
        index: Of the prepared data, with ``case`` and ``group``.
        search: Name of the search's run directory.

    Returns:
        What was found.
    """
    study, networks = confirmed.study, list_networks(confirmed, candidates)
    patients = dict(zip(index["case"].astype(str), index["group"].astype(str), strict=True))
    chosen_by = {patients.get(name.rpartition("#")[0] or name, name) for name in splits.val}
    contenders = [
        Contender(one.candidate.name, score_patients(_finals(one), patients), one.seconds)
        for one in networks
    ]
    comparisons = compare_all(contenders, chosen_by, len(study.parts))
    take, advice = recommend(contenders, comparisons)
    scored = {name for one in contenders for name in one.scores.index}
    return Finding(
        search=search,
        study=study.name,
        phantom=confirmed.phantom,
        patients=len(scored),
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
        notes=tuple(_notes(study, networks, splits)),
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
    size = f"{seeds} seed{'s' * (seeds > 1)} x {folds} folds"
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


def _notes(study: StudyFile, networks: Sequence[Networks], splits: Splits) -> list[str]:
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
    names = {one.candidate.name: one for one in networks}
    best, default = names.get(WINNER), names.get(DEFAULT)
    if best and default and best.candidate.score is not None and best.trials:
        found += _regression(best, default)
    return found


def _regression(best: Networks, default: Networks) -> list[str]:
    """How much of what the search promised was its luck."""
    if default.candidate.score is None or best.candidate.score is None:
        return []
    promised = 100 * (best.candidate.score - default.candidate.score)
    text = f"the search promised {signed(promised)} points of its metric, best epoch on the "
    return [f"{text}patients it chose by; that figure is too good, as it was chosen for being high"]


def _brief(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
