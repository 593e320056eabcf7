"""Averaged: all networks of a model as one that takes images and gives probabilities.

It is what :mod:`seglib.export` writes. Thresholds and the smallest parts that count are no
part of it; :func:`describe_interface` names them.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seglib.architectures import architecture_of, count_halvings
from seglib.data.pixels import SCALES
from seglib.model import Model
from seglib.networks import build_network

__all__ = [
    "Averaged",
    "describe_interface",
    "draw_samples",
    "side_multiple",
    "to_input",
]


class Averaged(nn.Module):
    """All networks of a model as one, in float32 and ready to predict.

    Args:
        model: The model.

    Shape:
        - image: ``(B, len(channels), H, W)``
        - returns: ``(B, target.num_logits, H, W)`` in ``[0, 1]``; of organs channel 0 is
          the background, and the channels of a pixel add up to 1
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.channels = model.seen_channels
        self.is_softmax = model.inputs.target.kind == "organs"
        self._picks: list[list[int]] = []
        networks = []
        for member in model.members:
            seen = member.recipe.seen_channels(model.inputs.channels)
            self._picks.append([self.channels.index(name) for name in seen])
            network = build_network(
                member.recipe,
                num_channels=len(seen),
                num_logits=model.inputs.target.num_logits,
            )
            network.load_state_dict(dict(member.weights))
            networks.append(network)
        self.networks = nn.ModuleList(networks)
        self.float().eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities for an image batch; see the class for shapes."""
        total = torch.zeros((), dtype=image.dtype)
        for network, picks in zip(self.networks, self._picks, strict=True):
            seen = image if picks == [*range(len(self.channels))] else image[:, picks]
            logits = network(seen)[0]
            total = total + (logits.softmax(dim=1) if self.is_softmax else logits.sigmoid())
        return total / len(self.networks)


def side_multiple(model: Model) -> int | None:
    """What the sides of an image must be a multiple of; None where there is one size only.

    From twice the multiple on. A U-Net takes any size and pads it to a multiple; a graph
    would have to know which, so where the model's own size is none there is no choice. Nor
    is there for networks of other libraries, some of which know one size only.

    Args:
        model: The model.

    Returns:
        Pixels, or None.
    """
    recipes, size = [member.recipe for member in model.members], model.inputs.image_size
    multiple = 2 ** max(count_halvings(recipe) for recipe in recipes)
    foreign = any(architecture_of(recipe).library for recipe in recipes)
    return None if foreign or size % multiple or size < 2 * multiple else multiple


def describe_interface(model: Model) -> dict[str, Any]:
    """What goes in, what comes out and what to make of it, for other programs.

    Args:
        model: The model.

    Returns:
        Plain JSON.
    """
    inputs, target, scale = model.inputs, model.inputs.target, SCALES[model.inputs.normalise]
    organs = target.kind == "organs"
    greys = {
        name: sorted(value for value, label in target.values.items() if label in labels)
        for name, labels in zip(target.classes, target.members, strict=True)
    }
    return {
        "input": {
            "name": "image",
            "type": "float32",
            "axes": ["batch", "channel", "height", "width"],
            "channels": list(model.seen_channels),
            "image_size": inputs.image_size,
            "side_multiple_of": side_multiple(model),
            "normalise": inputs.normalise,
            "window_hu": list(inputs.window_hu) if inputs.normalise == "window" else None,
            "scale": scale.scale,
            "offset": scale.offset,
            "padding_byte": scale.fill,
        },
        "output": {
            "name": "probabilities",
            "type": "float32",
            "channels": [*(["background"] if organs else []), *target.classes],
            "activation": "softmax" if organs else "sigmoid",
            "networks_averaged": len(model.members),
        },
        "masks": {
            "kind": target.kind,
            "grey_values": greys,
            "thresholds": None
            if organs
            else dict(zip(target.classes, model.post.thresholds, strict=True)),
            "smallest_part": dict(zip(target.classes, model.post.smallest, strict=True)),
            "unit": inputs.unit,
            "note": model.post.note,
        },
    }


def draw_samples(model: Model, num: int = 4) -> npt.NDArray[np.uint8]:
    """Drawn images to compare on where there are none: soft shapes, noise, and a blank one.

    They use the whole range of the bytes, which few real images do.

    Args:
        model: Tells size and channels.
        num: How many, at least 2.

    Returns:
        The same ones each time.

    Shape:
        - returns: ``(num, image_size, image_size, C)``, as a store holds images
    """
    generator, size = np.random.default_rng(0), model.inputs.image_size
    images = np.full((num, size, size, len(model.inputs.channels)), 0, dtype=np.uint8)
    for image in images[1:]:
        for channel in range(image.shape[2]):
            coarse = generator.uniform(-60, 315, (5, 5)).astype(np.float32)
            soft = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
            noisy = soft + generator.normal(0, 12, soft.shape)
            image[..., channel] = np.clip(noisy, 0, 255).astype(np.uint8)
    images[0] = SCALES[model.inputs.normalise].fill
    return images


def to_input(model: Model, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Stored images as the exported network takes them.

    Args:
        model: Tells channels and scale.
        images: With all channels of the data.

    Returns:
        Its input.

    Shape:
        - images: ``(N, H, W, C)``
        - returns: ``(N, len(model.seen_channels), H, W)``
    """
    picks = [model.inputs.channels.index(name) for name in model.seen_channels]
    scale = SCALES[model.inputs.normalise]
    picked = np.moveaxis(images[..., picks], 3, 1).astype(np.float32)
    return np.ascontiguousarray(picked * np.float32(scale.scale) + np.float32(scale.offset))
