"""What networks of other libraries cost, on paper: weights, kept tensors, multiplications.

MONAI's grow with the recipe and are gone through layer by layer; those of
segmentation_models.pytorch come in a few fixed sizes, which were read off the networks
(decision 039). Tests hold both against the networks themselves. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from seglib.architectures import architecture_of
from seglib.recipe import Recipe

__all__ = ["LIBRARY_GB", "Cost", "cost_of"]

LIBRARY_GB: Final = {"": 0.0, "monai": 0.10, "smp": 0.09}
"""What a process holds more once it has loaded a library."""

_INDEX: Final = 2  # an int64 counts as two numbers


class Cost:
    """Layers of a network, added up; all but ``weights`` per pixel of the padded image.

    Args:
        recipe: Which network.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.weights = 0
        self.kept = 0.0
        """Numbers that autograd keeps for the backward pass."""
        self.multiplied = 0.0
        """Multiplications of the forward pass."""
        self.top = 2.0 * recipe.base_filters
        """Channels at full size of the first gradients."""
        self._has_norm = "norm" not in architecture_of(recipe).fields or recipe.norm != "none"
        self._drops = "dropout" in architecture_of(recipe).fields and recipe.dropout > 0

    def keep(self, channels: float, level: int) -> None:
        """A tensor of so many channels at a level; 0 is the full size."""
        self.kept += channels / 4**level

    def conv(
        self, num_in: int, num_out: int, level: float, *, kernel: int = 3, bias: bool = False
    ) -> None:
        """A convolution whose result, or for one that doubles the size whose input, is there."""
        weights = kernel**2 * num_in * num_out
        self.weights += weights + num_out * bias
        self.multiplied += weights / 4**level

    def normalise(self, channels: int) -> None:
        """A normalisation with its two weights per channel."""
        self.weights += 2 * channels * self._has_norm

    def block(
        self, num_in: int, num_out: int, level: int, *, bias: bool = False, drops: bool = True
    ) -> None:
        """Twice a convolution, a normalisation and a ReLU."""
        for before in (num_in, num_out):
            self.conv(before, num_out, level, bias=bias)
            self.normalise(num_out)
            self.keep(num_out * (1 + self._has_norm + (drops and self._drops)), level)


def cost_of(recipe: Recipe, *, num_channels: int, num_logits: int) -> Cost:
    """Go through the layers of a network that is another library's.

    Args:
        recipe: Which network; not our own ``unet``, which :mod:`seglib.cost` knows.
        num_channels: Image channels.
        num_logits: Output channels.

    Returns:
        The sums.
    """
    cost = Cost(recipe)
    if architecture_of(recipe).library == "smp":
        _smp(cost, recipe, num_channels, num_logits)
    else:
        _MONAI[recipe.architecture](cost, recipe, num_channels, num_logits)
    return cost


def _basic_unet(cost: Cost, recipe: Recipe, num_channels: int, num_logits: int) -> None:
    widths = [recipe.base_filters << level for level in range(5)]
    cost.block(num_channels, widths[0], 0, bias=True)
    for level in range(1, 5):
        above, width = widths[level - 1], widths[level]
        cost.keep(above * (1 + _INDEX), level)
        cost.block(above, width, level, bias=True)
        risen = width if level == 1 else width // 2
        cost.conv(width, risen, level, kernel=2, bias=True)
        cost.keep(risen, level - 1)  # before MONAI pads it, by nothing here
        cost.keep(above + risen, level - 1)  # joined
        cost.block(above + risen, above, level - 1, bias=True)
    cost.conv(widths[0], num_logits, 0, kernel=1, bias=True)


def _attention_unet(cost: Cost, recipe: Recipe, num_channels: int, num_logits: int) -> None:
    widths = [recipe.base_filters << level for level in range(recipe.depth + 1)]
    cost.block(num_channels, widths[0], 0, bias=True)
    for level in range(1, recipe.depth + 1):
        width, below, at = widths[level - 1], widths[level], level - 1
        cost.block(width, below, level, bias=True)
        cost.conv(below, width, level, bias=True)  # up
        cost.normalise(width)
        cost.keep(2 * width, at)
        half = width // 2
        for num_out, num_in in ((half, width), (half, width), (1, half)):  # the attention
            cost.conv(num_in, num_out, at, kernel=1, bias=True)
            cost.normalise(num_out)
        cost.keep(3 * half + 2, at)
        cost.keep(2 * width, at)  # joined
        cost.conv(2 * width, width, at, bias=True)
        cost.weights += 1  # of the PReLU; the normalisation before it has none
        cost.keep(width * (3 + cost._drops), at)
    cost.conv(widths[0], num_logits, 0, kernel=1, bias=True)


