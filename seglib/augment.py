"""Augmentation: one random change, the same on image and mask.

The only file that imports albumentations, and only when something is to be
augmented: the import takes two seconds. Images stay ``uint8`` all the way;
albumentations clips real-valued images to ``[0, 1]``, which would ruin MRI.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from seglib.elastic import draw_field
from seglib.recipe import Recipe

__all__ = ["Augment", "augments", "build_augment"]


class Augment:
    """A chain of random changes with its own generators.

    After ``reseed(n)`` the same sequence of calls gives the same results. No
    global generator is read or written.

    Args:
        compose: The albumentations pipeline.
    """

    def __init__(self, compose: Any) -> None:
        self._compose = compose
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start the random sequence anew.

        Each step gets a seed of its own. The pipeline's own method would give all
        of them the same one, which ties, say, the flip to the angle.

        Args:
            seed: Any whole number of at least 0.
        """
        steps = self._compose.transforms
        children = np.random.SeedSequence(seed).generate_state(len(steps) + 1)
        self._compose.set_random_seed(int(children[0]))
        for step, child in zip(steps, children[1:], strict=True):
            step.set_random_seed(int(child))

    def __call__(
        self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Change an image and its mask alike; neither input is written to.

        Args:
            image: Any number of channels.
            mask: Labels; no new label can appear.

        Returns:
            The two, changed.

        Shape:
            - image: ``(H, W, C)``, uint8
            - mask: ``(H, W)``, uint8
            - returns: the same two shapes
        """
        both = self._compose(image=image, mask=mask)
        return both["image"], both["mask"]


def build_augment(
    recipe: Recipe, swap: tuple[tuple[int, int], ...] = (), fill: int = 0
) -> Augment | None:
    """Build the augmentation that a recipe asks for, or None if it asks for none.

    A left-right flip turns a left lung into a right one. Where the two are
    different classes, ``swap`` names their labels and the flip exchanges them.

    Args:
        recipe: Read for its augmentation knobs only.
        swap: Pairs of labels that a left-right flip exchanges.
        fill: Byte of what is moved in from beyond the border; ``Store.fill``.

    Returns:
        The augmentation, seeded with 0.
    """
    if not augments(recipe):
        return None
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else the import asks a server for news
    import albumentations

    steps = [*_geometry(albumentations, recipe, swap, fill), *_greys(albumentations, recipe)]
    return Augment(albumentations.Compose(steps))


def augments(recipe: Recipe) -> bool:
    """Whether any augmentation knob is away from "off".

    Args:
        recipe: The knobs.

    Returns:
        Yes or no.
    """
    return any(
        value > 0
        for value in (
            recipe.rotation_deg,
            recipe.shift,
            recipe.zoom,
            recipe.flip_horizontal,
            recipe.flip_vertical,
            recipe.elastic,
            recipe.brightness,
            recipe.contrast,
            recipe.noise,
        )
    )


def _geometry(lib: Any, recipe: Recipe, swap: tuple[tuple[int, int], ...], fill: int) -> list[Any]:
    """Steps that move pixels; background and no image come in from beyond the border."""
    import cv2

    border = {
        "interpolation": cv2.INTER_LINEAR,
        "mask_interpolation": cv2.INTER_NEAREST,
        "border_mode": cv2.BORDER_CONSTANT,
        "fill": fill,
        "fill_mask": 0,
    }
    steps = []
    if recipe.flip_horizontal > 0:
        steps.append(_flip(lib, recipe.flip_horizontal, swap))
    if recipe.flip_vertical > 0:
        steps.append(lib.VerticalFlip(p=recipe.flip_vertical))
    if recipe.rotation_deg > 0 or recipe.shift > 0 or recipe.zoom > 0:
        steps.append(
            lib.Affine(
                rotate=(-recipe.rotation_deg, recipe.rotation_deg),
                translate_percent=(-recipe.shift, recipe.shift),
                scale=(1 - recipe.zoom, 1 + recipe.zoom),
                keep_ratio=True,
                p=1.0,
                **border,
            )
        )
    if recipe.elastic > 0:
        # OpenCV takes one number here for that of the first channel, and 0 for the others
        steps.append(_elastic(lib, recipe.elastic, {**border, "fill": (fill,) * 4}))
    return steps


def _greys(lib: Any, recipe: Recipe) -> list[Any]:
    """Steps that change grey values and leave the mask alone."""
    steps = []
    if recipe.brightness > 0 or recipe.contrast > 0:
        steps.append(
            lib.RandomBrightnessContrast(
                brightness_limit=(-recipe.brightness, recipe.brightness),
                contrast_limit=(-recipe.contrast, recipe.contrast),
                p=1.0,
            )
        )
    if recipe.noise > 0:
        steps.append(lib.GaussNoise(std_range=(0.0, recipe.noise), p=1.0))
    return steps


def _flip(lib: Any, probability: float, swap: tuple[tuple[int, int], ...]) -> Any:
    """A left-right flip that also exchanges the labels of left and right."""
    if not swap:
        return lib.HorizontalFlip(p=probability)
    table = np.arange(256, dtype=np.uint8)
    for left, right in swap:
        table[left], table[right] = right, left

    class SwappingFlip(lib.HorizontalFlip):  # type: ignore[misc]
        """Defined here because its base is imported late."""

        def apply_to_mask(self, mask: Any, *args: Any, **params: Any) -> Any:
            return table[super().apply_to_mask(mask, *args, **params)]

    return SwappingFlip(p=probability)


def _elastic(lib: Any, probability: float, border: dict[str, Any]) -> Any:
    """An elastic deformation by a field of our own.

    The library's takes twelve times as long, and moves the pixels of a border by 8 px and
    those of two corners by 22 where the others move by 3.
    """

    class ElasticTransform(lib.ElasticTransform):  # type: ignore[misc]
        """Defined here because its base is imported late."""

        def get_params_dependent_on_data(
            self, params: dict[str, Any], data: dict[str, Any]
        ) -> dict[str, Any]:
            height, width = params["shape"][:2]
            x, y = draw_field(self.random_generator, height, width)
            x += np.arange(width, dtype=np.float32)
            y += np.arange(height, dtype=np.float32)[:, None]
            return {"map_x": x, "map_y": y}

    return ElasticTransform(p=probability, **border)
