"""Recipe: every knob of one training run. Importing this file loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from seglib.errors import InfeasibleError

__all__ = ["LOSS_NAMES", "ArchitectureName", "EncoderName", "LossName", "Recipe"]

ArchitectureName = Literal[
    "unet",
    "monai_basicunet",
    "monai_attention_unet",
    "monai_dynunet",
    "monai_segresnet",
    "smp_unet",
    "smp_unetplusplus",
    "smp_fpn",
    "smp_deeplabv3plus",
]
EncoderName = Literal["resnet18", "resnet34", "efficientnet-b0", "mobilenet_v2"]

LossName = Literal[
    "bce", "ce", "dice", "dice_bce", "dice_ce", "tversky", "focal", "focal_tversky", "topk_ce"
]
LOSS_NAMES: tuple[str, ...] = LossName.__args__  # type: ignore[attr-defined]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Recipe(BaseModel):
    """The knobs of one training run: input, network, loss, optimiser, schedule, augmentation.

    Frozen; an unknown field is an error. The defaults are the default recipe,
    which a search always tries first. What the data are (channels, classes, image
    size) is not here but in :class:`seglib.data.spec.DataSpec`; which of its channels
    the network sees is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # input
    channels: str = Field(
        "all", description="what the network sees: all, or names of the data's channels joined by +"
    )

    # network; which of these fields mean something is said in seglib/architectures.py
    architecture: ArchitectureName = Field(
        "unet",
        description="kind of network: ours, or one of MONAI or segmentation_models.pytorch, which "
        "need segtune's extra monai",
    )
    encoder: EncoderName = Field(
        "resnet18", description="way down of the smp networks; its weights start at random"
    )
    base_filters: int = Field(32, ge=2, le=256, description="filters of the first level")
    depth: int = Field(4, ge=1, le=7, description="times the image is halved")
    norm: Literal["batch", "instance", "group", "none"] = Field(
        "batch", description="normalisation after each 3x3 convolution"
    )
    dropout: float = Field(0.0, ge=0.0, le=0.9, description="probability; after pools and joins")
    norm_statistics: Literal["recomputed", "running"] = Field(
        "recomputed",
        description="batch norm after dropout is scored with statistics that are recomputed "
        "without dropout, or with those that ran along",
    )
    residual: bool = Field(False, description="add each block's input to its output")
    deep_supervision: bool = Field(False, description="train coarser decoder levels too")
    lab_exact: bool = Field(
        False, description="keep the bias before a normalisation, as the lab's Keras net does"
    )

    # loss
    loss: LossName = Field("dice_ce", description="what is minimised")
    dice_weight: Fraction = Field(0.5, description="share of Dice in dice_bce and dice_ce")
    overlap_over: Literal["batch", "image"] = Field(
        "batch", description="count Dice and Tversky over the whole batch, or image by image"
    )
    tversky_alpha: Fraction = Field(0.3, description="price of a false positive")
    tversky_beta: Fraction = Field(0.7, description="price of a false negative")
    focal_gamma: float = Field(2.0, ge=0.0, le=10.0, description="focus on hard pixels or classes")
    topk_fraction: float = Field(
        0.1, gt=0.0, le=1.0, description="share of hardest pixels in topk_ce"
    )

    # optimiser
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adamw", description="update rule")
    learning_rate: float = Field(1e-3, gt=0.0, le=10.0, description="peak step size")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of sgd; Adam's first beta")
    weight_decay: float = Field(1e-4, ge=0.0, le=1.0, description="decay per unit of step size")
    grad_clip: float = Field(0.0, ge=0.0, le=1000.0, description="largest gradient norm; 0 is off")
    schedule: Literal["constant", "cosine", "poly"] = Field(
        "cosine", description="course of the step size over all epochs"
    )
    warmup_epochs: int = Field(0, ge=0, le=1000, description="epochs of linear rise at the start")
    epochs: int = Field(50, ge=1, le=100_000, description="length of the full training")
    batch_size: int = Field(8, ge=1, le=1024, description="slices per step")
    foreground_fraction: Fraction = Field(
        0.0, description="share of each epoch drawn from slices with foreground; 0: as they come"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="number format of the forward pass; auto asks the device"
    )

    # augmentation, the same on image and mask
    rotation_deg: float = Field(0.0, ge=0.0, le=180.0, description="largest turn either way")
    shift: float = Field(0.0, ge=0.0, le=0.5, description="largest move, share of width and height")
    zoom: float = Field(0.0, ge=0.0, le=0.9, description="scale in [1 - zoom, 1 + zoom]")
    flip_horizontal: Fraction = Field(0.0, description="probability of a left-right flip")
    flip_vertical: Fraction = Field(0.0, description="probability of an up-down flip")
    elastic: Fraction = Field(0.0, description="probability of an elastic deformation")
    brightness: Fraction = Field(0.0, description="largest change, share of the value range")
    contrast: Fraction = Field(0.0, description="largest relative change of contrast")
    noise: float = Field(0.0, ge=0.0, le=0.5, description="largest deviation, share of the range")

    @field_validator("channels")
    @classmethod
    def _names(cls, value: str) -> str:
        names = [name.strip() for name in value.split("+")]
        if not all(names) or len(set(names)) < len(names):
            raise ValueError("all, or names of channels joined by +, each once")
        return "+".join(names)

    def seen_channels(self, available: Sequence[str]) -> tuple[str, ...]:
        """Names of the channels that the network sees, in its order.

        Args:
            available: Names of all the channels there are.

        Returns:
            Those that ``channels`` names, or all.

        Raises:
            InfeasibleError: There is no channel of such a name.
        """
        if self.channels == "all":
            return tuple(available)
        names = tuple(self.channels.split("+"))
        lacking = [name for name in names if name not in available]
        if lacking:
            raise InfeasibleError(
                f"no channel {', '.join(lacking)} in these data, only {', '.join(available)}"
            )
        return names
