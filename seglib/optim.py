"""The recipe's optimiser and the course of its step size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from seglib.recipe import Recipe

__all__ = ["build_optimizer", "learning_rate_at", "step_if"]


def build_optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD with Nesterov momentum, in torch's fused form.

    Args:
        recipe: Names the optimiser, its step size, momentum and weight decay.
        parameters: What it moves.

    Returns:
        The optimiser, its step size that of the recipe.
    """
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=decay,
            fused=True,
        )
        # torch makes them in the first step, and leaves them undefined if that one is skipped
        for parameter in optimizer.param_groups[0]["params"] if recipe.momentum else ():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer
    betas = (recipe.momentum, 0.999)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=rate, betas=betas, weight_decay=decay, fused=True)


def step_if(optimizer: torch.optim.Optimizer, wanted: torch.Tensor) -> None:
    """Make a step, or none, as a number on the device says, which the host does not look at.

    Fused optimisers offer this to scalers of float16, by these two names.

    Args:
        optimizer: A fused one.
        wanted: Whether the step is to be made.

    Shape:
        - wanted: ``()``, bool
    """
    fused: Any = optimizer
    fused.found_inf, fused.grad_scale = (~wanted).float(), None
    try:
        optimizer.step()
    finally:
        del fused.found_inf, fused.grad_scale


def learning_rate_at(recipe: Recipe, progress: float) -> float:
    """Step size when ``progress`` epochs (with fractions) of ``recipe.epochs`` are done.

    A pure function of the full length, so a run that is stopped, resumed or judged
    early has seen exactly the step sizes of the full run so far.

    Args:
        recipe: Names the schedule, the peak and the warm-up.
        progress: Epochs done, in ``[0, recipe.epochs]``.

    Returns:
        The step size, at least 0.
    """
    if progress < recipe.warmup_epochs:
        return recipe.learning_rate * (progress + 1e-2) / (recipe.warmup_epochs + 1e-2)
    rest = max(recipe.epochs - recipe.warmup_epochs, 1)
    share = min(max((progress - recipe.warmup_epochs) / rest, 0.0), 1.0)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
    if recipe.schedule == "poly":
        return float(recipe.learning_rate * (1 - share) ** 0.9)
    return recipe.learning_rate
