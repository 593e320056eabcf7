"""Prediction: networks on images that they have never seen, the way they were trained to see.

Images become bytes and squares by the very functions that prepare a store; probabilities go
back to the rectangle of the source before anything is decided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seglib.data.loader import to_real
from seglib.data.pixels import SCALES, Frame, to_bytes
from seglib.data.source import Loaded, Plan
from seglib.device import build_autocast, choose_device
from seglib.memory import shrink_to_fit
from seglib.micro_batch import finest_logits
from seglib.model import Member, Model
from seglib.networks import build_network
from seglib.postprocess import is_flat, mark_planes, remove_small

__all__ = ["Predictor"]


class Predictor:
    """A model ready to predict: its networks are built once and stay on the device.

    Several networks are averaged, and so are mirror images where ``flips`` is set: left to
    right always, top to bottom for networks that were trained with such images. Classes
    whose names differ in left and right only trade places in a mirror image, as they did
    while the networks were trained.

    Args:
        model: Networks and how to use them.
        device: Where to run; the best there is if not given.
        flips: Average over mirror images, too.

    Raises:
        InfeasibleError: A network sees a channel that the model does not name, or comes from
            a library that is not there.
    """

    def __init__(
        self, model: Model, device: torch.device | None = None, *, flips: bool = False
    ) -> None:
        self.model = model
        self.device = device or choose_device()
        self._flips = flips
        self._nets = [self._build(member) for member in model.members]
        self._batch_size = max(member.recipe.batch_size for member in model.members)
        self._trading = _trading_classes(model)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that at least one network sees, in the order of the data."""
        return self.model.seen_channels

    @property
    def key(self) -> str:
        """Fingerprint of everything that a mask depends on besides its image."""
        state = hashlib.sha256()
        model = self.model
        for member in model.members:
            state.update(member.recipe.model_dump_json().encode())
            for name, tensor in sorted(member.weights.items()):
                state.update(name.encode())
                state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        rest = (model.inputs.model_dump_json(), model.post.model_dump_json(), self._flips)
        state.update(repr(rest).encode())
        return state.hexdigest()[:20]

    def plan(self, root: Path, channels: Sequence[str] | None = None) -> Plan:
        """How the files of an item are to be read for this model: all slices of it.

        Args:
            root: Folder of the data; places are named relative to it.
            channels: Names of the channels that the files hold; all of the model's if not
                given.

        Returns:
            The plan, for :func:`seglib.data.source.read_item`.
        """
        inputs = self.model.inputs
        return Plan(
            root=root,
            channels=tuple(channels or inputs.channels),
            target=inputs.target,
            normalise=inputs.normalise,
            window_hu=inputs.window_hu,
            image_size=inputs.image_size,
            drop_empty=False,
            every=1,
        )

    @torch.inference_mode()
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability of each class at each pixel: the mean over networks and mirror images.

        Where memory runs out, fewer images go through at once, now and later.

        Args:
            images: As a store holds them, with all channels of the model.

        Returns:
            The probabilities. Organs exclude each other: what they leave of 1 is the ground's.

        Shape:
            - images: ``(N, size, size, C)``
            - returns: ``(N, K, size, size)``, ``K = target.num_classes``

        Raises:
            InfeasibleError: Memory ran out with one image at a time.
        """
        parts = []
        for start in range(0, len(images), self._batch_size):
            piece = images[start : start + self._batch_size]  # perhaps mapped from a disk
            parts.append(self._fitting(np.array(piece)))
        if not parts:
            size = images.shape[1:3]
            return np.zeros((0, self.model.inputs.target.num_classes, *size), np.float32)
        return np.concatenate(parts)

    def planes(self, probs: NDArray[np.float32], spacing_mm: Sequence[float]) -> NDArray[np.bool_]:
        """Where each class is, by the model's thresholds, without parts that are too small.

        Args:
            probs: Of one case, its slices in order.
            spacing_mm: Along z, y, x, in the unit of the model's data.

        Returns:
            The planes.

        Shape:
            - probs: ``(N, K, H, W)``
            - returns: ``(N, K, H, W)``
        """
        inputs, post = self.model.inputs, self.model.post
        planes = mark_planes(probs, post, inputs.target)
        flat = is_flat(inputs.layout)
        return remove_small(planes, post.smallest, spacing_mm=spacing_mm, flat=flat)

    def segment(self, loaded: Loaded, channels: Sequence[str] | None = None) -> NDArray[np.bool_]:
        """Where each class is, on the grid of the source.

        Slices that show nothing at all are not looked at: nothing is there. Probabilities
        are brought to the source's grid before they are cut off. Parts are measured where
        source and model measure alike: not in pixels of a file that tells no millimetres,
        if the model knows sizes in millimetres.

        Args:
            loaded: An item, read by :meth:`plan`.
            channels: Names of its channels; all of the model's if not given.

        Returns:
            The planes.

        Shape:
            - returns: ``(N, K, H, W)``, ``loaded.image`` being ``(N, H, W, C)``

        Raises:
            ValueError: The model takes bytes as they are, and the source holds others.
        """
        inputs, post = self.model.inputs, self.model.post
        num, height, width, _ = loaded.image.shape
        planes = np.zeros((num, inputs.target.num_classes, height, width), np.bool_)
        frame = Frame(height, width, inputs.image_size)
        for rows, images in self.network_images(loaded, channels):
            probs = self.probabilities(images)
            for row, one in zip(rows, probs, strict=True):
                back = np.stack([frame.take_back(plane) for plane in one])
                planes[row] = mark_planes(back[None], post, inputs.target)[0]
        if loaded.located or inputs.unit == "px":
            spacing = loaded.spacing_mm if inputs.unit == "mm" else (1.0, 1.0, 1.0)
            flat = is_flat(inputs.layout)
            remove_small(planes, post.smallest, spacing_mm=spacing, flat=flat)
        return planes

    def network_images(
        self, loaded: Loaded, channels: Sequence[str] | None = None
    ) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
        """Slices of an item as a store would hold them, a batch at a time.

        Args:
            loaded: An item, read by :meth:`plan`.
            channels: Names of its channels; all of the model's if not given.

        Yields:
            Numbers of the slices that show something, and their bytes
            ``(n, size, size, C)``; a channel that the item lacks is fill.

        Raises:
            ValueError: The model takes bytes as they are, and the source holds others.
        """
        inputs = self.model.inputs
        stored, body = to_bytes(loaded.image, inputs.normalise, inputs.window_hu)
        frame = Frame(loaded.image.shape[1], loaded.image.shape[2], inputs.image_size)
        fill = SCALES[inputs.normalise].fill
        places = [inputs.channels.index(name) for name in channels or inputs.channels]
        shown = [z for z in range(len(stored)) if not loaded.volume or body[z].any()]
        for start in range(0, len(shown), self._batch_size):
            rows = shown[start : start + self._batch_size]
            shape = (len(rows), inputs.image_size, inputs.image_size, len(inputs.channels))
            images = np.full(shape, fill, np.uint8)
            for image, z in zip(images, rows, strict=True):
                image[..., places] = frame.place_image(stored[z], fill)
            yield rows, images

    def _build(self, member: Member) -> tuple[nn.Module, Member, list[int]]:
        inputs = self.model.inputs
        seen = member.recipe.seen_channels(inputs.channels)
        net = build_network(
            member.recipe, num_channels=len(seen), num_logits=inputs.target.num_logits
        )
        net.load_state_dict(dict(member.weights))
        return net.to(self.device).eval(), member, [inputs.channels.index(one) for one in seen]

    def _fitting(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of one batch, in pieces that fit into memory."""
        bytes_ = torch.from_numpy(images).to(self.device)

        def attempt(size: int) -> NDArray[np.float32]:
            pieces = [self._mean(piece) for piece in torch.split(bytes_, size)]
            if size < len(bytes_):
                self._batch_size = size
            return torch.cat(pieces).cpu().numpy()

        return shrink_to_fit(
            attempt,
            len(images),
            most=len(images),
            recipe=self.model.members[0].recipe,
            image_size=self.model.inputs.image_size,
            device=self.device,
        )

    def _mean(self, bytes_: Tensor) -> Tensor:
        """Mean over networks and mirror images, ``(B, K, size, size)``."""
        scale = SCALES[self.model.inputs.normalise]
        total: Tensor | None = None
        for net, member, places in self._nets:
            image = to_real(bytes_[..., places], scale.scale, scale.offset)
            autocast = build_autocast(member.recipe.precision, self.device)
            views = self._mirrors(member)
            for axes in views:
                logits = finest_logits(net, image.flip(axes), len(image), autocast)
                probs = self._activate(logits.float()).flip(axes)
                if -1 in axes:
                    probs = probs[:, self._trading]
                share = probs / (len(views) * len(self._nets))
                total = share if total is None else total + share
        assert total is not None
        return total

    def _mirrors(self, member: Member) -> list[list[int]]:
        """Axes along which an image is flipped, for each view of it."""
        if not self._flips:
            return [[]]
        vertical = member.recipe.flip_vertical > 0
        return [[], [-1], *([[-2], [-2, -1]] if vertical else [])]

    def _activate(self, logits: Tensor) -> Tensor:
        if self.model.inputs.target.kind == "organs":
            return logits.softmax(dim=1)[:, 1:]
        return logits.sigmoid()


def _trading_classes(model: Model) -> list[int]:
    """Where each class is found in a mirror image: left for right."""
    target = model.inputs.target
    number_of = {part: number for number, part in enumerate(target.members) if len(part) == 1}
    order = list(range(target.num_classes))
    for one, other in target.mirror_pairs():
        first, second = number_of[(one,)], number_of[(other,)]
        order[first], order[second] = second, first
    return order
