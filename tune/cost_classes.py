"""Which recipes of a study cost the same, and which ones it will train or may propose."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from seglib.architectures import means_something
from seglib.recipe import Recipe
from tune.agenda import list_planned
from tune.study_file import StudyFile
from tune.study_parts import Fold

__all__ = ["Proposals", "cost_class", "draw_proposals"]

_CHEAP: Final = frozenset({
    "loss", "dice_weight", "overlap_over", "tversky_alpha", "tversky_beta", "focal_gamma",
    "topk_fraction", "optimizer", "learning_rate", "momentum", "weight_decay", "grad_clip",
    "schedule", "warmup_epochs", "epochs", "foreground_fraction", "rotation_deg", "shift", "zoom",
    "flip_horizontal", "flip_vertical", "elastic", "brightness", "contrast", "noise",
})  # fmt: skip
"""Knobs that change the time of a step by little or nothing, and its memory by little."""

_DRAWN: Final = 400
"""Proposals that stand for all that a sampler may make."""

_MOST_IN_VAIN: Final = 20 * _DRAWN


def cost_class(recipe: Recipe) -> str:
    """The knobs that its time and memory hang on, as a text: the same for the same costs.

    Args:
        recipe: Any.

    Returns:
        The class.
    """
    values = recipe.model_dump(exclude=set(_CHEAP))
    values["dropout"] = bool(values["dropout"])
    kind = recipe.architecture
    told = {name: value for name, value in values.items() if means_something(name, kind)}
    return json.dumps(told, sort_keys=True)


@dataclass(frozen=True)
class Proposals:
    """What a study trains, as far as anybody can know before.

    Args:
        planned: Recipes that are sure to be trained, in their order; those that cannot fit left
            out. For a grid one for each of its trainings.
        folds: The division that each of ``planned`` is trained with.
        drawn: Recipes as a sampler without any knowledge would propose them; of a grid none.
        num_refused: Of ``planned``, those that cannot fit.
    """

    planned: tuple[Recipe, ...]
    folds: tuple[Fold | None, ...]
    drawn: tuple[Recipe, ...]
    num_refused: int


def draw_proposals(
    study: StudyFile, why_infeasible: Callable[[Recipe], str], seed: int = 0
) -> Proposals:
    """What is sure to be trained, and a sample of what may be.

    Args:
        study: Its space, points and method.
        why_infeasible: Says why a recipe cannot fit, or nothing; such ones are never started.
        seed: Of the sample.

    Returns:
        Both.
    """
    planned: list[Recipe] = []
    folds: list[Fold | None] = []
    num_refused = 0
    for one in list_planned(study):
        recipe = _as_recipe(one.values)
        if recipe is None or why_infeasible(recipe):
            num_refused += 1
            continue
        planned.append(recipe)
        folds.append(one.fold)
    drawn = [] if study.method == "grid" else _draw(study, why_infeasible, random.Random(seed))
    return Proposals(tuple(planned), tuple(folds), tuple(drawn), num_refused)


def _as_recipe(values: dict[str, Any]) -> Recipe | None:
    try:
        return Recipe(**values)
    except ValidationError:  # never started, either
        return None


def _draw(
    study: StudyFile, why_infeasible: Callable[[Recipe], str], chance: random.Random
) -> list[Recipe]:
    found: list[Recipe] = []
    for _ in range(_MOST_IN_VAIN):
        recipe = _as_recipe(study.space.suggest(_Chance(chance)))
        if recipe is not None and not why_infeasible(recipe):
            found.append(recipe)
        if len(found) == _DRAWN:
            break
    return found


class _Chance:
    """Answers the questions of a space by chance, as Optuna's random sampler does."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number between two others."""
        if step is not None:
            return low + step * self._chance.randint(0, int((high - low) / step + 1e-9))
        if log:
            return math.exp(self._chance.uniform(math.log(low), math.log(high)))
        return self._chance.uniform(low, high)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number between two others."""
        if log:
            found = math.exp(self._chance.uniform(math.log(low - 0.5), math.log(high + 0.5)))
            return min(high, max(low, round(found)))
        return low + step * self._chance.randint(0, (high - low) // step)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._chance.choice(choices)
