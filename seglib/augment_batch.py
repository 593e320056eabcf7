"""Augmentation of a whole batch on the device that trains: what augment.py does, at once.

The same steps in the same order with the same chances as the albumentations pipeline of
:mod:`seglib.augment`, and the same pixels from the same numbers, but for the rounding of
OpenCV's interpolation. Between steps values are whole numbers from 0 to 255, as bytes are.

Flips, turns, moves, zooms and tones are drawn on the CPU, so they are the same on every
device; noise and elastic deformations are drawn where the pixels are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from seglib.augment import augments
from seglib.elastic import ELASTIC_MOVE_PX, spread
from seglib.recipe import Recipe

__all__ = ["BatchAugment", "Changes", "build_batch_augment", "change", "draw_affine", "to_device"]

_LARGEST: Final = 255.0


@dataclass(frozen=True)
class Changes:
    """What each image of a batch is to undergo; what is None happens to none of them.

    Args:
        flip_horizontal: ``(B,)``, bool.
        flip_vertical: ``(B,)``, bool.
        affine: ``(B, 2, 3)``: from a pixel of the result to its place in the source, in pixels,
            x before y.
        displacement: ``(B, 2, H, W)``: how far from a pixel of the result its place in the
            source is, in pixels, x before y.
        tone: ``(B, 2)``: factor and addend of the grey values.
        noise: ``(B, C, H, W)``, added to the grey values.
    """

    flip_horizontal: Tensor | None = None
    flip_vertical: Tensor | None = None
    affine: Tensor | None = None
    displacement: Tensor | None = None
    tone: Tensor | None = None
    noise: Tensor | None = None


class BatchAugment:
    """A chain of random changes of whole batches, with its own generators.

    After ``reseed(n)`` the same sequence of calls gives the same results on the same kind
    of device. No global generator is read or written.

    Args:
        recipe: Read for its augmentation knobs only.
        swap: Pairs of labels that a left-right flip exchanges.
        fill: Byte of what is moved in from beyond the border.
        device: Where the batches are.
    """

    def __init__(
        self, recipe: Recipe, swap: Sequence[tuple[int, int]], fill: int, device: torch.device
    ) -> None:
        self.recipe, self.fill, self.device = recipe, fill, device
        self.labels = _swapped(swap).to(device)
        self._spreads: dict[int, Tensor] = {}
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start the random sequence anew.

        Args:
            seed: Any whole number of at least 0.
        """
        of_images, of_pixels = np.random.SeedSequence(seed).generate_state(2)
        self._rng = np.random.default_rng(int(of_images))
        self._generator = torch.Generator(self.device).manual_seed(int(of_pixels))

    def __call__(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Change the images of a batch and their masks alike; neither input is written to.

        Args:
            images: Any number of channels.
            masks: Labels; no new label can appear.

        Returns:
            The two, changed.

        Shape:
            - images: ``(B, H, W, C)``, uint8
            - masks: ``(B, H, W)``, uint8
            - returns: the same two shapes
        """
        changes = self.draw(*images.shape)
        values, labels = change(
            images.permute(0, 3, 1, 2).float(), masks, changes, labels=self.labels, fill=self.fill
        )
        return values.to(torch.uint8).permute(0, 2, 3, 1), labels

    def draw(self, num: int, height: int, width: int, num_channels: int) -> Changes:
        """Draw what the images of a batch are to undergo.

        Args:
            num: Images.
            height: Of an image in pixels.
            width: Of an image in pixels.
            num_channels: Of an image.

        Returns:
            The changes, on the device.
        """
        knobs, rng = self.recipe, self._rng
        drawn = {
            "flip_horizontal": rng.random((num, 1)) < knobs.flip_horizontal,
            "flip_vertical": rng.random((num, 1)) < knobs.flip_vertical,
            "affine": draw_affine(knobs, num, (height, width), rng=rng).reshape(num, 6),
            "elastic": rng.random((num, 1)) < knobs.elastic,
            "tone": _draw_tone(knobs, num, rng),
            "deviation": rng.uniform(0, knobs.noise * _LARGEST, (num, 1)),
        }
        sent = to_device(drawn, self.device)
        displacement = noise = None
        if drawn["elastic"].any():
            displacement = self._bend(sent["elastic"], height, width)
        if knobs.noise:
            noise = self._noise(sent["deviation"], (num, num_channels, height, width))
        moved = knobs.rotation_deg > 0 or knobs.shift > 0 or knobs.zoom > 0
        return Changes(
            flip_horizontal=sent["flip_horizontal"][:, 0] > 0 if knobs.flip_horizontal else None,
            flip_vertical=sent["flip_vertical"][:, 0] > 0 if knobs.flip_vertical else None,
            affine=sent["affine"].view(num, 2, 3) if moved else None,
            displacement=displacement,
            tone=sent["tone"] if knobs.brightness or knobs.contrast else None,
            noise=noise,
        )

    def _bend(self, which: Tensor, height: int, width: int) -> Tensor:
        """Smooth displacements of some of the images, and none of the others."""
        rows, columns = self._spread(height), self._spread(width)
        shape = (len(which), 2, rows.shape[1], columns.shape[1])
        pushes = torch.randn(shape, generator=self._generator, device=self.device)
        return rows @ (pushes * ELASTIC_MOVE_PX * which[:, :, None, None]) @ columns.T

    def _noise(self, deviation: Tensor, shape: tuple[int, ...]) -> Tensor:
        noise = torch.randn(shape, generator=self._generator, device=self.device)
        return noise * deviation[:, :, None, None]

    def _spread(self, size: int) -> Tensor:
        if size not in self._spreads:
            self._spreads[size] = torch.tensor(spread(size), device=self.device)
        return self._spreads[size]


def build_batch_augment(
    recipe: Recipe, swap: Sequence[tuple[int, int]], fill: int, device: torch.device
) -> BatchAugment | None:
    """Build the augmentation that a recipe asks for, or None if it asks for none.

    Args:
        recipe: Read for its augmentation knobs only.
        swap: Pairs of labels that a left-right flip exchanges.
        fill: Byte of what is moved in from beyond the border; ``Store.fill``.
        device: Where the batches are.

    Returns:
        The augmentation, seeded with 0.
    """
    return BatchAugment(recipe, swap, fill, device) if augments(recipe) else None


def draw_affine(
    recipe: Recipe, num: int, size: tuple[int, int], *, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw turns, moves and zooms: each uniform, moves cut to whole pixels, as albumentations does.

    Args:
        recipe: Tells how far each may go.
        num: How many.
        size: Height and width of an image in pixels.
        rng: Generator to draw with.

    Returns:
        Matrices from a pixel of the result to its place in the source.

    Shape:
        - returns: ``(num, 2, 3)``
    """
    height, width = size
    angle = np.deg2rad(rng.uniform(-recipe.rotation_deg, recipe.rotation_deg, num))
    scale = rng.uniform(1 - recipe.zoom, 1 + recipe.zoom, num)
    move = np.trunc(rng.uniform(-recipe.shift, recipe.shift, (num, 2)) * (width, height))
    centre = np.array([width / 2 - 0.5, height / 2 - 0.5])
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)  # back again
    offset = centre - np.einsum("nij,nj->ni", turn, centre + move)
    return np.concatenate([turn, offset[..., None]], axis=-1)


