"""Architectures: which networks a recipe may name, and which of its fields mean something to each.

A network is a row of :data:`ARCHITECTURES`. Importing this file loads neither torch nor the
libraries that the networks come from: :mod:`seglib.networks` builds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final, Literal

from seglib.recipe import Recipe

__all__ = [
    "ARCHITECTURES",
    "INSTALL",
    "LIBRARIES",
    "NETWORK_FIELDS",
    "Architecture",
    "architecture_of",
    "count_halvings",
    "has_dropout_before_batch_norm",
    "lacking_library",
    "means_something",
    "normalises_images",
    "why_impossible",
]

LIBRARIES: Final = {
    "monai": ("MONAI", "monai"),
    "smp": ("segmentation_models.pytorch", "segmentation_models_pytorch"),
}
"""What we call a library -> what it calls itself, and what it is imported as."""

INSTALL: Final = "pip install -e '.[monai]' in segtune's checkout"


@dataclass(frozen=True)
class Architecture:
    """One kind of network.

    Args:
        library: Where it comes from: a key of :data:`LIBRARIES`, or empty for ours.
        network: Its class there.
        fields: Recipe fields of the network that mean something to it; of all others any
            value makes the same network.
        arguments: What its class is called with, besides the numbers of channels.
        halvings: Times the image is halved; None where ``depth`` says it.
        heads: Its last convolutions, finest first, by their names in the network.
        refuses: Field -> values that it cannot have.
    """

    library: Literal["", "monai", "smp"]
    network: str
    fields: frozenset[str]
    arguments: Callable[[Recipe], dict[str, Any]]
    halvings: int | None
    heads: Callable[[Recipe], tuple[str, ...]]
    refuses: Mapping[str, tuple[object, ...]] = field(default_factory=dict)


def _widths(recipe: Recipe, depth: int) -> tuple[int, ...]:
    """Each level twice as wide as the one above, as in our own U-Net."""
    return tuple(recipe.base_filters << level for level in range(depth + 1))


def _monai_norm(recipe: Recipe) -> tuple[str, dict[str, Any]] | str:
    groups = math.gcd(recipe.base_filters, 8)
    named: dict[str, tuple[str, dict[str, Any]] | str] = {
        "batch": "batch",
        "instance": ("instance", {"affine": True}),
        "group": ("group", {"num_groups": groups}),
        "none": "",
    }
    return named[recipe.norm]


def _basic_unet(recipe: Recipe) -> dict[str, Any]:
    return {
        "spatial_dims": 2,
        "features": (*_widths(recipe, 4), recipe.base_filters),
        "norm": _monai_norm(recipe) or None,
        "dropout": recipe.dropout,
    }


def _attention_unet(recipe: Recipe) -> dict[str, Any]:
    return {
        "spatial_dims": 2,
        "channels": _widths(recipe, recipe.depth),
        "strides": (2,) * recipe.depth,
        "dropout": recipe.dropout,
    }


def _dynunet(recipe: Recipe) -> dict[str, Any]:
    return {
        "spatial_dims": 2,
        "kernel_size": (3,) * (recipe.depth + 1),
        "strides": (1, *(2,) * recipe.depth),
        "upsample_kernel_size": (2,) * recipe.depth,
        "filters": _widths(recipe, recipe.depth),
        "norm_name": _monai_norm(recipe),
        "res_block": recipe.residual,
        "deep_supervision": recipe.deep_supervision,
        "deep_supr_num": recipe.depth - 1,
    }


def _segresnet(recipe: Recipe) -> dict[str, Any]:
    return {
        "spatial_dims": 2,
        "init_filters": recipe.base_filters,
        "norm": _monai_norm(recipe),
        "dropout_prob": recipe.dropout or None,
        "blocks_down": (1, *(2,) * (recipe.depth - 1), 4),
        "blocks_up": (1,) * recipe.depth,
    }


def _smp(recipe: Recipe) -> dict[str, Any]:
    # nothing is downloaded: weights of natural images are no part of a recipe
    return {"encoder_name": recipe.encoder, "encoder_weights": None}


def _one_head(name: str) -> Callable[[Recipe], tuple[str, ...]]:
    return lambda recipe: (name,)


def _dynunet_heads(recipe: Recipe) -> tuple[str, ...]:
    coarser = range(recipe.depth - 1 if recipe.deep_supervision else 0)
    return (
        "output_block.conv.conv",
        *(f"deep_supervision_heads.{level}.conv.conv" for level in coarser),
    )


_WIDTH = frozenset({"base_filters"})
_DROPOUT = frozenset({"dropout", "norm_statistics"})
_ENCODER = frozenset({"encoder"})
_SMP_HEAD = _one_head("segmentation_head.0")

ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "unet": Architecture(
        "",
        "UNet",
        _WIDTH | _DROPOUT | {"depth", "norm", "residual", "deep_supervision", "lab_exact"},
        lambda recipe: {},
        None,
        lambda recipe: tuple(
            f"heads.{level}" for level in range(recipe.depth if recipe.deep_supervision else 1)
        ),
    ),
    "monai_basicunet": Architecture(
        "monai", "BasicUNet", _WIDTH | _DROPOUT | {"norm"}, _basic_unet, 4,
        _one_head("final_conv"),
    ),
    "monai_attention_unet": Architecture(
        "monai", "AttentionUnet", _WIDTH | _DROPOUT | {"depth"}, _attention_unet, None,
        _one_head("model.2.conv"),
    ),
    # without dropout: MONAI's would fall on the logits, too
    "monai_dynunet": Architecture(
        "monai", "DynUNet", _WIDTH | {"depth", "norm", "residual", "deep_supervision"}, _dynunet,
        None, _dynunet_heads, {"depth": (1,)},
    ),
    # without a normalisation its ReLUs would write over what the block adds at its end
    "monai_segresnet": Architecture(
        "monai", "SegResNet", _WIDTH | _DROPOUT | {"depth", "norm"}, _segresnet, None,
        _one_head("conv_final.2.conv"), {"norm": ("none",)},
    ),
    "smp_unet": Architecture("smp", "Unet", _ENCODER, _smp, 5, _SMP_HEAD),
    "smp_unetplusplus": Architecture("smp", "UnetPlusPlus", _ENCODER, _smp, 5, _SMP_HEAD),
    "smp_fpn": Architecture(
        "smp", "FPN", _ENCODER | _DROPOUT,
        lambda recipe: {**_smp(recipe), "decoder_dropout": recipe.dropout}, 5, _SMP_HEAD,
    ),
    "smp_deeplabv3plus": Architecture(
        "smp", "DeepLabV3Plus", _ENCODER | _DROPOUT,
        lambda recipe: {**_smp(recipe), "decoder_aspp_dropout": recipe.dropout}, 4, _SMP_HEAD,
    ),
}  # fmt: skip
"""Name in a recipe -> the network."""

NETWORK_FIELDS: Final[frozenset[str]] = frozenset().union(
    *(row.fields for row in ARCHITECTURES.values())
)
"""Recipe fields that say which network is built; each means something to one or more of them."""


def architecture_of(recipe: Recipe) -> Architecture:
    """The row that a recipe names."""
    return ARCHITECTURES[recipe.architecture]


def means_something(name: str, architecture: str) -> bool:
    """Does a recipe field change anything where such a network is trained?

    Args:
        name: Of the field.
        architecture: A key of :data:`ARCHITECTURES`.

    Returns:
        True for every field that is not of the network: how it is trained does matter.
    """
    return name not in NETWORK_FIELDS or name in ARCHITECTURES[architecture].fields


def count_halvings(recipe: Recipe) -> int:
    """How often the recipe's network halves its image."""
    row = architecture_of(recipe)
    return recipe.depth if row.halvings is None else row.halvings


