"""What the data are and how they are divided: the `data:` and `split:` parts of a study file.

Importing this file loads neither torch nor numpy.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
)

__all__ = ["PHANTOM_LAYOUTS", "WINDOWS", "DataSpec", "LayoutName", "SplitSpec"]

LayoutName = Literal[
    "auto",
    "brats",
    "nnunet",
    "decathlon",
    "lab-ct",
    "lab-mri",
    "montgomery",
    "dicom",
    "nifti",
    "pairs",
    "phantom-brats",
    "phantom-xray",
    "phantom-ct",
]
PHANTOM_LAYOUTS = ("phantom-brats", "phantom-xray", "phantom-ct")

WINDOWS: dict[str, tuple[float, float]] = {
    "wide": (-1000.0, 400.0),
    "lung": (-1350.0, 150.0),
    "mediastinum": (-160.0, 240.0),
    "soft": (-160.0, 240.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
}
"""Named parts of the Hounsfield scale, low and high end."""


def _read_window(value: Any) -> Any:
    """A name to its two ends; all else is left to the check for two numbers."""
    if not isinstance(value, str):
        return value
    if value.lower() not in WINDOWS:
        raise ValueError(f"two numbers, or one of {', '.join(WINDOWS)}")
    return WINDOWS[value.lower()]


_WINDOW_SCHEMA = {
    "anyOf": [
        {"enum": list(WINDOWS), "type": "string"},
        {"items": {"type": "number"}, "maxItems": 2, "minItems": 2, "type": "array"},
    ]
}
Window = Annotated[
    tuple[float, float], BeforeValidator(_read_window), WithJsonSchema(_WINDOW_SCHEMA)
]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class DataSpec(BaseModel):
    """Where the images are and what to make of them; the store's key is made from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    layout: LayoutName = Field("auto", description="how the folder is laid out; auto looks")
    channels: tuple[str, ...] | None = Field(
        None, min_length=1, max_length=16, description="image channels in order; all if not given"
    )
    target: Literal["binary", "organs", "regions"] = Field(
        "binary", description="one class, exclusive organs, or overlapping regions"
    )
    classes: dict[str, tuple[int, ...]] | None = Field(
        None, description="class name -> its grey values in the mask; known for some layouts"
    )
    background: tuple[int, ...] = Field((0,), description="grey values that belong to no class")
    image_size: int = Field(256, ge=16, le=4096, description="side in pixels")
    normalise: Literal["auto", "zscore", "percentile", "window", "none"] = Field(
        "auto", description="zscore for MRI, window for CT, percentile for X-ray"
    )
    window_hu: Window = Field(
        WINDOWS["wide"], description="CT window: low and high, or lung, soft, bone, brain, wide"
    )
    patient: str | None = Field(
        None, description="regular expression whose first group is the patient, in names of images"
    )
    manifest: str | None = Field(
        None, description="pairs, lab-*: CSV with image, mask, patient and, if known, slice"
    )
    case_by: Literal["patient", "image"] = Field(
        "patient", description="pairs, lab-*: what is scored as one case"
    )
    drop_empty: bool = Field(True, description="leave out slices that show nothing of the body")
    every: int = Field(1, ge=1, le=1000, description="keep each n-th slice of a volume")
    cases: int = Field(24, ge=2, le=100_000, description="phantoms only: patients to make")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="phantoms only: which patients")

    @field_validator("patient")
    @classmethod
    def _one_group(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if groups < 1:
            raise ValueError("needs a group in brackets that is the patient")
        return value

    @field_validator("window_hu")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError("the low end must be below the high end")
        return value


class SplitSpec(BaseModel):
    """How patients are divided into train, validation and a locked test part."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    by: Literal["patient", "slice"] = Field("patient", description="slice leaks; on request only")
    val: Share = Field(0.2, gt=0.0, description="share of patients for validation")
    test: Share = Field(0.2, description="share of patients locked away")
    folds: int = Field(5, ge=2, le=100, description="parts for later confirmation, test left out")
    seed: int = Field(7, ge=0, le=2**32 - 1, description="which patients go where")
    given: Literal["honour", "ignore"] = Field(
        "honour", description="what to do with a division that the data folder brings along"
    )
    fold: int = Field(0, ge=0, le=999, description="which fold of that division validates")
