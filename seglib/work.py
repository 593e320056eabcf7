"""What an epoch takes, as it was measured, and how much there is to compute. Loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from seglib.architecture_cost import cost_of
from seglib.architectures import count_halvings
from seglib.recipe import Recipe

__all__ = ["EpochCost", "estimate_work"]

_MOVES: Final = 300.0
"""Multiplications that a processor makes while one value of a map goes through memory, and back
in the backward pass: thin levels wait for memory, wide ones compute."""


@dataclass(frozen=True)
class EpochCost:
    """What a recipe costs here, in seconds of a machine that has nothing else to do.

    With one thread on a CPU they are seconds in which the process had its core: what else is
    at work on the machine changes them little, and how much of the time it left is ``cpu_share``.
    With more threads, or on a GPU, they are seconds of the clock, and ``cpu_share`` is 1.

    Args:
        train_s: For each training slice.
        score_s: For each validation slice.
        rest_s: For each epoch, whatever its size: its copy to go back to, the statistics of
            batch normalisation, checkpoint and tables.
        final_s: For each validation slice, once: scores and surfaces of the last epoch.
        spread: Standard deviation between parts of the measurement, as a share.
        cpu_share: Share of the time that the process really had its cores.
        memory_mb: Most memory, in MiB; of the device on a GPU, of the process on a CPU.
        checkpoint_gb: Size of one checkpoint.
        share: How much of an epoch's training was gone through, at most 1.
    """

    train_s: float
    score_s: float
    rest_s: float
    final_s: float
    spread: float
    cpu_share: float
    memory_mb: float
    checkpoint_gb: float
    share: float

    def epoch_s(self, num_train: int, num_val: int) -> float:
        """Seconds of an epoch.

        Args:
            num_train: Slices to train on.
            num_val: Slices to validate on.

        Returns:
            Seconds.
        """
        return self.train_s * num_train + self.score_s * num_val + self.rest_s


def estimate_work(recipe: Recipe, *, num_channels: int, num_logits: int, image_size: int) -> float:
    """Multiplications of a forward pass for one image, and what else takes as long.

    It is made to tell how much longer one recipe takes than a similar one, not how long
    either takes: that is measured.

    Args:
        recipe: Which network.
        num_channels: Image channels that the network sees.
        num_logits: Output channels of the network.
        image_size: Side of the square image in pixels.

    Returns:
        A number without a unit.
    """
    halvings = count_halvings(recipe)
    side = math.ceil(image_size / (1 << halvings)) << halvings
    if recipe.architecture != "unet":
        cost = cost_of(recipe, num_channels=num_channels, num_logits=num_logits)
        return side**2 * (cost.multiplied + cost.kept * _MOVES)
    return _unet(recipe, num_channels, side) + float(side**2) * num_logits * (
        recipe.base_filters + 4 * _MOVES
    )


def _unet(recipe: Recipe, num_channels: int, side: int) -> float:
    widths = [recipe.base_filters << level for level in range(recipe.depth + 1)]
    per_map = 1.0 if recipe.norm == "none" else 2.0
    total = 0.0
    for level, width in enumerate(widths):
        pixels = float((side >> level) ** 2)
        before = widths[level - 1] if level else num_channels
        total += pixels * 9 * width * (before + width)
        total += pixels * width * 2 * per_map * _MOVES
        if level < recipe.depth:  # the way up: twice as wide, joined with the skip, and back
            total += pixels * (9 * width * 3 * width + 2 * width * width)
            total += pixels * width * (2 * per_map + 2 + bool(recipe.dropout)) * _MOVES
        if recipe.residual:
            total += pixels * width * (before * (before != width) + _MOVES)
            if level < recipe.depth:
                total += pixels * width * (2 * width + _MOVES)
    return total
