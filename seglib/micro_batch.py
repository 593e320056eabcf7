"""Micro-batches: loss and gradient of a batch that is too large to go through in one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seglib.losses import TverskyLoss

__all__ = ["Accumulator", "finest_logits"]


@dataclass(frozen=True)
class Accumulator:
    """Adds the gradient of a batch's loss to the parameters, however the batch is cut.

    Loss and gradient are those of the whole batch up to rounding, for every loss. Where
    the loss is a mean over images, micro-batches are weighed by their images. Where it
    counts over the batch (``overlap_over: batch``) there are two passes: the first, without
    gradients, gathers the logits, from which the loss and its gradient by the logits
    follow; the second carries that gradient into the network. Both draw the same dropout.

    What depends on the cut: the statistics of batch normalisation, which are those of a
    micro-batch, and where dropout falls.

    Args:
        model: Gives logits of each decoder level, finest first; in training mode.
        loss: Called as ``loss(logits, mask)``.
        autocast: Number format of the forward pass.
        scale: Applied to the loss before its gradient is taken.
    """

    model: nn.Module
    loss: nn.Module
    autocast: AbstractContextManager[object]
    scale: Callable[[Tensor], Tensor]

    def add_gradient(self, image: Tensor, mask: Tensor, micro_batch: int) -> tuple[Tensor, Tensor]:
        """Go through a batch, forth and back; the host waits for nothing.

        Args:
            image: The batch.
            mask: Its truth.
            micro_batch: Most images at once.

        Shape:
            - image: ``(B, C, H, W)``
            - mask: ``(B, H, W)``

        Returns:
            The loss as float64 and the finest logits. Where the loss is not finite, neither
            is the gradient.
        """
        if len(mask) > micro_batch and _counts_over_batch(self.loss):
            return self._in_two_passes(image, mask, micro_batch)
        value, finest = torch.zeros((), dtype=torch.float64, device=mask.device), []
        for piece, truth in _cut(micro_batch, image, mask):
            logits = self._forward(piece)
            cost = _supervise(self.loss, logits, truth) * (len(truth) / len(mask))
            value = value + cost.detach()
            self.scale(cost).backward(_one_if_finite(cost))  # type: ignore[no-untyped-call]
            finest.append(logits[0].detach())
        return value, _join(finest)

    def _in_two_passes(
        self, image: Tensor, mask: Tensor, micro_batch: int
    ) -> tuple[Tensor, Tensor]:
        generators = _generators(image.device)
        with torch.no_grad(), _without_running_statistics(self.model):
            outputs = [self._forward(piece) for (piece,) in _cut(micro_batch, image)]
        levels = [torch.cat(level).requires_grad_() for level in zip(*outputs, strict=True)]
        cost = _supervise(self.loss, levels, mask)
        by_level = torch.autograd.grad(self.scale(cost), levels, _one_if_finite(cost))
        _set_generators(generators, image.device)
        # what is not finite is not to be remembered; a GPU would have to be waited for
        is_lost = image.device.type == "cpu" and not torch.isfinite(cost)
        with _without_running_statistics(self.model) if is_lost else nullcontext():
            for piece, *gradients in _cut(micro_batch, image, *by_level):
                torch.autograd.backward(self._forward(piece), gradients)
        return cost.detach().double(), levels[0].detach()

    def _forward(self, image: Tensor) -> list[Tensor]:
        with self.autocast:
            logits: list[Tensor] = self.model(image)
        return logits


def finest_logits(
    model: nn.Module, image: Tensor, micro_batch: int, autocast: AbstractContextManager[object]
) -> Tensor:
    """Logits of a batch from a network that is not trained now: the cut changes nothing.

    Args:
        model: A network in evaluation mode.
        image: The batch.
        micro_batch: Most images at once.
        autocast: Number format of the forward pass.

    Shape:
        - image: ``(B, C, H, W)``
        - returns: ``(B, L, H, W)``

    Returns:
        The logits.
    """
    finest: list[Tensor] = []
    for (piece,) in _cut(micro_batch, image):
        with autocast:
            finest.append(model(piece)[0])
    return _join(finest)


def _cut(size: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some images after the others, of each tensor."""
    for start in range(0, len(tensors[0]), size):
        yield tuple(tensor[start : start + size] for tensor in tensors)


def _join(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))


def _one_if_finite(cost: Tensor) -> Tensor:
    """To start a gradient with: that of an infinite cross-entropy would be finite else."""
    return torch.where(torch.isfinite(cost.detach()), 1.0, torch.nan)


def _counts_over_batch(loss: nn.Module) -> bool:
    return any(isinstance(part, TverskyLoss) and 0 in part.summed for part in loss.modules())


def _supervise(loss: nn.Module, logits: Sequence[Tensor], mask: Tensor) -> Tensor:
    """The loss of each decoder level, halved in weight from level to level (nnU-Net's rule)."""
    weights = [0.5**level for level in range(len(logits))]
    total = torch.zeros((), device=mask.device)
    for level, (weight, level_logits) in enumerate(zip(weights, logits, strict=True)):
        total = total + weight * loss(level_logits, mask[:, :: 2**level, :: 2**level])
    return total / sum(weights)


@contextmanager
def _without_running_statistics(model: nn.Module) -> Iterator[None]:
    """Batch normalisation uses its batch as ever, and does not remember it."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _generators(device: torch.device) -> list[Tensor]:
    on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_gpu]


def _set_generators(states: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state, device)
