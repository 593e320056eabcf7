"""What a training step has to compute, worked out on paper, to compare recipes. Loads no torch."""

from __future__ import annotations

import math
from typing import Final

from seglib.recipe import Recipe

__all__ = ["estimate_work"]

_MOVES: Final = 300.0
"""Multiplications that a processor makes while one value of a map goes through memory, and back
in the backward pass: thin levels wait for memory, wide ones compute."""


def estimate_work(
    recipe: Recipe, *, num_channels: int, num_logits: int, image_size: int
) -> float | None:
    """Multiplications of a U-Net for one image, and what else takes as long.

    It is made to tell how much longer one recipe takes than a similar one, not how long
    either takes: that is measured.

    Args:
        recipe: Which network.
        num_channels: Image channels that the network sees.
        num_logits: Output channels of the network.
        image_size: Side of the square image in pixels.

    Returns:
        A number without a unit; None for a network that is no U-Net of ours.
    """
    if getattr(recipe, "architecture", "unet") != "unet":
        return None
    side = math.ceil(image_size / (1 << recipe.depth)) << recipe.depth
    widths = [recipe.base_filters << level for level in range(recipe.depth + 1)]
    per_map = 1.0 if recipe.norm == "none" else 2.0
    total = 0.0
    for level, width in enumerate(widths):
        pixels = float((side >> level) ** 2)
        before = widths[level - 1] if level else num_channels
        total += pixels * 9 * width * (before + width)
        total += pixels * width * 2 * per_map * _MOVES
        if level < recipe.depth:  # the way up: twice as wide, joined with the skip, and back
            total += pixels * (9 * width * 3 * width + 2 * width * width * 4)
            total += pixels * width * (2 * per_map + 2 + bool(recipe.dropout)) * _MOVES
        if recipe.residual:
            total += pixels * width * (before + 2 * _MOVES)
    return total + float(side**2) * num_logits * (recipe.base_filters + 4 * _MOVES)
