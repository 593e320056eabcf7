"""Study parts: the sections of a study file that are plain records."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

__all__ = [
    "LOSSES",
    "RANKING",
    "SCORES",
    "Budget",
    "Constraints",
    "EarlyTerminate",
    "Fold",
    "Head",
    "Method",
    "Metric",
    "Published",
    "Resources",
    "SuiteHead",
    "SuiteStudy",
    "Tracking",
    "metric_name",
]

Method = Literal["grid", "random", "bayes", "gp", "cmaes"]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Fold = int | Literal["all"]
"""A fold that validates while the others train; ``all`` trains on the validation part, too."""
SCORES = ("dice", "iou", "precision", "recall")
RANKING = ("asha", "hyperband", "median")
"""The rules that stop a trial because others scored better."""
LOSSES = ("val_loss", "train_loss")
_SAME = {"loss": "val_loss", "train": "train_loss", "jaccard": "iou", "dsc": "dice"}


def metric_name(text: str) -> str | None:
    """Our name for a metric, as people write it for W&B; None when we know none.

    ``val_dice``, ``val/dice`` and ``validation_dice`` are all ``dice``. A class may
    follow: ``dice_WT``.
    """
    text = text.strip()
    if re.fullmatch(r"train(ing)?[_/]loss", text, re.IGNORECASE):
        return "train_loss"
    bare = re.sub(r"^(val|valid|validation|eval)[_/]", "", text, flags=re.IGNORECASE)
    bare = _SAME.get(bare.lower(), bare)
    if bare.lower() in SCORES + LOSSES:
        return bare.lower()
    score, _, part = bare.replace("/", "_", 1).partition("_")
    return f"{score.lower()}_{part}" if score.lower() in SCORES and part else None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Head(_Part):
    """The plain values at the top level of a study file."""

    name: str | None = Field(None, description="names the run directory; else the file's name")
    description: str = Field("", description="for people")
    method: Method = Field(description="bayes is TPE; gp and cmaes are for few, continuous knobs")
    run_cap: int | None = Field(None, ge=1, description="trials in all")
    project: str | None = Field(None, description="W&B project")
    entity: str | None = Field(None, description="W&B user or team")
    seed: Seed = Field(0, description="all chance of the search comes from it")
    seeds: tuple[Seed, ...] = Field(
        (), description="grid only: every row is trained once under each; rows are then paired"
    )
    folds: tuple[Annotated[int, Field(ge=0, le=999)], ...] | Literal["all"] = Field(
        (),
        description="grid only: every row is trained once with each of these folds as its "
        "validation part; all: on training and validation part together",
    )

    product: bool = Field(
        True, description="grid only: false trains the points alone, not the product of the values"
    )

    @field_validator("seeds", "folds")
    @classmethod
    def _distinct(cls, value: Any, info: ValidationInfo) -> Any:
        word = str(info.field_name)
        twice = [] if value == "all" else [one for one in value if value.count(one) > 1]
        if not value or twice:
            raise ValueError(
                f"each {word[:-1]} once, not {twice[0]} twice" if twice else f"one or more {word}"
            )
        return value


class Metric(_Part):
    """What is optimised; always a figure of the validation part."""

    name: str = Field("dice", description="dice, iou, precision, recall, val_loss or train_loss")
    goal: Literal["maximize", "minimize"] = Field("maximize", description="which way is better")
    target: float | None = Field(None, description="the search may end once this is reached")

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        name = metric_name(value)
        if name is None:
            known = ", ".join(SCORES + LOSSES)
            raise ValueError(f"one of {known}, or a score of one class such as dice_WT")
        return name


class EarlyTerminate(_Part):
    """When a trial that cannot win is stopped."""

    type: Literal["none", "asha", "hyperband", "median", "patience"] = Field(
        "none", description="the rule; patience stops a trial that no longer gains"
    )
    min_iter: int = Field(
        0, ge=1, description="first rung or patience in epochs; a ninth of the length if not given"
    )
    max_iter: int | None = Field(None, ge=1, description="no rung from here on")
    s: int | None = Field(None, ge=1, le=20, description="with max_iter: number of rungs below it")
    eta: int = Field(3, ge=2, le=100, description="one in eta goes on past a rung")
    strict: bool = Field(False, description="stop right at the rung")

    def settle(self, horizon: int) -> EarlyTerminate:
        """Fill in the first rung for trainings of ``horizon`` epochs."""
        if self.min_iter:
            return self
        first = math.ceil(horizon / 9)
        if self.max_iter and self.s:
            first = self.max_iter // self.eta**self.s
        return self.model_copy(update={"min_iter": max(1, first)})

    def rungs(self, horizon: int) -> list[int]:
        """Epochs after which a trial may be stopped, rising, all below ``horizon``."""
        if self.type not in ("asha", "hyperband"):
            return []
        end = min(horizon, self.max_iter or horizon)
        found, rung = [], max(1, self.min_iter)
        while rung < end:
            found.append(rung)
            rung *= self.eta
        return found


class Constraints(_Part):
    """Proposals beyond these are never started."""

    memory_gb: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="predicted for a trial: its whole process on a CPU, its part of a GPU on one",
    )
    parameters: int | None = Field(None, ge=1, description="weights of the network")
    disk_gb: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="all checkpoints: of trials at work, then of the best that ended; 5 without it",
    )


class Budget(_Part):
    """What the search may spend in all."""

    hours: float | None = Field(None, gt=0, le=100_000, description="wall-clock hours")
    epochs: int | None = Field(None, ge=1, description="epochs of all trials together")


class Resources(_Part):
    """What each trial gets, and how many run at once."""

    gpus_per_trial: Annotated[float, Field(ge=0, le=64)] | Literal["auto"] = Field(
        "auto", description="share of a GPU, or several; auto: as little as memory allows"
    )
    cpus_per_trial: float = Field(1, gt=0, le=4096, description="processor cores")
    concurrent: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="trials at once; as fit. On a cluster so many are asked for, fit or not: "
        "for more than its nodes have room for, an autoscaler adds nodes",
    )
    compile: bool = Field(False, description="compile networks, on a GPU only; pays in long trials")
    retries: int = Field(2, ge=0, le=100, description="times a trial is tried again after a crash")

    @property
    def cores(self) -> int:
        """Whole cores of a trial: it computes in as many threads."""
        return max(1, int(self.cpus_per_trial))

    @field_validator("gpus_per_trial")
    @classmethod
    def _share_or_several(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and value > 1 and value != int(value):
            raise ValueError("at most 1 for a share of a GPU, or a whole number of them")
        return value


class Published(_Part):
    """Scores that others reached with the points of a grid, to be shown beside ours."""

    note: str = Field("", description="where they come from and how they were measured")
    scores: dict[str, str] = Field(
        {},
        description="point's name -> score, such as 0.94-0.96",
        json_schema_extra={"additionalProperties": {"type": ["string", "number"]}},
    )

    @field_validator("scores", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        numbers = {name: one for name, one in value.items() if isinstance(one, int | float)}
        return value | {name: str(one) for name, one in numbers.items()}


class Tracking(_Part):
    """Who else is shown the search."""

    wandb: Literal["auto", "online", "offline", "off"] = Field(
        "auto", description="auto: online with a key, else offline"
    )
    tensorboard: bool = Field(False, description="write TensorBoard files")

    @field_validator("wandb", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        named = {True: "auto", "on": "auto", "yes": "auto"}
        named |= {False: "off", "no": "off", "none": "off", "disabled": "off"}
        return named.get(value, value) if isinstance(value, bool | str) else value


class SuiteStudy(_Part):
    """One study of a suite."""

    space: str = Field(description="the study file, beside this one")
    data: str | None = Field(None, description="folder inside the data folder; it itself if absent")


class SuiteHead(_Part):
    """A suite: studies that run one after another."""

    name: str | None = Field(None, description="names the run directory; else the file's name")
    description: str = Field("", description="for people")
    studies: tuple[SuiteStudy, ...] = Field(description="what runs, in this order")

    @field_validator("studies", mode="before")
    @classmethod
    def _some(cls, value: Any) -> Any:
        if value == []:
            raise ValueError("one or more studies")
        return value
