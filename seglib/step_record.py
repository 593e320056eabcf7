"""What the steps of a pass came to, without a wait for each on a GPU."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from seglib.errors import DivergedError

__all__ = ["StepRecord"]

_STEPS_UNREAD: Final = 32
"""On a GPU: to read a number there, the host waits until all work before it is done."""


class StepRecord:
    """Adds up the losses of a pass; ends it after a run of steps that were not finite.

    On a CPU each step is looked at once it is made. On a GPU that is done for some dozens
    at once, so a run of lost steps is noticed a little later; nothing else differs.

    Args:
        name: Of the pass, for the message.
        most_in_a_row: This many lost steps end it.
    """

    def __init__(self, name: str, most_in_a_row: int) -> None:
        self._name, self._most_in_a_row = name, most_in_a_row
        self._waiting: list[tuple[Tensor, int]] = []
        self._total, self._seen, self._in_a_row = 0.0, 0, 0
        self._skipped = 0

    def add(self, loss: Tensor, made: Tensor, num_images: int) -> None:
        """Note a step.

        Args:
            loss: Mean over its images, float64.
            made: Whether the step was made; if not, its loss does not count.
            num_images: Images of the step.

        Shape:
            - loss, made: ``()``

        Raises:
            DivergedError: That was one too many that was not made.
        """
        self._waiting.append((torch.where(made, loss, torch.nan), num_images))
        if loss.device.type == "cpu" or len(self._waiting) >= _STEPS_UNREAD:
            self._settle()

    def result(self) -> tuple[float, int]:
        """Mean loss per image of the steps that were made, and how many were not.

        Returns:
            The two.

        Raises:
            DivergedError: Too many in a row were not made.
        """
        self._settle()
        return self._total / max(self._seen, 1), self._skipped

    def _settle(self) -> None:
        if not self._waiting:
            return
        losses = torch.stack([loss for loss, _ in self._waiting]).tolist()
        for loss, (_, num_images) in zip(losses, self._waiting, strict=True):
            if not math.isnan(loss):
                self._in_a_row = 0
                self._total, self._seen = self._total + loss * num_images, self._seen + num_images
                continue
            self._skipped, self._in_a_row = self._skipped + 1, self._in_a_row + 1
            if self._in_a_row >= self._most_in_a_row:
                raise DivergedError(f"{self._name}: {self._in_a_row} steps not finite in a row")
        self._waiting.clear()