def _dynunet(cost: Cost, recipe: Recipe, num_channels: int, num_logits: int) -> None:
    widths = [recipe.base_filters << level for level in range(recipe.depth + 1)]
    for level, (before, width) in enumerate(zip([num_channels, *widths], widths, strict=False)):
        cost.block(before, width, level)
        if recipe.residual and (level or before != width):
            cost.conv(before, width, level, kernel=1)
            cost.normalise(width)
            cost.keep(width * cost._has_norm, level)
    for level in range(recipe.depth):
        width, below = widths[level], widths[level + 1]
        cost.conv(below, width, level + 1, kernel=2)
        cost.keep(2 * width, level)
        cost.block(2 * width, width, level)
    if recipe.residual:  # the gradients of both ways wait for each other
        cost.top *= 2
    if recipe.deep_supervision:  # coarser logits come at the full size, one by one and stacked
        cost.top += 2 * (recipe.depth - 1) * num_logits
    for level in range(recipe.depth if recipe.deep_supervision else 1):
        cost.conv(widths[level], num_logits, level, kernel=1, bias=True)


def _segresnet(cost: Cost, recipe: Recipe, num_channels: int, num_logits: int) -> None:
    widths = [recipe.base_filters << level for level in range(recipe.depth + 1)]
    blocks = [1, *[2] * (recipe.depth - 1), 4]
    for level, (before, width) in enumerate(zip([num_channels, *widths], widths, strict=False)):
        cost.conv(before, width, level)
        cost.keep(width, level)
        for _ in range(blocks[level]):
            cost.block(width, width, level, drops=False)
    for level in range(recipe.depth):
        width = widths[level]
        cost.conv(2 * width, width, level + 1, kernel=1)
        cost.keep(width, level)
        cost.block(width, width, level, drops=False)
    cost.normalise(widths[0])
    cost.keep(widths[0], 0)
    cost.conv(widths[0], num_logits, 0, kernel=1, bias=True)


_Walk = Callable[[Cost, Recipe, int, int], None]
_MONAI: Final[Mapping[str, _Walk]] = {
    "monai_basicunet": _basic_unet,
    "monai_attention_unet": _attention_unet,
    "monai_dynunet": _dynunet,
    "monai_segresnet": _segresnet,
}

# With one channel and one logit: weights, numbers kept per pixel, multiplications per pixel.
_SMP: Final[Mapping[tuple[str, str], tuple[int, float, float]]] = {
    ("smp_unet", "resnet18"): (14_321_937, 317.5, 80_800.0),
    ("smp_unet", "resnet34"): (24_430_097, 367.5, 117_664.0),
    ("smp_unet", "efficientnet-b0"): (6_250_893, 646.84, 45_018.0),
    ("smp_unet", "mobilenet_v2"): (6_628_369, 583.0, 50_897.0),
    ("smp_unetplusplus", "resnet18"): (15_964_177, 785.5, 242_080.0),
    ("smp_unetplusplus", "resnet34"): (26_072_337, 835.5, 278_944.0),
    ("smp_unetplusplus", "efficientnet-b0"): (6_569_005, 862.84, 84_078.0),
    ("smp_unetplusplus", "mobilenet_v2"): (6_824_145, 713.0, 67_637.0),
    ("smp_fpn", "resnet18"): (13_040_961, 172.5, 66_168.0),
    ("smp_fpn", "resnet34"): (23_149_121, 222.5, 103_032.0),
    ("smp_fpn", "efficientnet-b0"): (5_758_909, 515.34, 37_554.0),
    ("smp_fpn", "mobilenet_v2"): (4_214_849, 452.88, 36_425.0),
    ("smp_deeplabv3plus", "resnet18"): (12_323_025, 222.0, 68_050.0),
    ("smp_deeplabv3plus", "resnet34"): (22_431_185, 278.0, 118_738.0),
    ("smp_deeplabv3plus", "efficientnet-b0"): (4_906_893, 647.78, 21_459.0),
    ("smp_deeplabv3plus", "mobilenet_v2"): (4_377_937, 569.5, 22_479.0),
}
# A channel more: the first convolution, 7x7 or 3x3, at half the size.
_STEM: Final = {"resnet18": 3136, "resnet34": 3136, "efficientnet-b0": 288, "mobilenet_v2": 288}
# A logit more: the last convolution with its bias, and the level that it works at.
_HEAD: Final = {
    "smp_unet": (145, 0),
    "smp_unetplusplus": (145, 0),
    "smp_fpn": (129, 2),
    "smp_deeplabv3plus": (257, 2),
}


def _smp(cost: Cost, recipe: Recipe, num_channels: int, num_logits: int) -> None:
    weights, kept, multiplied = _SMP[recipe.architecture, recipe.encoder]
    stem, (head, level) = _STEM[recipe.encoder], _HEAD[recipe.architecture]
    more, beside = num_channels - 1, num_logits - 1
    cost.weights = weights + more * stem + beside * head
    cost.kept = kept + more
    cost.multiplied = multiplied + more * stem / 4 + beside * (head - 1) / 4**level
    cost.top = 32.0
    if recipe.architecture == "smp_deeplabv3plus" and cost._drops:
        cost.kept += 2
