"""From the costs of classes to those of a search: its trials, and the figures that come of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from seglib.cost import estimate_checkpoint_gb, estimate_memory_gb
from seglib.recipe import Recipe
from seglib.work import estimate_work
from tune.class_costs import ClassCost, Paper
from tune.conditions import Overheads
from tune.cost_classes import Proposals, cost_class
from tune.feasibility import why_infeasible
from tune.forecast import Outcome, TrialCost
from tune.likely import Range, spread_of
from tune.number_format import named
from tune.price_record import Ends
from tune.study_file import StudyFile
from tune.study_parts import Fold

__all__ = [
    "MEMORY_MARGIN",
    "Scene",
    "list_classes",
    "share_of_classes",
    "to_figures",
    "trial_costs",
]

MEMORY_MARGIN: Final = 0.1
"""By which a whole trial may take more or less memory than the part that was measured."""

_RAY_START: Final = 1.6
"""Time that Ray takes to start, for each second that a worker takes to import."""

_BETWEEN: Final = 0.35
"""The same, from one trial of a worker to its next."""

_RAY_MB: Final = 45.0
"""What a worker of Ray takes more than a process that measures, on a CPU."""

Parts = Callable[[Fold | None], tuple[int, int]]
"""Slices to train and to validate on, by fold."""


@dataclass(frozen=True)
class Scene:
    """Where a search takes place, as far as its costs hang on it.

    Args:
        study: What is searched.
        channels: Names of the data's channels.
        num_logits: Output channels of a network.
        image_size: Side of the image in pixels.
        on_gpu: Whether trials train on a GPU.
        precision: Number format of recipes that leave it open; None for what the device takes.
        slots: Trials at once.
    """

    study: StudyFile
    channels: tuple[str, ...]
    num_logits: int
    image_size: int
    on_gpu: bool
    precision: str | None
    slots: int

    def settle(self, recipe: Recipe) -> Recipe:
        """The recipe as it is trained here."""
        return named(recipe, self.precision)

    def why_infeasible(self, recipe: Recipe) -> str:
        """Why a recipe is never started here, or nothing."""
        return why_infeasible(
            self.settle(recipe),
            self.study.constraints,
            channels=self.channels,
            num_logits=self.num_logits,
            image_size=self.image_size,
            on_gpu=self.on_gpu,
        )

    def paper(self, recipe: Recipe) -> Paper:
        """What is known of a recipe without training it."""
        sizes = {
            "num_channels": len(recipe.seen_channels(self.channels)),
            "num_logits": self.num_logits,
        }
        recipe, side = self.settle(recipe), self.image_size
        return Paper(
            recipe,
            estimate_work(recipe, **sizes, image_size=side),
            estimate_memory_gb(recipe, **sizes, image_size=side, on_gpu=self.on_gpu),
            estimate_checkpoint_gb(recipe, **sizes),
        )


def list_classes(scene: Scene, proposals: Proposals) -> dict[str, Recipe]:
    """A recipe for each cost class of a study.

    Args:
        scene: Where it is trained.
        proposals: What is and may be trained.

    Returns:
        Recipes by class: that of the first planned trial, the largest, the smallest, and then
        the likeliest first.
    """
    recipes = [scene.settle(one) for one in (*proposals.planned, *proposals.drawn)]
    first: dict[str, Recipe] = {}
    for recipe in recipes:
        first.setdefault(cost_class(recipe), recipe)
    if not first:
        return {}
    count = Counter(cost_class(recipe) for recipe in recipes)
    size = {name: scene.paper(recipe).memory_gb for name, recipe in first.items()}
    by_size = sorted(first, key=lambda name: size[name])
    likely = sorted(first, key=lambda name: -count[name])
    order = dict.fromkeys([next(iter(first)), by_size[-1], by_size[0], *likely])
    return {name: first[name] for name in order}


def share_of_classes(scene: Scene, proposals: Proposals, classes: Sequence[str]) -> list[float]:
    """How much of a search without any luck is of each class.

    Args:
        scene: Says how many trials there are.
        proposals: What is and may be trained.
        classes: From :func:`list_classes`.

    Returns:
        Shares that add up to 1.
    """
    cap = scene.study.run_cap or max(len(proposals.planned), 40 * bool(proposals.drawn))
    planned = Counter(cost_class(scene.settle(one)) for one in proposals.planned[:cap])
    drawn = Counter(cost_class(scene.settle(one)) for one in proposals.drawn)
    left = max(0, cap - len(proposals.planned)) if proposals.drawn else 0
    each = left / max(1, len(proposals.drawn))
    found = [planned[name] + each * drawn[name] for name in classes]
    return [one / sum(found) for one in found]


def trial_costs(
    scene: Scene,
    proposals: Proposals,
    costs: Mapping[str, ClassCost],
    parts: Parts,
    *,
    cpu_share: float = 1.0,
) -> tuple[list[TrialCost], list[TrialCost]]:
    """What each trial would take that is planned, and each that may be proposed.

    Args:
        scene: Where they train.
        proposals: What is and may be trained.
        costs: Of each class.
        parts: How many slices there are.
        cpu_share: How much of the time trials have their cores.

    Returns:
        Both lists.
    """
    numbers = {name: number for number, name in enumerate(costs)}
    everything = [*proposals.planned, *proposals.drawn]
    folds = [*proposals.folds, *([None] * len(proposals.drawn))]
    raw = []
    for recipe, fold in zip(everything, folds, strict=True):
        name, (train, val) = cost_class(scene.settle(recipe)), parts(fold)
        found = costs[name]
        epoch_s, final_s = found.cost.epoch_s(train, val), found.cost.final_s * val
        raw.append((recipe, name, epoch_s / cpu_share, final_s / cpu_share))
    beside_mb = 0.0 if scene.on_gpu else _RAY_MB
    logs = [math.log(max(epoch_s, 1e-9)) for _, _, epoch_s, _ in raw]
    middle = fmean(logs)
    deviation = math.sqrt(fmean((one - middle) ** 2 for one in logs)) or 1.0
    trials = []
    for (recipe, name, epoch_s, final_s), log in zip(raw, logs, strict=True):
        found, most_gb = costs[name], scene.paper(recipe).checkpoint_gb
        trials.append(
            TrialCost(
                epochs=recipe.epochs,
                epoch_s=epoch_s,
                final_s=final_s,
                kind=numbers[name],
                error=found.error,
                size=(log - middle) / deviation,
                memory_gb=(found.cost.memory_mb + beside_mb) * 2**20 / 1e9,
                checkpoint_gb=most_gb,
                least_gb=min(most_gb, found.cost.checkpoint_gb),
            )
        )
    return trials[: len(proposals.planned)], trials[len(proposals.planned) :]


def to_figures(
    outcomes: Sequence[Outcome], *, each: float, gpus: float = 0.0, gpu_hour: float | None = None
) -> dict[str, Ends]:
    """The figures of a prediction, each with its interval.

    Args:
        outcomes: Of the made-up searches.
        each: GPUs of a trial, or cores where it has none.
        gpus: That the search keeps busy, or has in pieces; 0 without any.
        gpu_hour: What an hour of one costs; of the machine where there is none.

    Returns:
        Ends and middle by name.
    """

    def ends(found: Range) -> Ends:
        return found.low, found.middle, found.high

    def of(name: str) -> Range:
        return spread_of([float(getattr(one, name)) for one in outcomes])

    names = ("wall_s", "trials", "epochs", "kept_gb")
    figures = {name: ends(of(name)) for name in names}
    figures["device_s"] = ends(of("trial_s").times(each))
    memory = of("memory_gb")
    low, high = memory.low * (1 - MEMORY_MARGIN), memory.high * (1 + MEMORY_MARGIN)
    figures["memory_gb"] = (low, memory.middle, high)
    if gpu_hour is not None:
        units = math.ceil(gpus - 1e-3) if gpus else 1  # a GPU is paid for whole, busy or not
        figures["money"] = ends(of("wall_s").times(units * gpu_hour / 3600))
    return figures


def overheads_of(worker_s: float) -> Overheads:
    """Seconds around the training, from how long a worker takes to import what it needs.

    Args:
        worker_s: That time; a slow machine is slow in the rest, too.

    Returns:
        The overheads.
    """
    return Overheads(_RAY_START * worker_s, worker_s, _BETWEEN * worker_s)
