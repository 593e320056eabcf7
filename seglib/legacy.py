"""How the lab's notebooks scored: over whole batches, background counted in on request.

These figures are here to stand beside the lab's own and for nothing else: they change
with the batch size, large cases rule them, and with background among the classes a
network that finds nothing scores near 1. What to believe is :mod:`seglib.metrics`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seglib.metrics import mask_planes, predict_planes
from seglib.target import Target

__all__ = ["LEGACY_FIGURES", "LEGACY_SMOOTH", "LegacyTally"]

LEGACY_SMOOTH = 1.0
"""What the notebooks add above and below their Dice, in pixels."""

_FIGURES = ("batch_dice", "batch_precision", "batch_recall")
LEGACY_FIGURES = (*_FIGURES, *(f"{name}_with_background" for name in _FIGURES))


class LegacyTally:
    """Figures pooled over each batch, then averaged over batches, as Keras shows them.

    All pixels of all classes of a batch are one heap. Dice is taken from probabilities,
    precision and recall from decisions; a ratio 0/0 of those is 0:

    .. math::
        D = \\frac{2 \\sum p\\,t + 1}{\\sum p + \\sum t + 1}, \\quad
        P = \\frac{TP}{TP + FP}, \\quad R = \\frac{TP}{TP + FN}

    In a batch without foreground ``D`` is ``1 / (1 + sum p)``: near 1 or near 0, and it
    says nothing but how much was marked. The figures ``_with_background`` are the same
    of one-hot masks in which background is a class like any other, with the probability
    that no class is there. Then every pixel is a true positive or both a false positive
    and a false negative, so precision and recall are one number, the share of pixels
    that are right (unless classes overlap).

    Args:
        target: Labels and classes of the masks.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._batches: list[list[float]] = []

    def update(self, logits: Tensor, mask: Tensor) -> None:
        """Add a batch; which slices share one changes the figures.

        Args:
            logits: Raw network output.
            mask: Labels.

        Shape:
            - logits: ``(B, L, H, W)``, ``L = target.num_logits``
            - mask: ``(B, H, W)``, integer
        """
        prob, prob_of_none = _probabilities(logits, self.target)
        marked, true = predict_planes(logits, self.target), mask_planes(mask, self.target)
        classes = _sums(prob, marked, true)
        ground = _sums(prob_of_none, ~marked.any(dim=1), ~true.any(dim=1))
        self._batches.append([*_ratios(classes), *_ratios(classes + ground)])

    def figures(self) -> dict[str, float]:
        """Mean over the batches so far, by the names in ``LEGACY_FIGURES``; NaN before any."""
        means = torch.tensor(self._batches, dtype=torch.float64).reshape(-1, len(LEGACY_FIGURES))
        return dict(zip(LEGACY_FIGURES, means.mean(dim=0).tolist(), strict=True))


def _probabilities(logits: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Of each class ``(B, C, H, W)``, and of none of them ``(B, H, W)``."""
    plain = logits.float().contiguous()  # channels-last is several times slower beside planes
    if target.kind == "organs":
        prob = plain.softmax(dim=1)
        return prob[:, 1:], prob[:, 0]
    prob = plain.sigmoid()
    return prob, 1 - prob.amax(dim=1)


def _sums(prob: Tensor, marked: Tensor, true: Tensor) -> NDArray[np.float64]:
    """Soft overlap and soft sizes; then, of decisions, overlap, what is marked, what is true."""
    num_true = torch.count_nonzero(true)
    soft = [(prob * true).sum(dtype=torch.float64), prob.sum(dtype=torch.float64) + num_true]
    hard = [torch.count_nonzero(marked & true), torch.count_nonzero(marked), num_true]
    return np.array([float(one) for one in (*soft, *hard)])


def _ratios(sums: NDArray[np.float64]) -> tuple[float, float, float]:
    """Dice, precision and recall of all pixels as one heap."""
    overlap, sizes, hit, num_marked, num_true = sums.tolist()
    return (
        (2 * overlap + LEGACY_SMOOTH) / (sizes + LEGACY_SMOOTH),
        hit / max(num_marked, 1.0),
        hit / max(num_true, 1.0),
    )
