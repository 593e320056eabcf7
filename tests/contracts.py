"""Contracts: what every object of a kind must do, as classes to inherit.

Give the fixture that the class asks for and pytest runs all its properties.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seglib.target import Target

__all__ = ["TARGETS", "LossContract", "check_moves_alike", "perfect_logits", "random_batch"]

TARGETS: Final[dict[str, Target]] = {
    "binary": Target(
        kind="binary", classes=("tumour",), values={0: 0, 1: 1, 2: 2, 4: 4}, members=((1, 2, 4),)
    ),
    "organs": Target(
        kind="organs",
        classes=("left", "right"),
        values={0: 0, 156: 1, 251: 2},
        members=((1,), (2,)),
    ),
    "organs_and_rest": Target(
        kind="organs", classes=("left",), values={0: 0, 156: 1, 251: 2}, members=((1,),)
    ),
    "regions": Target(
        kind="regions",
        classes=("WT", "TC", "ET"),
        values={0: 0, 1: 1, 2: 2, 4: 4},
        members=((1, 2, 4), (1, 4), (4,)),
    ),
}
"""One target of each kind, and one in which a label belongs to no class."""


def random_batch(
    target: Target, *, seed: int, size: tuple[int, int, int] = (3, 9, 7)
) -> tuple[Tensor, Tensor]:
    """Float64 logits and int64 labels; every label occurs somewhere."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(sorted(set(target.values.values())))
    mask = labels[torch.randint(len(labels), size, generator=generator)]
    num_images, height, width = size
    shape = (num_images, target.num_logits, height, width)
    return 2 * torch.randn(shape, generator=generator, dtype=torch.float64), mask


def perfect_logits(mask: Tensor, target: Target, *, sure: float = 60.0) -> Tensor:
    """Float32 logits that say exactly what the mask says."""
    table = torch.tensor(target.membership())
    planes = table[mask].movedim(-1, 1)
    if target.kind == "organs":
        planes = torch.cat([~planes.any(dim=1, keepdim=True), planes], dim=1)
    return torch.where(planes, sure, -sure)


def check_moves_alike(
    augment: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    *,
    num_channels: int = 1,
) -> None:
    """A geometric augmentation does to the mask what it does to every channel.

    The slice is two boxes of labels 1 and 4, as bright as 50 times the label, so the
    image tells where the mask must be; labels stay labels.
    """
    mask = np.zeros((48, 48), dtype=np.uint8)
    mask[10:20, 8:22], mask[26:40, 20:36] = 1, 4
    image = np.repeat(mask[..., None] * np.uint8(50), num_channels, axis=2)
    for _ in range(10):
        changed, moved = augment(image, mask)
        assert set(np.unique(moved)) <= {0, 1, 4}, "the mask holds labels that it did not have"
        wanted = np.repeat(moved[..., None].astype(int) * 50, num_channels, axis=2)
        # only pixels on an edge may differ: linear in the image, nearest in the mask
        away = (np.abs(changed.astype(int) - wanted) > 110).mean()
        assert away < 0.01, "image and mask do not lie on each other"
        assert (changed != wanted).mean() < 0.2, "image and mask do not lie on each other"
        assert np.array_equal(changed, np.repeat(changed[..., :1], num_channels, axis=2))


class LossContract:
    """A loss maps logits and mask to a scalar that can be minimised safely.

    Inherit and define the fixture ``subject``: the loss and the target it is for.
    """

    Subject = tuple[nn.Module, Target]

    @pytest.fixture
    def subject(self) -> Subject:
        raise NotImplementedError

    def test_value_is_a_scalar_at_least_zero(self, subject: Subject) -> None:
        loss, target = subject
        logits, mask = random_batch(target, seed=1)
        value = loss(logits.float(), mask)
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert value.item() > 0

    @pytest.mark.parametrize("size", [1e4, -1e4])
    def test_extreme_logits_give_finite_value_and_gradient(
        self, subject: Subject, size: float
    ) -> None:
        loss, target = subject
        logits, mask = random_batch(target, seed=2)
        logits = (logits.sign() * size).float().requires_grad_()
        value = loss(logits, mask)
        value.backward()
        assert logits.grad is not None
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()

    @pytest.mark.parametrize("sure", [60.0, 1e4])
    def test_perfect_prediction_costs_nothing(self, subject: Subject, sure: float) -> None:
        loss, target = subject
        _, mask = random_batch(target, seed=3)
        logits = perfect_logits(mask, target, sure=sure).requires_grad_()
        value = loss(logits, mask)
        value.backward()
        assert logits.grad is not None
        assert value.item() == pytest.approx(0, abs=1e-6)
        assert torch.isfinite(logits.grad).all()

    def test_image_without_foreground_predicted_so_costs_nothing(self, subject: Subject) -> None:
        loss, target = subject
        mask = torch.zeros(2, 8, 8, dtype=torch.int64)
        assert loss(perfect_logits(mask, target), mask).item() == pytest.approx(0, abs=1e-6)

    def test_wrong_everywhere_costs_more_than_right(self, subject: Subject) -> None:
        loss, target = subject
        _, mask = random_batch(target, seed=4)
        right = perfect_logits(mask, target, sure=3.0)
        assert loss(-right, mask).item() > loss(right, mask).item() + 0.1

    def test_input_is_left_unchanged(self, subject: Subject) -> None:
        loss, target = subject
        logits, mask = random_batch(target, seed=5)
        logits = logits.float()
        before = logits.clone(), mask.clone()
        loss(logits, mask)
        assert torch.equal(logits, before[0])
        assert torch.equal(mask, before[1])

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_summed_in_single(self, subject: Subject, dtype: torch.dtype) -> None:
        loss, target = subject
        # more pixels than float16 can count to
        logits, mask = random_batch(target, seed=6, size=(1, 260, 260))
        half = logits.to(dtype)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(half, mask)
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(loss(half.double(), mask).item(), rel=1e-5)

    def test_memory_format_does_not_matter(self, subject: Subject) -> None:
        loss, target = subject
        logits, mask = random_batch(target, seed=7)
        last = logits.to(memory_format=torch.channels_last)
        assert loss(last, mask).item() == pytest.approx(loss(logits, mask).item(), rel=1e-12)

    def test_order_of_the_images_does_not_matter(self, subject: Subject) -> None:
        loss, target = subject
        logits, mask = random_batch(target, seed=8)
        turned = loss(logits.flip(0), mask.flip(0)).item()
        assert loss(logits, mask).item() == pytest.approx(turned, rel=1e-12)

    def test_gradient_is_that_of_the_value(self, subject: Subject) -> None:
        loss, target = subject
        logits, mask = random_batch(target, seed=9, size=(2, 3, 4))
        assert torch.autograd.gradcheck(lambda x: loss(x, mask), logits.requires_grad_())
