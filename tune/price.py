"""`segtune check --price`: what a search will cost, from an epoch measured of each cost class."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Final

from rich.console import Console

from seglib.cost import estimate_checkpoint_gb, estimate_memory_gb
from seglib.errors import Problem, RunError
from seglib.files import write_whole
from seglib.recipe import Recipe
from seglib.work import estimate_work
from tune.allotment import Allotment, allot, require_place, settle
from tune.class_costs import ClassCost, Paper, settle_costs
from tune.cost_classes import Proposals, cost_class, draw_proposals
from tune.feasibility import why_infeasible
from tune.forecast import Outcome, Overheads, Range, TrialCost, forecast, spread_of
from tune.number_format import named
from tune.price_record import PriceRecord, price_file, price_key
from tune.request import Request
from tune.retention import most_files
from tune.run import prepare_data
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from seglib.data.splits import Split, Splits
    from seglib.data.store import Store
    from tune.measuring import Measured

__all__ = ["MINUTES", "Price", "price_search"]

MINUTES: Final = 2.0
"""What measuring may take, if nobody says otherwise."""

_RAY_START: Final = 1.6
"""Seconds that Ray takes to start, for each that a worker takes to import."""

_BETWEEN: Final = 0.35
"""The same, from one trial of a worker to its next."""

_DRIFT: Final = 0.06
"""By which a quiet machine is slower or faster from one hour to the next, as a share."""

_ERROR_OF_MEMORY: Final = 0.15


@dataclass(frozen=True)
class Price:
    """What a search will cost.

    Args:
        study: What is searched.
        record: The prediction as it is written down, and where.
        path: Its file.
        classes: Recipe of each cost class, the share of trials that are of it, and its cost.
        parts: Slices to train and to validate on.
        measured: How the measuring went.
        allotment: Of each trial.
        store: The prepared data.
        num_refused: Trials that are planned and cannot fit.
        most_gb: Checkpoints while it runs, at most.
    """

    study: StudyFile
    record: PriceRecord
    path: Path
    classes: Sequence[tuple[Recipe, float, ClassCost]]
    parts: tuple[int, int]
    measured: Measured
    allotment: Allotment
    store: Store
    num_refused: int
    most_gb: float


def price_search(
    request: Request, console: Console, *, gpu_hour: float | None, minutes: float
) -> Price:
    """Prepare the data, measure, and work out what the search comes to.

    Args:
        request: What was asked for.
        console: Shows how far it is.
        gpu_hour: What an hour of a GPU costs; of this machine where it has none.
        minutes: What measuring may take.

    Returns:
        The price; it is in a file beside the prepared data, too.

    Raises:
        SegtuneError: Something the user can mend.
    """
    from tune.division import divide
    from tune.progress import progress_on

    study = request.load_to_train()
    require_place(study, "local")
    store = prepare_data(request, study, console)
    splits = divide(store, study)
    allotment = settle(allot(study, store, None), None, [])[0]
    why = partial(_why_infeasible, study=study, store=store, allotment=allotment)
    proposals = draw_proposals(study, why)
    classes = _list_classes(proposals, allotment)
    if not classes:
        wanted, hint = "at least one recipe that fits", "see segtune check for the limits"
        problem = Problem("parameters", "no recipe of the space can be trained", wanted, hint)
        raise RunError(str(study.path), [problem])
    papers = [_paper(recipe, store, allotment) for recipe in classes.values()]
    cache = (request.cache or request.out / ".cache").resolve()
    with progress_on(console) as progress:
        measured = _measure(
            papers, store, splits, study, allotment, minutes=minutes, cache=cache, progress=progress
        )  # fmt: skip
    costs = settle_costs(papers, measured.costs)
    if costs is None:
        reasons = "; ".join(dict.fromkeys(measured.failures.values())) or "no time for any recipe"
        raise RunError("measuring", [Problem("recipes", reasons, "one that can be trained")])
    parts = _count(_search_part(splits, study), store)
    outcomes = _forecast(study, proposals, dict(zip(classes, costs, strict=True)), store=store,
                         splits=splits, allotment=allotment, measured=measured)  # fmt: skip
    record = _record(study, outcomes, measured, store=store, allotment=allotment,
                     num_classes=len(classes), gpu_hour=gpu_hour)  # fmt: skip
    path = price_file(cache, record.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, record.model_dump_json(indent=2) + "\n")
    shares = _shares(proposals, classes, study, allotment)
    listed = zip(classes.values(), shares, costs, strict=True)
    largest = max(paper.checkpoint_gb for paper in papers)
    most_gb = study.constraints.disk_gb or largest * most_files(allotment.concurrent or 1)
    return Price(study, record, path, tuple(listed), parts, measured, allotment, store,
                 proposals.num_refused, most_gb)  # fmt: skip


def _why_infeasible(
    recipe: Recipe, *, study: StudyFile, store: Store, allotment: Allotment
) -> str:
    return why_infeasible(
        named(recipe, allotment.precision),
        study.constraints,
        channels=store.channels,
        num_logits=store.target.num_logits,
        image_size=store.image_size,
        on_gpu=allotment.gpus > 0,
    )


def _list_classes(proposals: Proposals, allotment: Allotment) -> dict[str, Recipe]:
    """A recipe for each cost class: the first planned one, the ends of the range, the likely."""
    recipes = [named(one, allotment.precision) for one in (*proposals.planned, *proposals.drawn)]
    first: dict[str, Recipe] = {}
    for recipe in recipes:
        first.setdefault(cost_class(recipe), recipe)
    if not first:
        return {}
    count = Counter(cost_class(recipe) for recipe in recipes)
    names = list(first)
    by_size = sorted(names, key=lambda name: first[name].base_filters * first[name].batch_size)
    order = [names[0], by_size[-1], by_size[0], *sorted(names, key=lambda name: -count[name])]
    return {name: first[name] for name in dict.fromkeys(order)}


def _paper(recipe: Recipe, store: Store, allotment: Allotment) -> Paper:
    sizes = {
        "num_channels": len(recipe.seen_channels(store.channels)),
        "num_logits": store.target.num_logits,
    }
    side = store.image_size
    memory_gb = estimate_memory_gb(recipe, **sizes, image_size=side, on_gpu=allotment.gpus > 0)
    work = estimate_work(recipe, **sizes, image_size=side)
    return Paper(recipe, work, memory_gb, estimate_checkpoint_gb(recipe, **sizes))


def _measure(
    papers: Sequence[Paper],
    store: Store,
    splits: Splits,
    study: StudyFile,
    allotment: Allotment,
    *,
    minutes: float,
    cache: Path,
    progress: Callable[[int, int, str], None],
) -> Measured:
    from tune.measuring import measure

    return measure(
        [paper.recipe for paper in papers],
        store,
        _search_part(splits, study),
        workers=allotment.concurrent or 1,
        threads=allotment.cpus,
        seconds=60 * minutes,
        folder=cache,
        progress=progress,
    )
