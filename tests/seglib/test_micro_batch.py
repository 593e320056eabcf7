"""A batch that goes through in pieces has the loss and the gradient of the whole."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from seglib.losses import build_loss
from seglib.micro_batch import Accumulator, finest_logits
from seglib.recipe import LOSS_NAMES, Recipe
from seglib.unet import UNet
from tests.contracts import TARGETS

NUM_IMAGES = 5


def build(recipe: Recipe, kind: str) -> tuple[UNet, Accumulator]:
    target = TARGETS[kind]
    torch.manual_seed(1)
    model = UNet(recipe, num_channels=1, num_logits=target.num_logits).double()
    return model, Accumulator(model, build_loss(recipe, target), nullcontext(), lambda cost: cost)


def batch(kind: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    labels = torch.tensor(sorted({0, *(one for many in TARGETS[kind].members for one in many)}))
    chosen = torch.randint(len(labels), (NUM_IMAGES, 8, 8), generator=generator)
    chosen[0] = 0  # a slice without any class
    image = torch.randn((NUM_IMAGES, 1, 8, 8), generator=generator, dtype=torch.float64)
    return image, labels[chosen]


def gradient(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def go_through(recipe: Recipe, kind: str, micro_batch: int) -> tuple[float, Tensor, Tensor]:
    """Loss, finest logits and gradient."""
    model, accumulator = build(recipe, kind)
    torch.manual_seed(3)
    made = accumulator.add_gradient(*batch(kind), micro_batch)
    return float(made[0]), made[1], gradient(model)


@pytest.mark.parametrize("over", ["batch", "image"])
@pytest.mark.parametrize("name", LOSS_NAMES)
@pytest.mark.parametrize("kind", TARGETS)
def test_cut_changes_neither_loss_nor_gradient(kind: str, name: str, over: str) -> None:
    knobs = {"loss": name, "overlap_over": over, "deep_supervision": True, "norm": "instance"}
    recipe = Recipe.model_validate({"base_filters": 2, "depth": 2, **knobs})
    loss, logits, grad = go_through(recipe, kind, NUM_IMAGES)
    assert float(grad.abs().max()) > 1e-4
    for micro_batch in (1, 3):
        other_loss, other_logits, other_grad = go_through(recipe, kind, micro_batch)
        assert other_loss == pytest.approx(loss, rel=1e-12)
        torch.testing.assert_close(other_logits, logits, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(other_grad, grad, rtol=1e-8, atol=1e-12)


def test_both_passes_draw_the_same_dropout() -> None:
    """Against one graph over all pieces, which is what a machine with more memory could keep."""
    recipe = Recipe(base_filters=2, depth=2, norm="none", dropout=0.5, loss="dice")
    loss, logits, grad = go_through(recipe, "regions", 2)
    model, accumulator = build(recipe, "regions")
    image, mask = batch("regions")
    torch.manual_seed(3)
    whole = torch.cat([model(piece)[0] for piece in torch.split(image, 2)])
    cost = accumulator.loss(whole, mask)
    cost.backward()
    assert torch.equal(whole, logits)
    assert float(cost.detach()) == loss
    torch.testing.assert_close(grad, gradient(model), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("over", ["batch", "image"])
def test_batch_normalisation_remembers_each_piece_once(over: str) -> None:
    recipe = Recipe.model_validate({"base_filters": 2, "depth": 1, "overlap_over": over})
    model, accumulator = build(recipe, "binary")
    other, _ = build(recipe, "binary")
    image, mask = batch("binary")
    accumulator.add_gradient(image, mask, 2)
    for piece in torch.split(image, 2):
        other(piece)
    for (name, found), wanted in zip(model.named_buffers(), other.buffers(), strict=True):
        assert torch.equal(found, wanted), name


@pytest.mark.parametrize("over", ["batch", "image"])
@pytest.mark.parametrize("micro_batch", [2, NUM_IMAGES])
def test_loss_that_is_not_finite_has_a_gradient_that_is_not(over: str, micro_batch: int) -> None:
    recipe = Recipe.model_validate({"base_filters": 2, "depth": 1, "overlap_over": over})
    model, accumulator = build(recipe, "binary")
    image, mask = batch("binary")
    image[-1] = torch.nan
    loss, _ = accumulator.add_gradient(image, mask, micro_batch)
    assert not loss.isfinite()
    assert not gradient(model).isfinite().all()


def test_infinite_logit_gives_no_gradient_to_step_by() -> None:
    """The gradient of its cross-entropy would be finite: sigmoid minus truth."""
    model, _ = build(Recipe(base_filters=2, depth=1), "binary")
    loss = build_loss(Recipe(loss="bce"), TARGETS["binary"])
    model.heads[0].bias.data.fill_(torch.inf)
    accumulator = Accumulator(model, loss, nullcontext(), lambda cost: cost)
    image, mask = batch("binary")
    mask[:] = 0
    value, _ = accumulator.add_gradient(image, mask, NUM_IMAGES)
    assert not value.isfinite()
    assert not gradient(model).isfinite().any()


def test_network_at_rest_gives_the_same_logits_in_pieces() -> None:
    model, _ = build(Recipe(base_filters=2, depth=1, dropout=0.5), "organs")
    image, _ = batch("organs")
    with torch.no_grad():
        whole, pieces = (finest_logits(model.eval(), image, n, nullcontext()) for n in (5, 2))
    torch.testing.assert_close(pieces, whole, rtol=1e-10, atol=1e-12)
