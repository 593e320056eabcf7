"""Model: one file that predicts: networks, what they were trained to see, how to read them.

A checkpoint goes on with a training and needs the prepared data beside it; a model needs
nothing. It may hold several networks, whose probabilities are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from seglib.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from seglib.data.store import StoreInfo
from seglib.errors import Problem
from seglib.recipe import Recipe
from seglib.target import Target

__all__ = ["InputSpec", "Member", "Model", "PostProcess"]

KIND = "model"


class InputSpec(BaseModel):
    """What the networks see and find: enough to make a new image into their input.

    Args:
        channels: Names of the data's channels, in order; a recipe may see some of them.
        target: Grey values, labels and classes.
        image_size: Side of the square in pixels.
        normalise: A key of :data:`seglib.data.pixels.SCALES`.
        window_hu: Low and high end, for ``window``.
        layout: Of the data that it was trained on.
        unit: Of the spacing in those data: mm, or pixels where no file tells it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[str, ...]
    target: Target
    image_size: int
    normalise: Literal["zscore", "percentile", "window", "none"]
    window_hu: tuple[float, float]
    layout: str
    unit: Literal["mm", "px"]

    @classmethod
    def of(cls, info: StoreInfo) -> InputSpec:
        """What the networks see that were trained on a store.

        Args:
            info: Of the store.

        Returns:
            The description.
        """
        return cls(**{name: getattr(info, name) for name in cls.model_fields})


class PostProcess(BaseModel):
    """From probabilities to masks; chosen on validation cases only.

    Args:
        thresholds: For each class, the probability above which a pixel belongs to it. Organs
            exclude each other: their most probable class wins, and this is not asked.
        smallest: For each class, the size below which a connected part is removed: mm3 of a
            volume, mm2 of a picture, in the unit of the spacing.
        note: Where they come from, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    thresholds: tuple[float, ...]
    smallest: tuple[float, ...]
    note: str

    @classmethod
    def plain(cls, target: Target) -> PostProcess:
        """A half everywhere, and nothing removed.

        Args:
            target: Says how many classes there are.

        Returns:
            The settings.
        """
        num = target.num_classes
        return cls(thresholds=(0.5,) * num, smallest=(0.0,) * num, note="not tuned")


@dataclass(frozen=True, eq=False)
class Member:
    """One network of a model.

    Args:
        recipe: By which it was trained.
        weights: Its state, by name, on the CPU.
        name: Where it comes from, such as ``trial 7, epoch 43``.
    """

    recipe: Recipe
    weights: Mapping[str, Tensor]
    name: str


@dataclass(frozen=True, eq=False)
class Model:
    """Networks and how to use them.

    Args:
        members: One network or more; all have seen the same kind of data.
        inputs: What they see and find.
        post: From probabilities to masks.
        card: What a reader must know of it, plain JSON: study, data, score, limits.
    """

    members: tuple[Member, ...]
    inputs: InputSpec
    post: PostProcess
    card: Mapping[str, Any]

    @property
    def seen_channels(self) -> tuple[str, ...]:
        """Names of the channels that any of the networks sees, in the order of the data."""
        available = self.inputs.channels
        seen = {name for one in self.members for name in one.recipe.seen_channels(available)}
        return tuple(name for name in available if name in seen)

    def save(self, path: Path) -> None:
        """Write the model whole or not at all.

        Args:
            path: The file, usually ``model.pt``.

        Raises:
            UnwritableError: The place takes no more files.
        """
        members = [
            {"recipe": one.recipe.model_dump_json(), "weights": dict(one.weights), "name": one.name}
            for one in self.members
        ]
        state = {
            "kind": KIND,
            "members": members,
            "inputs": self.inputs.model_dump_json(),
            "post": self.post.model_dump_json(),
            "card": dict(self.card),
        }
        save_checkpoint(state, path)

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read a model; every byte is checked, and nothing but data is unpickled.

        Args:
            path: A file written by :meth:`save`.

        Returns:
            The model.

        Raises:
            CheckpointError: The file is damaged, or is no model.
        """
        state, _ = load_checkpoint(path)
        if state.get("kind") != KIND:
            wanted = "a model, as segtune retrain and segtune predict RUN write them"
            raise CheckpointError(str(path), [Problem(path.name, "another kind of file", wanted)])
        try:
            members = tuple(
                Member(Recipe.model_validate_json(one["recipe"]), one["weights"], one["name"])
                for one in state["members"]
            )
            inputs = InputSpec.model_validate_json(state["inputs"])
            post = PostProcess.model_validate_json(state["post"])
        except (KeyError, TypeError, ValidationError) as error:
            found = f"what this version cannot read ({str(error).splitlines()[0]})"
            raise CheckpointError(str(path), [Problem(path.name, found, "a model")]) from None
        return cls(members, inputs, post, state["card"])
