"""Our losses, scores and surface distances beside MONAI and segmentation_models.pytorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seglib.losses import CrossEntropyLoss, FocalLoss, TverskyLoss
from seglib.metrics import Tally, mask_planes, predict_planes
from seglib.networks import load_library
from seglib.surface import surface_distances
from tests.contracts import TARGETS, random_batch

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

SIGMOID = ("binary", "regions")


@pytest.fixture
def monai() -> Any:
    import monai.losses
    import monai.metrics

    return monai


@pytest.fixture
def smp() -> Any:
    return load_library("smp")


def one_hot(mask: Tensor, kind: str) -> Tensor:
    """Truth as the peers want it: with background for organs."""
    planes = mask_planes(mask, TARGETS[kind])
    if kind == "organs":
        planes = torch.cat([~planes.any(dim=1, keepdim=True), planes], dim=1)
    return planes.double()


def pair(kind: str) -> tuple[Tensor, Tensor]:
    return random_batch(TARGETS[kind], seed=31, size=(3, 16, 16))


@pytest.mark.parametrize("kind", ["binary", "organs", "regions"])
@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.3, 0.7), (1.0, 1.0)])
def test_tversky_is_monai_s(monai: Any, kind: str, alpha: float, beta: float) -> None:
    logits, mask = pair(kind)
    soft = kind == "organs"
    theirs = monai.losses.TverskyLoss(
        include_background=not soft, sigmoid=not soft, softmax=soft, alpha=alpha, beta=beta,
        smooth_nr=1.0, smooth_dr=1.0,
    )  # fmt: skip
    ours = TverskyLoss(TARGETS[kind], alpha=alpha, beta=beta)
    wanted = theirs(logits, one_hot(mask, kind)).item()
    assert ours(logits, mask).item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("kind", ["binary", "organs", "regions"])
def test_dice_is_monai_s_with_twice_the_smoothing(monai: Any, kind: str) -> None:
    logits, mask = pair(kind)
    soft = kind == "organs"
    theirs = monai.losses.DiceLoss(
        include_background=not soft, sigmoid=not soft, softmax=soft, smooth_nr=2.0, smooth_dr=2.0
    )
    ours = TverskyLoss(TARGETS[kind], alpha=0.5, beta=0.5)
    wanted = theirs(logits, one_hot(mask, kind)).item()
    assert ours(logits, mask).item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("kind", ["binary", "organs", "regions"])
def test_focal_is_monai_s(monai: Any, kind: str) -> None:
    logits, mask = pair(kind)
    soft = kind == "organs"
    theirs = monai.losses.FocalLoss(gamma=2.0, use_softmax=soft)(logits, one_hot(mask, kind)).item()
    # MONAI averages the softmax form over channels too, though only one of them is not 0
    wanted = theirs * (logits.shape[1] if soft else 1)
    ours = FocalLoss(TARGETS[kind], gamma=2.0)(logits, mask).item()
    assert ours == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("kind", SIGMOID)
def test_losses_of_one_image_are_smp_s(smp: Any, kind: str) -> None:
    # smp sums over the batch before it divides, so one image at a time
    target = TARGETS[kind]
    batch, masks = pair(kind)
    logits, mask = batch[:1], masks[:1]
    truth, mode = one_hot(mask, kind), "binary" if kind == "binary" else "multilabel"
    pairs = {
        TverskyLoss(target, alpha=0.5, beta=0.5): smp.losses.DiceLoss(mode, smooth=1.0),
        TverskyLoss(target, alpha=0.3, beta=0.7): smp.losses.TverskyLoss(
            mode, alpha=0.3, beta=0.7, smooth=1.0
        ),
        TverskyLoss(target, alpha=1.0, beta=1.0): smp.losses.JaccardLoss(mode, smooth=1.0),
        FocalLoss(target, gamma=2.0): smp.losses.FocalLoss(mode, gamma=2.0),
        CrossEntropyLoss(target): smp.losses.SoftBCEWithLogitsLoss(),
    }
    for ours, theirs in pairs.items():
        wanted = theirs(logits, truth).item()
        assert ours(logits, mask).item() == pytest.approx(wanted, rel=1e-6), type(theirs)


def test_organ_losses_of_one_image_are_smp_s(smp: Any) -> None:
    target = TARGETS["organs"]
    batch, masks = pair("organs")
    logits, mask = batch[:1], masks[:1]
    foreground = [1, 2]
    theirs = smp.losses.DiceLoss("multiclass", classes=foreground, smooth=1.0)
    ours = TverskyLoss(target, alpha=0.5, beta=0.5)
    assert ours(logits, mask).item() == pytest.approx(theirs(logits, mask).item(), rel=1e-6)
    theirs = smp.losses.SoftCrossEntropyLoss(smooth_factor=0.0)
    ours_ce = CrossEntropyLoss(target)
    assert ours_ce(logits, mask).item() == pytest.approx(theirs(logits, mask).item(), rel=1e-6)


@pytest.mark.parametrize("kind", ["binary", "organs", "regions"])
def test_scores_per_case_are_monai_s(monai: Any, kind: str) -> None:
    target = TARGETS[kind]
    logits, mask = pair(kind)
    pred, true = predict_planes(logits, target), mask_planes(mask, target)
    tally = Tally(target)
    tally.update(pred, true, ["a", "b", "c"])
    table = tally.scores().per_case
    for metric, theirs in (
        ("dice", monai.metrics.compute_dice),
        ("iou", monai.metrics.compute_iou),
    ):
        wanted = theirs(pred.float(), true.float(), include_background=True).ravel().tolist()
        assert table[metric].tolist() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("kind", SIGMOID)
def test_scores_are_smp_s_image_by_image(smp: Any, kind: str) -> None:
    target = TARGETS[kind]
    logits, mask = pair(kind)
    pred, true = predict_planes(logits, target), mask_planes(mask, target)
    tally = Tally(target)
    tally.update(pred, true, ["a", "b", "c"])
    counts = smp.metrics.get_stats(pred.long(), true.long(), mode="multilabel")
    for metric, theirs in (("dice", "f1_score"), ("iou", "iou_score"), ("precision", "precision"),
                           ("recall", "recall")):  # fmt: skip
        wanted = getattr(smp.metrics, theirs)(*counts, reduction="macro-imagewise").item()
        assert getattr(tally.scores(), metric) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (3.0, 0.5)])
def test_surface_figures_are_monai_s(monai: Any, spacing_mm: tuple[float, float]) -> None:
    generator = np.random.default_rng(5)
    grid = np.indices((40, 40)).transpose(1, 2, 0)
    for _ in range(5):
        pred, true = (
            np.linalg.norm(grid - generator.uniform(14, 26, 2), axis=-1) < generator.uniform(5, 12)
            for _ in range(2)
        )
        distances = surface_distances(pred, true, spacing_mm)
        planes = [torch.from_numpy(mask)[None, None].float() for mask in (pred, true)]
        # MONAI takes the larger of the two directed percentiles, we pool both
        wanted = monai.metrics.compute_hausdorff_distance(
            *planes, include_background=True, percentile=95, spacing=spacing_mm
        ).item()
        both = (distances.pred_to_true_mm, distances.true_to_pred_mm)
        assert max(np.percentile(part, 95) for part in both) == pytest.approx(wanted, rel=1e-5)
        wanted = monai.metrics.compute_surface_dice(
            *planes, [1.7], include_background=True, spacing=spacing_mm
        ).item()
        assert distances.surface_dice(1.7) == pytest.approx(wanted, rel=1e-5)
