"""Losses by name: one cross-entropy, one Tversky core, and their weighted sums.

Two families cover every :data:`seglib.recipe.LossName`. The *pixel* losses are
three ways to average one cross-entropy; the *overlap* losses are one soft index
with two prices and a power. A pixel loss of a batch is the mean over its images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglib.metrics import mask_planes
from seglib.recipe import Recipe
from seglib.target import Target

__all__ = ["LOSSES", "OVERLAPS", "CrossEntropyLoss", "FocalLoss", "TopKLoss", "TverskyLoss"]
__all__ += ["WeightedSum", "build_loss"]

OVERLAPS: Final[dict[str, tuple[float, float]]] = {"dice": (0.5, 0.5), "jaccard": (1.0, 1.0)}
"""Prices of a false positive and a false negative that have a name of their own."""

# Below this cost the power of the focal Tversky loss is replaced by a straight line.
_STRAIGHT_BELOW: Final = 1e-3


class CrossEntropyLoss(nn.Module):
    r"""Mean cross-entropy over all pixels, in the form that the target asks for.

    Binary and regions: a yes-or-no question per class, averaged over pixels and
    classes. Organs: one choice per pixel among background and organs. Background
    takes part there because it is one of the answers; no mean over classes is taken.

    .. math:: -\log p_{\text{true answer}}

    Args:
        target: What the channels of the logits mean.

    Shape:
        - logits: ``(B, L, H, W)``, real, ``L = target.num_logits``
        - mask: ``(B, H, W)``, int64 labels
        - returns: ``()``, at least 0
    """

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare raw network output with the truth."""
        return _cross_entropy(logits, mask, self.target).mean()


class FocalLoss(nn.Module):
    r"""Cross-entropy in which a pixel that is already right weighs little.

    ``gamma`` 0 is plain cross-entropy. There is no class weight.

    .. math:: -(1 - p)^\gamma \log p, \qquad p = p_{\text{true answer}}

    Args:
        target: What the channels of the logits mean.
        gamma: How strongly easy pixels are played down, at least 0.

    Shape:
        - logits: ``(B, L, H, W)``, real, ``L = target.num_logits``
        - mask: ``(B, H, W)``, int64 labels
        - returns: ``()``, at least 0

    Raises:
        ValueError: ``gamma`` is negative.

    Source:
        Lin et al. 2017, arXiv:1708.02002.
    """

    def __init__(self, target: Target, *, gamma: float) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"gamma: found {gamma}; wanted at least 0")
        self.target = target
        self.gamma = gamma

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare raw network output with the truth."""
        cost = _cross_entropy(logits, mask, self.target)
        wrong = -torch.expm1(-cost)
        # x**gamma has no finite slope at 0 when gamma < 1; a pixel that is perfect keeps none
        wrong = wrong.clamp_min(torch.finfo(wrong.dtype).tiny)
        return (wrong**self.gamma * cost).mean()


class TopKLoss(nn.Module):
    r"""Mean cross-entropy over the hardest pixels of each image.

    A pixel's cost is the mean over its classes. nnU-Net picks the pixels from the
    whole batch; here each image gives its own share, so the loss does not depend
    on how a batch is cut into micro-batches. ``fraction`` 1 is plain cross-entropy.

    Args:
        target: What the channels of the logits mean.
        fraction: Share of pixels that count, above 0, at most 1; at least one pixel does.

    Shape:
        - logits: ``(B, L, H, W)``, real, ``L = target.num_logits``
        - mask: ``(B, H, W)``, int64 labels
        - returns: ``()``, at least 0

    Raises:
        ValueError: ``fraction`` is not in ``(0, 1]``.

    Source:
        ``TopKLoss`` of nnU-Net, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """

    def __init__(self, target: Target, *, fraction: float) -> None:
        super().__init__()
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction: found {fraction}; wanted above 0, at most 1")
        self.target = target
        self.fraction = fraction

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare raw network output with the truth."""
        cost = _cross_entropy(logits, mask, self.target).mean(dim=1).flatten(1)
        num_hard = max(1, round(self.fraction * cost.shape[1]))
        return cost.topk(num_hard, dim=1, sorted=False).values.mean()


