"""UNet: one encoder-decoder whose every choice is a Recipe field, the lab's net among them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.recipe import Recipe

__all__ = ["UNet", "pad_to_multiple", "start_from_shares"]


class UNet(nn.Module):
    """U-Net for 2-D images of any size.

    Level ``i`` has ``base_filters * 2**i`` filters. Down: 2x2 max-pool. Up: 2x2
    transposed convolution of stride 2, joined with the skip. Dropout follows each
    pool and each join, nothing else. An image whose sides are no multiple
    of ``2**depth`` is padded by its own edge and the logits are cut back.

    With ``deep_supervision`` the net in training mode returns logits of every
    decoder level, finest first; in evaluation mode the finest alone.

    Args:
        recipe: Which network to build.
        num_channels: Image channels.
        num_logits: Output channels, ``Target.num_logits``.
        shares: Share of the pixels that each output channel holds, to start from: an
            untrained net then predicts these, and training need not first learn that
            most pixels are background. None starts undecided, as the lab does.

    Shape:
        - image: ``(B, num_channels, H, W)``
        - returns: a list of ``(B, num_logits, ceil(H / 2**i), ceil(W / 2**i))``; one
          entry unless deep supervision trains

    Source:
        Ronneberger et al. 2015, arXiv:1505.04597; KTH CM2003 lab 3 for the
        places of dropout and normalisation.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        num_channels: int,
        num_logits: int,
        shares: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.depth = recipe.depth
        widths = [recipe.base_filters * 2**level for level in range(recipe.depth + 1)]
        self.encoder = nn.ModuleList(
            _Block(before, width, recipe)
            for before, width in zip([num_channels, *widths], widths, strict=False)
        )
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2)
            for width in reversed(widths[:-1])
        )
        self.decoder = nn.ModuleList(
            _Block(2 * width, width, recipe) for width in reversed(widths[:-1])
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(recipe.dropout) if recipe.dropout else nn.Identity()
        num_heads = recipe.depth if recipe.deep_supervision else 1
        self.heads = nn.ModuleList(
            nn.Conv2d(width, num_logits, kernel_size=1) for width in widths[:num_heads]
        )
        for part in (self.encoder, self.rise, self.decoder):
            part.apply(_initialise)
        if shares is not None:
            start_from_shares(self.heads, shares)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits for an image batch; see the class for shapes."""
        height, width = image.shape[-2:]
        x = pad_to_multiple(image, 2**self.depth)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            if level > 0:
                x = self.dropout(self.pool(x))
            x = block(x)
            skips.append(x)
        skips.pop()
        features: list[Tensor] = []
        for rise, block in zip(self.rise, self.decoder, strict=True):
            x = block(self.dropout(torch.cat([rise(x), skips.pop()], dim=1)))
            features.append(x)
        finest_first = features[::-1]
        wanted = self.heads if self.training else self.heads[:1]
        logits = [head(x) for head, x in zip(wanted, finest_first, strict=False)]
        return [
            x[..., : -(-height // 2**level), : -(-width // 2**level)]
            for level, x in enumerate(logits)
        ]


class _Block(nn.Module):
    """Twice 3x3 convolution, normalisation, ReLU; optionally plus its input."""

    def __init__(self, num_in: int, num_out: int, recipe: Recipe) -> None:
        super().__init__()
        bias = recipe.norm == "none" or recipe.lab_exact
        self.conv1 = nn.Conv2d(num_in, num_out, kernel_size=3, padding=1, bias=bias)
        self.norm1 = _build_norm(recipe.norm, num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, kernel_size=3, padding=1, bias=bias)
        self.norm2 = _build_norm(recipe.norm, num_out)
        self.skip: nn.Module | None = None
        if recipe.residual:
            same = num_in == num_out
            self.skip = nn.Identity() if same else nn.Conv2d(num_in, num_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        if self.skip is not None:
            y = y + self.skip(x)
        return F.relu(y, inplace=True)


def _build_norm(name: str, num_filters: int) -> nn.Module:
    if name == "batch":
        return nn.BatchNorm2d(num_filters)
    if name == "instance":  # groups of one filter each: the same figures, in less time on a CPU
        return nn.GroupNorm(num_filters, num_filters)
    if name == "group":
        return nn.GroupNorm(math.gcd(num_filters, 8), num_filters)
    return nn.Identity()


def _initialise(module: nn.Module) -> None:
    """He's initialisation: keeps the variance through ReLUs, also without normalisation."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def start_from_shares(heads: Iterable[nn.Module], shares: Sequence[float]) -> None:
    """Make an untrained network predict the shares of the classes.

    Args:
        heads: Its last convolutions, with biases.
        shares: Share of the pixels that each output channel holds.
    """
    start = torch.tensor(shares).clamp(1e-4, 0.5).logit()
    for head in heads:
        head.get_parameter("bias").data.copy_(start)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Repeat an image's last row and column until its sides are multiples of a number.

    Args:
        image: A batch.
        multiple: In pixels.

    Returns:
        The batch; itself where nothing is missing.

    Shape:
        - image: ``(B, C, H, W)``
        - returns: ``(B, C, H', W')``
    """
    height, width = image.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if bottom or right:
        return F.pad(image, (0, right, 0, bottom), mode="replicate")
    return image
