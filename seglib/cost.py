"""What a recipe will cost, worked out on paper: parameters and memory. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from seglib.architecture_cost import LIBRARY_GB, cost_of
from seglib.architectures import architecture_of, count_halvings
from seglib.processor import has_fast_bf16
from seglib.recipe import Recipe

__all__ = [
    "MEMORY_ERROR",
    "count_parameters",
    "estimate_checkpoint_gb",
    "estimate_memory_gb",
]

MEMORY_ERROR: Final = 0.15
"""No prediction was off by more than this share of what training on a CPU really took."""

_FLOAT, _INT64 = 4, 8
_OPTIMIZER_STATES = {"sgd": 1, "adam": 2, "adamw": 2}

# Measured, see decision 022: a worker of Ray that has trained, and augmented for, the smallest
# network.
_PROCESS = 0.535e9
# C's allocator keeps what is freed, and tensors of other sizes do not fill all the gaps. In
# smp's networks, whose encoders begin at half the size, they do; see decision 039.
_GAPS = {"": 1.4, "monai": 1.4, "smp": 1.0}
# Autocast on a CPU holds weights in half precision, and gradients until they are converted.
_HALF_WEIGHTS = 2 * (_FLOAT // 2)


def count_parameters(recipe: Recipe, *, num_channels: int, num_logits: int) -> int:
    """Trainable parameters of the recipe's network, exactly.

    Args:
        recipe: Which network.
        num_channels: Image channels.
        num_logits: Output channels of the network.

    Returns:
        Their number.
    """
    if recipe.architecture != "unet":
        return cost_of(recipe, num_channels=num_channels, num_logits=num_logits).weights
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


def estimate_checkpoint_gb(recipe: Recipe, *, num_channels: int, num_logits: int) -> float:
    """Disk that one checkpoint takes at most, in GB: weights, optimiser states and rows.

    Args:
        recipe: Which network, optimiser and number of epochs.
        num_channels: Image channels that the network sees.
        num_logits: Output channels of the network.

    Returns:
        GB, that is 1e9 bytes.
    """
    weights = count_parameters(recipe, num_channels=num_channels, num_logits=num_logits)
    tensors = weights * (1 + _OPTIMIZER_STATES[recipe.optimizer]) * _FLOAT
    # Names, checksums, running statistics, the best epoch's table: 55 to 140 kB were measured.
    return (1.01 * tensors + 250e3 + 1e3 * recipe.epochs) / 1e9


def estimate_memory_gb(
    recipe: Recipe, *, num_channels: int, num_logits: int, image_size: int, on_gpu: bool = False
) -> float:
    """Most memory that a trial will take, in GB.

    On a CPU that is the whole process, as the system counts it (its resident set), without
    the pages of the store, which all trials share. On a GPU it is what lies on the device:
    not the driver's own part, nor what the process holds in the host's memory.

    The tensors are counted one by one: at the start of the backward pass lie all those that
    autograd has saved, and the first gradients. Beside them stand weights, gradients,
    optimiser states and the copy of those that the epoch began with. What the allocator of a
    CPU and the libraries add is measured: ``benchmarks/memory_model.py``, decision 022. On
    GPUs nothing is measured yet. Scoring whole volumes after the last epoch is not in it.

    Args:
        recipe: Which network and batch size.
        num_channels: Image channels that the network sees.
        num_logits: Output channels of the network.
        image_size: Side of the square image in pixels.
        on_gpu: Where the trial trains.

    Returns:
        GB, that is 1e9 bytes; on a CPU it is off by :data:`MEMORY_ERROR` at most.
    """
    sizes = {"num_channels": num_channels, "num_logits": num_logits}
    copies = 2 + _OPTIMIZER_STATES[recipe.optimizer]
    if recipe.batch_size > 1 and not on_gpu:
        copies += copies - 1  # of the epoch's start, gradients excepted; see decision 016
    weights = count_parameters(recipe, **sizes)
    total = float(copies * weights * _FLOAT)
    tensors = sum(
        tensor * count * recipe.batch_size
        for tensor, count in _tensors(recipe, **sizes, image_size=image_size, on_gpu=on_gpu)
    )
    if on_gpu:
        return (total + tensors) / 1e9
    if _is_half(recipe, on_gpu=False):
        total += weights * _HALF_WEIGHTS
    library = architecture_of(recipe).library
    return (total + tensors * _GAPS[library] + _PROCESS) / 1e9 + LIBRARY_GB[library]


def _is_half(recipe: Recipe, *, on_gpu: bool) -> bool:
    """Whether the network computes in half precision; ``auto`` asks, as training does."""
    if recipe.precision == "auto":
        return on_gpu or has_fast_bf16()
    return recipe.precision != "fp32"


def _tensors(
    recipe: Recipe, *, num_channels: int, num_logits: int, image_size: int, on_gpu: bool
) -> Iterator[tuple[float, float]]:
    """Bytes that an image takes in each kind of tensor of a training step, and how many."""
    multiple = 1 << count_halvings(recipe)
    side = math.ceil(image_size / multiple) * multiple
    number = _FLOAT / 2 if _is_half(recipe, on_gpu=on_gpu) else _FLOAT
    yield image_size**2 * num_channels * _FLOAT, 1
    yield image_size**2 * _INT64, 1  # the mask
    yield image_size**2 * num_logits * _FLOAT, 4  # logits, truth, probabilities, their product
    if recipe.architecture != "unet":
        cost = cost_of(recipe, num_channels=num_channels, num_logits=num_logits)
        yield side**2 * cost.kept * number, 1
        yield side**2 * cost.top * number, 1
        return
    maps_per_conv = 1 if recipe.norm == "none" else 2  # what comes out, and what it is made into
    copies = 2 if recipe.dropout else 1  # dropout keeps its noise
    for level, width in enumerate(_widths(recipe)):
        pixels = (side >> level) ** 2
        one = pixels * width * number
        if level < recipe.depth:
            yield one, 2 * 2 * maps_per_conv  # a block on the way down and one up, of two each
            yield 2 * one, copies  # joined with the skip
            yield one / 4, copies  # pooled
            yield pixels / 4 * width * _INT64, 1  # where each pooled pixel came from
        else:
            yield one, 2 * maps_per_conv
    gradients = 4 if recipe.residual else 2  # those of both ways wait for each other
    yield side**2 * recipe.base_filters * number, gradients