class TverskyLoss(nn.Module):
    r"""One minus the Tversky index, averaged over foreground classes.

    ``alpha`` prices false positives, ``beta`` false negatives; Dice is 0.5 and 0.5,
    Jaccard 1 and 1 (:data:`OVERLAPS`). The counts are soft: sums of probabilities.
    The background channel of a softmax is never averaged.

    .. math::
        1 - \frac{TP + s}{TP + \alpha FP + \beta FN + s}
        = \frac{\alpha FP + \beta FN}{TP + \alpha FP + \beta FN + s}

    The same ``s`` stands above and below, which keeps the cost in ``[0, 1]`` and makes
    it exactly 0 without an error. A class absent from the mask costs
    :math:`\alpha FP / (\alpha FP + s)`: about 0 once its probabilities sum to far less
    than ``s`` pixels over the image, and half when they sum to :math:`s / \alpha`. A
    class of :math:`n` pixels that is missed costs :math:`\beta n / (\beta n + s)`, so
    ``s`` forgives only objects of about its own size.

    ``over`` an ``image`` each image counts by itself, ``over`` a ``batch`` all its images
    together: slices that lack a class then no longer rule what is learnt.

    With ``gamma`` above 1 the cost is raised to ``1 / gamma`` (Abraham & Khan write
    :math:`(1 - TI)^{1/\gamma}`, with 1 to 3 as sensible values), which steepens it for
    classes that are nearly right. Below 1 ``gamma`` counts as 1, plain Tversky. The
    power has infinite slope at 0, so costs under 0.001 follow the chord from 0 instead;
    the slope then never exceeds :math:`0.001^{1/\gamma - 1}`.

    Args:
        target: What the channels of the logits mean.
        alpha: Price of a false positive, at least 0.
        beta: Price of a false negative, at least 0.
        gamma: Power of the focal variant, at least 0; 1 is none.
        smooth: The ``s`` above, in pixels, positive.
        over: ``image`` or ``batch``.

    Shape:
        - logits: ``(B, L, H, W)``, real, ``L = target.num_logits``
        - mask: ``(B, H, W)``, int64 labels
        - returns: ``()`` in ``[0, 1]``

    Raises:
        ValueError: A price or ``gamma`` is negative, both prices or ``smooth`` are 0.

    Source:
        Salehi et al. 2017, arXiv:1706.05721; Abraham & Khan 2018, arXiv:1810.07842.
    """

    def __init__(
        self,
        target: Target,
        *,
        alpha: float,
        beta: float,
        gamma: float = 1.0,
        smooth: float = 1.0,
        over: Literal["image", "batch"] = "image",
    ) -> None:
        super().__init__()
        if min(alpha, beta) < 0 or max(alpha, beta) == 0:
            raise ValueError(f"alpha, beta: found {alpha}, {beta}; wanted one above 0, none below")
        if gamma < 0:
            raise ValueError(f"gamma: found {gamma}; wanted at least 0")
        if smooth <= 0:
            raise ValueError(f"smooth: found {smooth}; wanted above 0")
        self.target = target
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.smooth = smooth
        self.summed = (2, 3) if over == "image" else (0, 2, 3)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare raw network output with the truth."""
        prob = _foreground_prob(logits, self.target)
        truth = mask_planes(mask, self.target).to(prob.dtype)
        hit = (prob * truth).sum(dim=self.summed)
        # at least 0 but for rounding, should the two sums add in different orders
        false_pos = (prob.sum(dim=self.summed) - hit).clamp_min(0)
        false_neg = truth.sum(dim=self.summed) - hit
        price = self.alpha * false_pos + self.beta * false_neg
        cost = price / (hit + price + self.smooth)
        if self.gamma > 1:
            cost = cost * cost.clamp_min(_STRAIGHT_BELOW) ** (1 / self.gamma - 1)
        return cost.mean()


class WeightedSum(nn.Module):
    """Several losses added up, each times its weight.

    Args:
        parts: Pairs of weight and loss, at least one.
    """

    def __init__(self, parts: Iterable[tuple[float, nn.Module]]) -> None:
        super().__init__()
        weights, losses = zip(*parts, strict=True)
        self.weights: tuple[float, ...] = weights
        self.losses = nn.ModuleList(losses)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare raw network output with the truth."""
        costs = [
            weight * loss(logits, mask)
            for weight, loss in zip(self.weights, self.losses, strict=True)
        ]
        return torch.stack(costs).sum()


def build_loss(recipe: Recipe, target: Target) -> nn.Module:
    """The loss that a recipe names; it maps logits and mask to a scalar.

    Sums are in float32 whatever autocast says, in float64 for float64 logits.
    """
    return LOSSES[recipe.loss](recipe, target)


def _cross_entropy(logits: Tensor, mask: Tensor, target: Target) -> Tensor:
    """Cost of each answer: ``(B, C, H, W)`` for yes-or-no classes, ``(B, 1, H, W)`` for organs."""
    logits = _at_least_float32(logits, target)
    if target.kind == "organs":
        if target.num_labels > target.num_logits:
            # a label that belongs to no organ is background
            mask = mask.where(mask < target.num_logits, 0)
        return F.cross_entropy(logits, mask, reduction="none").unsqueeze(1)
    truth = mask_planes(mask, target).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none")


def _foreground_prob(logits: Tensor, target: Target) -> Tensor:
    """Probability of each foreground class, ``(B, C, H, W)``."""
    logits = _at_least_float32(logits, target)
    return logits.softmax(dim=1)[:, 1:] if target.kind == "organs" else logits.sigmoid()


def _at_least_float32(logits: Tensor, target: Target) -> Tensor:
    """Undo autocast before any sum; refuse logits of another target."""
    assert logits.shape[1] == target.num_logits, (logits.shape, target.num_logits)
    return logits if logits.dtype == torch.float64 else logits.float()


def _dice(recipe: Recipe, target: Target) -> nn.Module:
    alpha, beta = OVERLAPS["dice"]
    return TverskyLoss(target, alpha=alpha, beta=beta, over=recipe.overlap_over)


def _dice_and_cross_entropy(recipe: Recipe, target: Target) -> nn.Module:
    weight = recipe.dice_weight
    return WeightedSum([(weight, _dice(recipe, target)), (1 - weight, CrossEntropyLoss(target))])


def _tversky(recipe: Recipe, target: Target, gamma: float = 1.0) -> nn.Module:
    alpha, beta = recipe.tversky_alpha, recipe.tversky_beta
    return TverskyLoss(target, alpha=alpha, beta=beta, gamma=gamma, over=recipe.overlap_over)


LOSSES: Final[dict[str, Callable[[Recipe, Target], nn.Module]]] = {
    "bce": lambda _, target: CrossEntropyLoss(target),
    "ce": lambda _, target: CrossEntropyLoss(target),
    "dice": _dice,
    "dice_bce": _dice_and_cross_entropy,
    "dice_ce": _dice_and_cross_entropy,
    "tversky": _tversky,
    "focal": lambda recipe, target: FocalLoss(target, gamma=recipe.focal_gamma),
    "focal_tversky": lambda recipe, target: _tversky(recipe, target, recipe.focal_gamma),
    "topk_ce": lambda recipe, target: TopKLoss(target, fraction=recipe.topk_fraction),
}
"""Every loss by its name in a recipe; a row builds it."""
