from __future__ import annotations

import itertools

import pytest
import torch

from seglib.cost import count_parameters
from seglib.recipe import Recipe
from seglib.unet import UNet

LAB_TABLE = [
    (8, "none", 485_673),
    (8, "batch", 487_145),
    (16, "none", 1_940_817),
    (16, "batch", 1_943_761),
    (32, "none", 7_759_521),
    (32, "batch", 7_765_409),
]


def count(recipe: Recipe, num_channels: int = 1, num_logits: int = 1) -> int:
    model = UNet(recipe, num_channels=num_channels, num_logits=num_logits)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("base", "norm", "expected"), LAB_TABLE)
def test_lab_net_has_the_labs_parameters(base: int, norm: str, expected: int) -> None:
    recipe = Recipe(base_filters=base, norm=norm, lab_exact=True, dropout=0.5)
    assert count(recipe) == expected
    assert count_parameters(recipe, num_channels=1, num_logits=1) == expected


def test_no_bias_stands_before_a_norm_unless_the_lab_is_copied() -> None:
    plain, lab = Recipe(base_filters=4), Recipe(base_filters=4, lab_exact=True)
    assert count(plain) < count(lab)
    block = UNet(plain, num_channels=1, num_logits=1).encoder[0]
    assert block.conv1.bias is None


@pytest.mark.parametrize(
    ("norm", "residual", "deep", "depth"),
    list(
        itertools.product(
            ["batch", "instance", "group", "none"], [False, True], [False, True], [1, 3]
        )
    ),
)
def test_paper_count_equals_the_network(norm: str, residual: bool, deep: bool, depth: int) -> None:
    recipe = Recipe(
        base_filters=6, depth=depth, norm=norm, residual=residual, deep_supervision=deep
    )
    expected = count(recipe, num_channels=3, num_logits=2)
    assert count_parameters(recipe, num_channels=3, num_logits=2) == expected


@pytest.mark.parametrize("size", [(32, 32), (30, 45), (17, 33)])
@pytest.mark.parametrize("deep", [False, True])
def test_logits_have_the_size_of_the_image(size: tuple[int, int], deep: bool) -> None:
    recipe = Recipe(base_filters=2, depth=3, deep_supervision=deep)
    model = UNet(recipe, num_channels=2, num_logits=3)
    image = torch.randn(2, 2, *size)
    logits = model(image)
    assert len(logits) == (3 if deep else 1)
    for level, coarser in enumerate(logits):
        # exactly the pixels that mask[:, ::2**level, ::2**level] keeps
        assert coarser.shape[2:] == image[0, 0, :: 2**level, :: 2**level].shape
    assert len(model.eval()(image)) == 1


def test_every_parameter_learns() -> None:
    recipe = Recipe(base_filters=2, depth=3, deep_supervision=True, residual=True)
    model = UNet(recipe, num_channels=1, num_logits=1)
    sum(x.square().mean() for x in model(torch.randn(2, 1, 32, 32))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_dropout_is_silent_in_evaluation() -> None:
    model = UNet(Recipe(base_filters=4, depth=2, dropout=0.5), num_channels=1, num_logits=1)
    image = torch.randn(1, 1, 16, 16)
    assert not torch.equal(model(image)[0], model(image)[0])
    model.eval()
    assert torch.equal(model(image)[0], model(image)[0])


def test_untrained_net_predicts_the_shares_it_was_given() -> None:
    recipe = Recipe(base_filters=4, depth=2)
    model = UNet(recipe, num_channels=1, num_logits=2, shares=[0.01, 0.25]).eval()
    with torch.no_grad():
        for head in model.heads:
            head.weight.zero_()
        prob = model(torch.randn(1, 1, 16, 16))[0].sigmoid()
    torch.testing.assert_close(prob.mean(dim=(0, 2, 3)), torch.tensor([0.01, 0.25]))