def has_dropout_before_batch_norm(recipe: Recipe) -> bool:
    """Will statistics that ran along while dropout fell be wrong without it?

    Args:
        recipe: Which network.

    Returns:
        Whether it drops anything and has batch normalisation.
    """
    fields = architecture_of(recipe).fields
    batch = "norm" not in fields or recipe.norm == "batch"
    return "norm_statistics" in fields and batch and recipe.dropout > 0


def normalises_images(recipe: Recipe) -> bool:
    """Is each image normalised by itself, by instance or group normalisation?

    Args:
        recipe: Which network.

    Returns:
        Whether that is what the recipe chose.
    """
    return "norm" in architecture_of(recipe).fields and recipe.norm in ("instance", "group")


def why_impossible(recipe: Recipe, image_size: int) -> str:
    """The reason why there is no such network for such images, or an empty text.

    Args:
        recipe: Which network.
        image_size: Side of the image in pixels.

    Returns:
        The reason, in words for the user.
    """
    row, halvings = architecture_of(recipe), count_halvings(recipe)
    for name, values in row.refuses.items():
        if getattr(recipe, name) in values:
            return f"{recipe.architecture} cannot have {name} {getattr(recipe, name)}"
    if image_size < 2 ** (halvings + 1):
        what = f"depth {halvings}"
        if row.halvings is not None:
            what = f"{recipe.architecture}, which halves the image {halvings} times,"
        return f"{what} leaves less than 2 pixels of a {image_size} px image"
    return ""


def lacking_library(architecture: str) -> str:
    """Name of the library that a network needs and that is not installed, or an empty text.

    Args:
        architecture: A key of :data:`ARCHITECTURES`.

    Returns:
        As the library calls itself. It is looked for, not loaded.
    """
    library = ARCHITECTURES[architecture].library
    if not library:
        return ""
    title, module = LIBRARIES[library]
    return "" if find_spec(module) is not None else title
