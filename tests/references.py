"""Slow, obvious NumPy versions of losses, metrics and surface distances.

Written with plain loops over images, classes and pixels and without a look at the
code under test, so that agreement means something.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from seglib.target import Target

__all__ = [
    "bootstrap_of_means",
    "both_ways_mm",
    "case_figures",
    "cross_entropy",
    "directed_mm",
    "focal",
    "foreground_prob",
    "four_metrics",
    "hausdorff_mm",
    "pixel_costs",
    "planes",
    "surface_points",
    "surface_share",
    "topk",
    "true_answer_prob",
    "tversky",
]

Array = NDArray[np.float64]


def planes(mask: NDArray[np.int64], target: Target) -> NDArray[np.bool_]:
    """``(B, H, W)`` labels -> ``(B, C, H, W)``."""
    out = np.zeros((mask.shape[0], target.num_classes, *mask.shape[1:]), np.bool_)
    for b, y, x in np.ndindex(mask.shape):
        for c, labels in enumerate(target.members):
            out[b, c, y, x] = int(mask[b, y, x]) in labels
    return out


def foreground_prob(logits: Array, target: Target) -> Array:
    """``(B, L, H, W)`` -> ``(B, C, H, W)``."""
    if target.kind == "organs":
        power = np.exp(logits - logits.max(axis=1, keepdims=True))
        softmax: Array = power / power.sum(axis=1, keepdims=True)
        return softmax[:, 1:]
    sigmoid: Array = 1 / (1 + np.exp(-logits))
    return sigmoid


def true_answer_prob(logits: Array, mask: NDArray[np.int64], target: Target) -> Array:
    """Probability of what is right, ``(B, questions, H, W)``."""
    prob = foreground_prob(logits, target)
    truth = planes(mask, target)
    if target.kind != "organs":
        return np.where(truth, prob, 1 - prob)
    right: Array = np.where(truth.any(axis=1), (prob * truth).sum(axis=1), 1 - prob.sum(axis=1))
    return right[:, None]


def pixel_costs(logits: Array, mask: NDArray[np.int64], target: Target) -> Array:
    costs: Array = -np.log(true_answer_prob(logits, mask, target))
    return costs


def cross_entropy(logits: Array, mask: NDArray[np.int64], target: Target) -> float:
    return float(pixel_costs(logits, mask, target).mean())


def focal(logits: Array, mask: NDArray[np.int64], target: Target, *, gamma: float) -> float:
    prob = true_answer_prob(logits, mask, target)
    return float((-((1 - prob) ** gamma) * np.log(prob)).mean())


def topk(logits: Array, mask: NDArray[np.int64], target: Target, *, fraction: float) -> float:
    """Hardest pixels of each image."""
    means = []
    for image in pixel_costs(logits, mask, target):
        pixels = sorted(image.mean(axis=0).ravel().tolist(), reverse=True)
        means.append(np.mean(pixels[: max(1, round(fraction * len(pixels)))]))
    return float(np.mean(means))


def tversky(
    logits: Array,
    mask: NDArray[np.int64],
    target: Target,
    *,
    alpha: float,
    beta: float,
    power: float = 1.0,
    smooth: float = 1.0,
    over: str = "image",
) -> float:
    prob, truth = foreground_prob(logits, target), planes(mask, target)
    if over == "batch":  # one tall image
        prob, truth = (np.concatenate(list(x), axis=1)[None] for x in (prob, truth))
    costs = []
    for b in range(prob.shape[0]):
        for c in range(prob.shape[1]):
            p, t = prob[b, c], truth[b, c].astype(np.float64)
            tp, fp, fn = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
            index = (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)
            costs.append((1 - index) ** power)
    return float(np.mean(costs))


def four_metrics(pred: NDArray[np.bool_], true: NDArray[np.bool_]) -> dict[str, float]:
    """Of one case and class, both given as a list of pixels; NaN when both are empty."""
    tp = fp = fn = 0
    for p, t in zip(pred.ravel().tolist(), true.ravel().tolist(), strict=True):
        tp, fp, fn = tp + (p and t), fp + (p and not t), fn + (t and not p)
    if tp + fp + fn == 0:
        return dict.fromkeys(("dice", "iou", "precision", "recall"), math.nan)
    return {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
    }


def surface_points(inside: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Voxels inside with a face neighbour outside, or at the edge of the picture."""
    found = []
    for place in np.ndindex(inside.shape):
        if not inside[place]:
            continue
        for axis, step in itertools.product(range(inside.ndim), (-1, 1)):
            near = list(place)
            near[axis] += step
            if not 0 <= near[axis] < inside.shape[axis] or not inside[tuple(near)]:
                found.append(place)
                break
    return found


def directed_mm(
    start: list[tuple[int, ...]], end: list[tuple[int, ...]], spacing_mm: tuple[float, ...]
) -> list[float]:
    def apart(a: tuple[int, ...], b: tuple[int, ...]) -> float:
        return math.dist(
            *(tuple(i * s for i, s in zip(p, spacing_mm, strict=True)) for p in (a, b))
        )

    return [min(apart(a, b) for b in end) for a in start]


def both_ways_mm(
    pred: NDArray[np.bool_], true: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> list[float]:
    a, b = surface_points(pred), surface_points(true)
    return directed_mm(a, b, spacing_mm) + directed_mm(b, a, spacing_mm)


def hausdorff_mm(
    pred: NDArray[np.bool_],
    true: NDArray[np.bool_],
    spacing_mm: tuple[float, ...],
    percentile: float,
) -> float:
    return float(np.percentile(both_ways_mm(pred, true, spacing_mm), percentile))


def surface_share(
    pred: NDArray[np.bool_],
    true: NDArray[np.bool_],
    spacing_mm: tuple[float, ...],
    tolerance_mm: float,
) -> float:
    distances = both_ways_mm(pred, true, spacing_mm)
    return sum(d <= tolerance_mm for d in distances) / len(distances)


def bootstrap_of_means(
    dice: dict[tuple[str, str, str], float], draws: list[dict[str, int]]
) -> list[float]:
    """Mean over cases, then over classes, for patients drawn so often: one for each draw.

    ``dice`` is by patient, case and class; NaN where a case does not count.
    """
    means = []
    for times in draws:
        classes: dict[str, list[float]] = {}
        for (patient, _, name), value in dice.items():
            if not math.isnan(value):
                classes.setdefault(name, []).extend([value] * times[patient])
        known = [sum(values) / len(values) for values in classes.values() if values]
        means.append(sum(known) / len(known))
    return means


def case_figures(
    pred: NDArray[np.bool_],
    true: NDArray[np.bool_],
    spacing_mm: tuple[float, ...],
    tolerance_mm: float,
) -> dict[str, float]:
    """All figures of one case and class: a volume, or a picture with two spacings."""
    found = four_metrics(pred, true)
    voxel = math.prod(spacing_mm)
    found |= {"true_volume": true.sum() * voxel, "pred_volume": pred.sum() * voxel}
    if pred.any() and true.any():
        found["hd95"] = hausdorff_mm(pred, true, spacing_mm, 95)
        found["surface_dice"] = surface_share(pred, true, spacing_mm, tolerance_mm)
    elif pred.any() or true.any():
        found |= {"hd95": math.inf, "surface_dice": 0.0}
    else:
        found |= {"hd95": math.nan, "surface_dice": math.nan}
    return found
