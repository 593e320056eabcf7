"""Candidates of a confirmation: the default, the winner and the runners-up, as a study file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seglib.architectures import means_something
from seglib.data.splits import Splits
from seglib.errors import Problem, RunError
from seglib.recipe import Recipe
from tune.entries import Entry, recipe_key
from tune.report import best_row, score_points
from tune.reporting.verdicts import DEFAULT, WINNER
from tune.study import StudyFile

__all__ = ["Candidate", "choose_candidates", "list_chosen", "write_study"]

_KEPT = ("metric", "data", "split", "resources", "tracking", "project", "entity", "seed")


@dataclass(frozen=True)
class Candidate:
    """A recipe that is trained again.

    Args:
        name: ``default``, ``winner``, ``runner-up 2`` and so on.
        recipe: All knobs, at full length.
        values: Those that were searched.
        trial: Of the search; None for a row of a grid, and for a default that was not tried.
        score: Of the search, the best epoch; None where it has none.
    """

    name: str
    recipe: Mapping[str, Any]
    values: Mapping[str, Any]
    trial: int | None
    score: float | None


def choose_candidates(study: StudyFile, entries: Sequence[Entry], top: int) -> list[Candidate]:
    """The default recipe, and the best of a search in their order, each recipe once.

    A trial that was stopped early, or went on from another one, is trained from its start
    to its end. Where the search did not vary ``epochs``, all are trained for as long as it
    trains now.

    Args:
        study: What was searched.
        entries: All its trials.
        top: The winner and ``top - 1`` more.

    Returns:
        The default first. Where it won the search there is no winner, but one runner-up or more,
        so that there is something to compare.

    Raises:
        RunError: No trial has a score.
    """
    ranked = _rank(study, entries)
    if not ranked:
        problem = Problem("search", "no trial with a score", "a winner to be confirmed")
        raise RunError(study.name, [problem])
    default = _default(study, entries)
    found, known = [default], {recipe_key(default.recipe): DEFAULT}
    place = 0
    for one in ranked:
        if place >= top and len(found) > 1:
            break
        key = recipe_key(one.recipe)
        if key in known and (place or known[key] != DEFAULT):
            continue
        place += 1
        if key in known:  # the default won
            found[0] = Candidate(DEFAULT, one.recipe, one.values, one.trial, one.score)
            continue
        known[key] = WINNER if place == 1 else f"runner-up {place}"
        found.append(Candidate(known[key], one.recipe, one.values, one.trial, one.score))
    return found


def list_chosen(searched: StudyFile, splits: Splits) -> set[str]:
    """The groups by whose scores a search chose.

    Args:
        searched: Its study.
        splits: Its division.

    Returns:
        Those of the validation part; of a study with folds those of each fold.
    """
    by_fold = [splits.folds[one] for one in searched.parts if isinstance(one, int)]
    chosen = {name for fold in by_fold for name in fold}
    return chosen if len(by_fold) == len(searched.parts) else chosen | {*splits.val}


def write_study(
    study: StudyFile,
    candidates: Sequence[Candidate],
    *,
    name: str,
    num_seeds: int,
    folds: Sequence[int],
) -> dict[str, Any]:
    """A grid of the candidates over seeds and folds; no rule and no budget ends it early.

    Its seeds are none of the search's, so that no training is repeated that was chosen by.

    Args:
        study: What was searched.
        candidates: What is trained again.
        name: Of the new study.
        num_seeds: Seeds of each.
        folds: Which folds validate.

    Returns:
        The study file as a plain mapping.
    """
    resolved = study.resolved()
    first = max(study.seeds, default=-1) + 1
    limits = {k: v for k, v in resolved["constraints"].items() if k != "disk_gb" and v is not None}
    return {
        "name": name,
        "description": f"Confirmation of the search {study.name}",
        "method": "grid",
        **{key: resolved[key] for key in _KEPT if key in resolved},
        "constraints": limits,
        "seeds": [first + number for number in range(num_seeds)],
        "folds": list(folds),
        "product": False,
        "parameters": _parameters(candidates),
        "points": [{"name": one.name, **_told(one, candidates)} for one in candidates],
    }


def _told(one: Candidate, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """A candidate's knobs, but for those that all leave as a recipe has them by itself."""
    plain = Recipe().model_dump()
    told = {k for other in candidates for k, v in other.recipe.items() if v != plain[k]}
    return {k: v for k, v in _knobs(one.recipe).items() if k in told | {"epochs", "architecture"}}


def _parameters(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Every knob that a point names; what each has is said there."""
    known: dict[str, Any] = {}
    for one in candidates:
        for knob, value in _told(one, candidates).items():
            known.setdefault(knob, {"value": value})
    networks = list(dict.fromkeys(one.recipe["architecture"] for one in candidates))
    return {**known, "architecture": {"values": networks}}


def _knobs(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs that mean something to the recipe's network."""
    return {k: v for k, v in recipe.items() if means_something(k, recipe["architecture"])}


def _rank(study: StudyFile, entries: Sequence[Entry]) -> list[Candidate]:
    """What has a score, the best first and the earlier of equals; rows of a grid by their mean."""
    if study.rows and (study.seeds or study.folds):
        points = [point for point in score_points(study, entries) if point.scores]
        most = max((len(point.scores) for point in points), default=0)
        scored = [
            (point.mean, Candidate(point.name, _at_length(study, point.recipe), point.values,
                                   None, point.mean))
            for point in points if len(point.scores) == most
        ]  # fmt: skip
    else:
        rows = [(best_row(study, entry), entry) for entry in entries]
        scored = [(row["score"], _of_trial(study, entry)) for row, entry in rows if row is not None]
    scored.sort(key=lambda pair: pair[0], reverse=study.metric.goal == "maximize")
    return [candidate for _, candidate in scored]


def _default(study: StudyFile, entries: Sequence[Entry]) -> Candidate:
    for entry in entries:
        if entry.origin == "default" and entry.started:
            found = _of_trial(study, entry)
            return Candidate(DEFAULT, found.recipe, found.values, found.trial, found.score)
    values = study.default_point()
    recipe = Recipe.model_validate(values).model_dump()
    return Candidate(DEFAULT, _at_length(study, recipe), values, None, None)


def _of_trial(study: StudyFile, entry: Entry) -> Candidate:
    row = best_row(study, entry)
    score = None if row is None else row["score"]
    recipe = _at_length(study, entry.recipe)
    return Candidate("", recipe, entry.values, entry.number, score)


def _at_length(study: StudyFile, recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """The full length of a training, unless the search was to find it."""
    searched = "epochs" in study.space and len(study.space["epochs"].domain.grid() or ()) > 1
    named = any("epochs" in point for point in study.points)
    whole = recipe if searched or named else {**recipe, "epochs": study.horizon}
    return Recipe(**_knobs(Recipe(**whole).model_dump())).model_dump()
