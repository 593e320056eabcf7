"""`segtune check --price`: what a search will cost, from an epoch measured of each cost class."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console

from seglib.errors import Problem, RunError
from seglib.files import write_whole
from seglib.recipe import Recipe
from tune.allotment import Allotment, allot, require_place, settle
from tune.class_costs import ClassCost, settle_costs
from tune.conditions import Conditions
from tune.cost_classes import draw_proposals
from tune.forecast import TrialCost, forecast
from tune.preparing import prepare_data
from tune.price_record import Ends, PriceRecord, price_file, price_key
from tune.pricing import (
    Scene,
    list_classes,
    overheads_of,
    share_of_classes,
    to_figures,
    trial_costs,
)
from tune.request import Request
from tune.retention import most_files
from tune.study_file import StudyFile
from tune.study_parts import Fold

if TYPE_CHECKING:
    from seglib.data.splits import Split, Splits
    from seglib.data.store import Store
    from tune.measuring import Measured

__all__ = ["Price", "price_search"]


@dataclass(frozen=True)
class Price:
    """What a search will cost.

    Args:
        study: What is searched.
        record: The prediction as it is written down.
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

    study = request.load_to_train()
    require_place(study, "local")
    store = prepare_data(request, study, console)
    splits = divide(store, study)
    allotment = settle(allot(study, store, None), None, [])[0]
    scene, parts = _scene(study, store, allotment), _Parts(splits, study)
    proposals = draw_proposals(study, scene.why_infeasible)
    classes = list_classes(scene, proposals)
    papers = [scene.paper(recipe) for recipe in classes.values()]
    found = _measure(list(classes.values()), store, parts, allotment, minutes=minutes,
                     cache=request.prepared, console=console)  # fmt: skip
    costs = settle_costs(papers, found.costs)
    if costs is None:
        raise _nothing_measured(study, found)
    by_class = dict(zip(classes, costs, strict=True))
    trials = trial_costs(scene, proposals, by_class, partial(parts.count, store),
                         cpu_share=_cpu_share(found))  # fmt: skip
    figures = _predict(scene, trials, found, allotment=allotment, gpu_hour=gpu_hour)
    record = _record(scene, store, found, figures=figures, gpu_hour=gpu_hour,
                     allotment=allotment, num_classes=len(classes))  # fmt: skip
    path = price_file(request.prepared, record.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, record.model_dump_json(indent=2) + "\n")
    shares = share_of_classes(scene, proposals, list(classes))
    most_gb = max(paper.checkpoint_gb for paper in papers) * most_files(scene.slots)
    return Price(
        study=study,
        record=record,
        path=path,
        classes=tuple(zip(classes.values(), shares, costs, strict=True)),
        parts=parts.count(store, study.parts[0]),
        measured=found,
        allotment=allotment,
        store=store,
        num_refused=proposals.num_refused,
        most_gb=min(most_gb, study.constraints.disk_gb or most_gb),
    )


def _predict(
    scene: Scene,
    trials: tuple[Sequence[TrialCost], Sequence[TrialCost]],
    found: Measured,
    *,
    allotment: Allotment,
    gpu_hour: float | None,
) -> dict[str, Ends]:
    conditions = Conditions(scene.slots, overheads_of(found.worker_s), _cpu_share(found))
    outcomes = forecast(scene.study, *trials, conditions)
    each, gpus = allotment.gpus or allotment.cpus, allotment.gpus * scene.slots
    return to_figures(outcomes, each=each, gpus=gpus, gpu_hour=gpu_hour)


@dataclass(frozen=True)
class _Parts:
    """Who trains and who validates, by fold."""

    splits: Splits
    study: StudyFile

    def of(self, fold: Fold | None) -> Split:
        from tune.division import list_folds

        if fold is None:
            return self.splits.search_part()
        return list_folds(self.splits, self.study)[fold]

    def count(self, store: Store, fold: Fold | None) -> tuple[int, int]:
        rows = self.of(fold).parts(store.index)
        return len(rows["train"]), len(rows["val"])


def _scene(study: StudyFile, store: Store, allotment: Allotment) -> Scene:
    return Scene(
        study=study,
        channels=store.channels,
        num_logits=store.target.num_logits,
        image_size=store.image_size,
        on_gpu=allotment.gpus > 0,
        precision=allotment.precision,
        slots=allotment.concurrent or 1,
    )


def _measure(
    recipes: Sequence[Recipe],
    store: Store,
    parts: _Parts,
    allotment: Allotment,
    *,
    minutes: float,
    cache: Path,
    console: Console,
) -> Measured:
    from tune.measuring import measure
    from tune.progress import progress_on

    if not recipes:
        hint = "segtune check says what the limits are and what the default recipe takes"
        problem = Problem("parameters", "no recipe that fits", "at least one", hint)
        raise RunError(str(parts.study.path), [problem])
    with progress_on(console) as progress:
        return measure(
            recipes,
            store,
            parts.of(parts.study.parts[0]),
            workers=allotment.concurrent or 1,
            threads=allotment.cpus,
            seconds=60 * minutes,
            folder=cache,
            progress=progress,
        )


def _nothing_measured(study: StudyFile, found: Measured) -> RunError:
    reasons = "; ".join(dict.fromkeys(found.failures.values()))
    problem = Problem("measuring", reasons or "no time for any recipe", "one that can be trained")
    return RunError(str(study.path), [problem])


def _cpu_share(found: Measured) -> float:
    return fmean(one.cpu_share for several in found.costs.values() for one in several)


def _record(
    scene: Scene,
    store: Store,
    found: Measured,
    *,
    figures: Mapping[str, Ends],
    gpu_hour: float | None,
    allotment: Allotment,
    num_classes: int,
) -> PriceRecord:
    from seglib.device import choose_device, device_name

    return PriceRecord(
        made=time.strftime("%Y-%m-%d %H:%M"),
        key=price_key(scene.study, store.key),
        device=device_name(choose_device()),
        slots=scene.slots,
        num_planned=scene.study.num_planned,
        num_measured=len(found.costs),
        num_classes=num_classes,
        cpu_share=_cpu_share(found),
        on_gpu=scene.on_gpu,
        each=allotment.gpus or allotment.cpus,
        gpu_hour=gpu_hour,
        figures=figures,
    )