def to_device(drawn: dict[str, npt.NDArray[np.generic]], device: torch.device) -> dict[str, Tensor]:
    """Send the numbers of a batch in one copy, which nobody waits for.

    Args:
        drawn: Name -> one row per image.
        device: Where to.

    Returns:
        The same as float32.
    """
    widths = [part.shape[1] for part in drawn.values()]
    packed = torch.from_numpy(np.concatenate(list(drawn.values()), axis=1, dtype=np.float32))
    if device.type == "cuda":
        packed = packed.pin_memory()
    parts = torch.split(packed.to(device, non_blocking=True), widths, dim=1)
    return dict(zip(drawn, parts, strict=True))


def change(
    image: Tensor, mask: Tensor, changes: Changes, *, labels: Tensor, fill: int
) -> tuple[Tensor, Tensor]:
    """Carry out what was drawn.

    Args:
        image: Whole numbers from 0 to 255.
        mask: Labels.
        changes: What each image is to undergo.
        labels: Label -> label behind a left-right flip.
        fill: Grey value of what comes in from beyond the border; its label is 0.

    Shape:
        - image: ``(B, C, H, W)``, float32
        - mask: ``(B, H, W)``, uint8
        - labels: ``(256,)``, uint8

    Returns:
        Image and mask, in the same form.
    """
    if changes.flip_horizontal is not None:
        which = changes.flip_horizontal[:, None, None]
        image = torch.where(which[:, None], image.flip(3), image)
        mask = torch.where(which, labels[mask.flip(2).long()], mask)
    if changes.flip_vertical is not None:
        which = changes.flip_vertical[:, None, None]
        image = torch.where(which[:, None], image.flip(2), image)
        mask = torch.where(which, mask.flip(1), mask)
    if changes.affine is not None:
        pixels = _pixels(image)
        places = torch.einsum("nij,jhw->nihw", changes.affine[:, :, :2], pixels)
        image, mask = _resample(image, mask, places + changes.affine[:, :, 2, None, None], fill)
    if changes.displacement is not None:
        image, mask = _resample(image, mask, _pixels(image) + changes.displacement, fill)
    if changes.tone is not None:
        gain, bias = changes.tone[:, :, None, None, None].unbind(1)
        image = (image * gain + bias).clamp(0, _LARGEST).floor()
    if changes.noise is not None:
        image = (image + changes.noise.trunc()).clamp(0, _LARGEST)
    return image, mask


def _draw_tone(recipe: Recipe, num: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Factor and addend of each image's grey values."""
    gain = 1 + rng.uniform(-recipe.contrast, recipe.contrast, num)
    bias = rng.uniform(-recipe.brightness, recipe.brightness, num) * _LARGEST
    return np.stack([gain, bias], axis=1)


def _pixels(image: Tensor) -> Tensor:
    """Where the pixels are, ``(2, H, W)``, x before y."""
    y = torch.arange(image.shape[2], dtype=torch.float32, device=image.device)
    x = torch.arange(image.shape[3], dtype=torch.float32, device=image.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def _resample(image: Tensor, mask: Tensor, places: Tensor, fill: int) -> tuple[Tensor, Tensor]:
    """Fetch each pixel from its place: grey values between pixels, labels from the nearest."""
    height, width = mask.shape[1:]
    x, y = places.unbind(1)
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    # beyond the border there are zeros, so the fill is made zero meanwhile
    moved = grid_sample(image - fill, grid, mode="bilinear", align_corners=True) + fill
    found = grid_sample(mask[:, None].float(), grid, mode="nearest", align_corners=True)
    return moved.round().clamp(0, _LARGEST), found[:, 0].to(mask.dtype)


def _swapped(swap: Sequence[tuple[int, int]]) -> Tensor:
    table = torch.arange(256, dtype=torch.uint8)
    for left, right in swap:
        table[left], table[right] = right, left
    return table
