"""Networks: the one place that builds what a recipe names, be it ours or another library's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seglib.architectures import INSTALL, LIBRARIES, architecture_of, count_halvings
from seglib.errors import InfeasibleError
from seglib.recipe import Recipe
from seglib.unet import UNet, pad_to_multiple, start_from_shares

__all__ = ["build_network", "load_library"]

_GROUPS = 32
_LACKING: list[Any] = []  # what is declared lasts as long as these


def build_network(
    recipe: Recipe,
    *,
    num_channels: int,
    num_logits: int,
    shares: Sequence[float] | None = None,
) -> nn.Module:
    """Build the network that a recipe names.

    Whichever it is, it takes images of any size, padding them where it must, and gives a
    list of logits as :class:`seglib.unet.UNet` does: one entry, or one for each level where
    deep supervision trains. Weights are drawn from torch's generator; none are downloaded.

    Args:
        recipe: Which network.
        num_channels: Image channels.
        num_logits: Output channels, ``Target.num_logits``.
        shares: Share of the pixels that each output channel holds, to start from; see
            :class:`seglib.unet.UNet`.

    Shape:
        - image: ``(B, num_channels, H, W)``
        - returns: a list of ``(B, num_logits, ceil(H / 2**i), ceil(W / 2**i))``

    Returns:
        The network, in training mode.

    Raises:
        InfeasibleError: The library that it comes from is not installed, or does not load.
    """
    row = architecture_of(recipe)
    if not row.library:
        return UNet(recipe, num_channels=num_channels, num_logits=num_logits, shares=shares)
    try:
        library = load_library(row.library)
    except InfeasibleError as error:
        raise InfeasibleError(f"architecture {recipe.architecture}: {error}") from error
    outputs = "out_channels" if row.library == "monai" else "classes"
    sizes = {"in_channels": num_channels, outputs: num_logits}
    network: nn.Module = getattr(library, row.network)(**row.arguments(recipe), **sizes)
    if row.network == "DeepLabV3Plus":
        _normalise_pooled_image(network)
    if shares is not None:
        start_from_shares([network.get_submodule(name) for name in row.heads(recipe)], shares)
    return _Adapted(network, 2 ** count_halvings(recipe))


class _Adapted(nn.Module):
    """Another library's network with the manners of ours: any size in, a list of logits out."""

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        logits = self.network(pad_to_multiple(image, self.multiple))
        levels = [logits]
        if logits.dim() == 5:  # DynUNet's coarser levels, each pixel repeated to the full size
            stacked = enumerate(logits.unbind(dim=1))
            levels = [one[..., :: 2**level, :: 2**level] for level, one in stacked]
        return [
            one[..., : math.ceil(height / 2**level), : math.ceil(width / 2**level)]
            for level, one in enumerate(levels)
        ]


def load_library(library: str) -> Any:
    """The module that holds a library's networks.

    Args:
        library: A key of :data:`seglib.architectures.LIBRARIES`.

    Returns:
        The module, loaded.

    Raises:
        InfeasibleError: It is not installed, or does not load.
    """
    title, _ = LIBRARIES[library]
    try:
        if library == "monai":
            from monai.networks import nets

            return nets
        return _load_smp()
    except (ImportError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InfeasibleError(f"{title} does not load ({reason}): {INSTALL}") from error


def _load_smp() -> Any:
    try:
        import segmentation_models_pytorch as smp
    except RuntimeError as error:
        # A torchvision that was built for another build of torch, such as that for CUDA
        # beside a torch without: its own operators are not there, and it asks for two of
        # them when it is imported. They find overlapping boxes, which no network here has.
        if "operator torchvision::" not in str(error):
            raise
        if not _LACKING:
            declare: Any = torch.library.Library
            _LACKING.append(declare("torchvision", "FRAGMENT"))
            for name in ("nms", "qnms"):
                boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                _LACKING[0].define(name + boxes)
        import segmentation_models_pytorch as smp
    return smp


def _normalise_pooled_image(network: nn.Module) -> None:
    """Where DeepLabV3+ pools the whole image to a pixel, batch normalisation needs two images.

    The last batch of an epoch may hold a single one, and so does a micro-batch of 1. Group
    normalisation there has the same weights, and takes any number.
    """
    pooling = network.get_submodule("decoder.aspp.0.convs.4")
    before = pooling.get_submodule("2")
    assert isinstance(before, nn.BatchNorm2d)
    pooling.add_module("2", nn.GroupNorm(_GROUPS, before.num_features))
