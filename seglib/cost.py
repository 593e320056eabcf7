"""What a recipe will cost, worked out on paper: parameters and memory. Loads no torch."""

from __future__ import annotations

import math

from seglib.recipe import Recipe

__all__ = ["count_parameters", "estimate_memory_gb"]

_BYTES = 4
_OPTIMIZER_COPIES = {"sgd": 1, "adam": 2, "adamw": 2}


def count_parameters(recipe: Recipe, *, num_channels: int, num_logits: int) -> int:
    """Trainable parameters of the recipe's U-Net, exactly.

    Args:
        recipe: Which network.
        num_channels: Image channels.
        num_logits: Output channels of the network.

    Returns:
        Their number.
    """
    widths = _widths(recipe)
    total = sum(
        _block_parameters(before, width, recipe)
        for before, width in zip([num_channels, *widths], widths, strict=False)
    )
    for width in widths[:-1]:
        total += 2 * width * width * 4 + width
        total += _block_parameters(2 * width, width, recipe)
    num_heads = recipe.depth if recipe.deep_supervision else 1
    return total + sum((width + 1) * num_logits for width in widths[:num_heads])


def _widths(recipe: Recipe) -> list[int]:
    return [recipe.base_filters << level for level in range(recipe.depth + 1)]


def _block_parameters(num_in: int, num_out: int, recipe: Recipe) -> int:
    total = 9 * num_in * num_out + 9 * num_out * num_out
    if recipe.norm == "none" or recipe.lab_exact:
        total += 2 * num_out
    if recipe.norm != "none":
        total += 4 * num_out
    if recipe.residual and num_in != num_out:
        total += num_in * num_out
    return total


def estimate_memory_gb(
    recipe: Recipe, *, num_channels: int, num_logits: int, image_size: int
) -> float:
    """Memory of one training step in GB: weights, optimiser, and what backward keeps.

    Counts, in fp32, the tensors that autograd saves for each level: inputs of
    convolutions and normalisations, pooled and joined maps, logits and their
    probabilities. The run-time and its libraries (about 0.4 GB) are not in it.

    Args:
        recipe: Which network and batch size.
        num_channels: Image channels.
        num_logits: Output channels of the network.
        image_size: Side of the square image in pixels.

    Returns:
        GB, that is 1e9 bytes.
    """
    multiple = 1 << recipe.depth
    side = math.ceil(image_size / multiple) * multiple
    maps_per_conv = 1 if recipe.norm == "none" else 2
    dropped = 2 if recipe.dropout else 1
    floats = 0.0
    for level, width in enumerate(_widths(recipe)):
        pixels = (side / (1 << level)) ** 2
        blocks = 2 if level < recipe.depth else 1
        floats += pixels * width * 2 * maps_per_conv * blocks
        if level < recipe.depth:
            floats += pixels * 2 * width * dropped + pixels * width / 4 * (dropped + 1)
    floats += side**2 * (num_channels + 4 * num_logits)
    weights = count_parameters(recipe, num_channels=num_channels, num_logits=num_logits)
    states = 2 + _OPTIMIZER_COPIES[recipe.optimizer]
    return (floats * recipe.batch_size + weights * states) * _BYTES / 1e9
