"""Batch normalisation's statistics, measured again for a network that is to be scored."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

__all__ = ["recompute_statistics"]


@torch.no_grad()
def recompute_statistics(
    model: nn.Module, images: Iterable[Tensor], autocast: AbstractContextManager[object]
) -> None:
    """Replace the running mean and variance of every batch normalisation.

    Dropout in front of a normalisation adds variance while the network trains, and the
    running statistics remember it; without dropout they no longer fit, and what comes
    out is too small. Here they are measured as the network is used: without dropout,
    averaged over the batches, each of the same weight. No weight changes. The model is
    left in evaluation mode.

    Args:
        model: Any network.
        images: Batches as it is trained on, not augmented; at least one.
        autocast: Number format of the forward pass.

    Source:
        Li et al. 2018, arXiv:1801.05134 (the shift of variance); Wu and Johnson 2021,
        arXiv:2105.07576 (statistics measured anew).
    """
    model.eval()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    try:
        for image in images:
            with autocast:
                model(image)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
