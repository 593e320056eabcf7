"""Batched augmentation beside the albumentations pipeline: same numbers, same pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from seglib.augment import Augment, build_augment
from seglib.augment_batch import BatchAugment, Changes, build_batch_augment, change
from seglib.recipe import Recipe
from tests.seglib.test_augment import ALL_KNOBS

SWAP = ((1, 2),)
SIZE = 64
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    ),
]

Pixels = NDArray[np.uint8]


def batch(num: int = 8, num_channels: int = 2) -> tuple[Pixels, Pixels]:
    """Smooth random pictures, whose masks follow from them."""
    rng = np.random.default_rng(3)
    images = np.empty((num, SIZE, SIZE, num_channels), np.uint8)
    for image in images:
        rough = rng.uniform(0, 255, (SIZE, SIZE, num_channels))
        smooth = cv2.GaussianBlur(rough, (0, 0), 4).reshape(image.shape)
        image[:] = np.clip((smooth - smooth.mean()) * 8 + 120, 0, 255)
    masks = np.digitize(images[..., 0], [90, 150]).astype(np.uint8)
    return images, masks


def both_ways(
    augment: Augment, fill: int, device: str, num_channels: int = 2
) -> tuple[Pixels, Pixels, Pixels, Pixels]:
    """Images and masks as albumentations changes them, and as we do by its numbers."""
    images, masks = batch(num_channels=num_channels)
    wanted, numbers = [], []
    for image, mask in zip(images, masks, strict=True):
        wanted.append(augment(image, mask))
        numbers.append({type(step).__name__: step.params for step in augment._compose.transforms})
    table = torch.arange(256, dtype=torch.uint8)
    table[1], table[2] = 2, 1
    values, labels = change(
        torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float(),
        torch.from_numpy(masks).to(device),
        changes_by(numbers, device),
        labels=table.to(device),
        fill=fill,
    )
    found = values.cpu().numpy().astype(np.uint8).transpose(0, 2, 3, 1)
    return (
        np.stack([one for one, _ in wanted]),
        np.stack([one for _, one in wanted]),
        found,
        labels.cpu().numpy(),
    )


def changes_by(numbers: list[dict[str, Any]], device: str) -> Changes:
    """What albumentations drew, step by step, in our form; a step without numbers did nothing."""

    def column(name: str, make: Any) -> torch.Tensor | None:
        if not any(name in one for one in numbers):
            return None
        rows = [make(one.get(name) or {}) for one in numbers]
        return torch.from_numpy(np.stack(rows)).to(device)

    places = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE))).astype(np.float32)

    def inverse(one: dict[str, Any]) -> NDArray[np.float32]:
        matrix: NDArray[np.float32] = np.linalg.inv(one["matrix"])[:2].astype(np.float32)
        return matrix

    def displacement(one: dict[str, Any]) -> NDArray[np.float32]:
        if not one:
            return np.zeros_like(places)
        return np.stack([one["map_x"], one["map_y"]]) - places

    return Changes(
        flip_horizontal=column("SwappingFlip", bool),
        flip_vertical=column("VerticalFlip", bool),
        affine=column("Affine", inverse),
        displacement=column("ElasticTransform", displacement),
        tone=column(
            "RandomBrightnessContrast", lambda one: np.float32([one["alpha"], one["beta"]])
        ),
        noise=column("GaussNoise", lambda one: one["noise_map"].transpose(2, 0, 1)),
    )


def check_alike(image: Pixels, mask: Pixels, found: Pixels, labels: Pixels) -> None:
    """OpenCV knows a place to a 32nd of a pixel, and greys change by up to 60 in one."""
    off = np.abs(image.astype(int) - found)
    assert off.mean() < 0.25
    assert off.max() <= 8
    assert (mask != labels).mean() < 2e-3


def built(fill: int = 0, **knobs: float) -> Augment:
    augment = build_augment(Recipe(**knobs), SWAP, fill)
    assert augment is not None
    return augment


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("knob", ["flip_horizontal", "flip_vertical", "brightness", "noise"])
def test_same_numbers_give_the_same_bytes_where_nothing_is_interpolated(
    knob: str, device: str
) -> None:
    image, mask, found, labels = both_ways(built(**{knob: ALL_KNOBS[knob]}), 0, device)
    assert not np.array_equal(image, batch()[0])
    # bytes are cut, not rounded: float32 decides where float64 does in a handful of pixels
    assert np.abs(image.astype(int) - found).max() <= 1
    assert (image != found).mean() < 1e-3
    assert np.array_equal(mask, labels)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fill", [0, 40])
@pytest.mark.parametrize("knobs", [("rotation_deg",), ("shift",), ("zoom",), ("elastic",)])
def test_same_numbers_give_the_same_pixels(knobs: tuple[str, ...], fill: int, device: str) -> None:
    chosen = {knob: ALL_KNOBS[knob] for knob in knobs}
    image, mask, found, labels = both_ways(built(fill, **chosen), fill, device)
    assert not np.array_equal(mask, batch()[1])
    check_alike(image, mask, found, labels)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_channels", [1, 3, 5])
def test_the_steps_come_in_the_same_order(num_channels: int, device: str) -> None:
    image, mask, found, labels = both_ways(built(40, **ALL_KNOBS), 40, device, num_channels)
    check_alike(image, mask, found, labels)


def drawn(knobs: dict[str, float], num: int, seed: int) -> Changes:
    augment = BatchAugment(Recipe(**knobs), SWAP, 0, torch.device("cpu"))
    augment.reseed(seed)
    return augment.draw(num, SIZE, SIZE, 1)


def by_albumentations(knobs: dict[str, float], num: int) -> list[dict[str, Any]]:
    augment = built(**knobs)
    image, mask = np.full((SIZE, SIZE, 1), 100, np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    numbers = []
    for _ in range(num):
        augment(image, mask)
        numbers.append({type(step).__name__: step.params for step in augment._compose.transforms})
    return numbers


def check_same_law(ours: Any, theirs: Any) -> None:
    assert stats.ks_2samp(np.asarray(ours), np.asarray(theirs)).pvalue > 1e-3


def test_turns_moves_and_zooms_have_the_same_law() -> None:
    knobs = {"rotation_deg": 20.0, "shift": 0.1, "zoom": 0.2}
    ours = drawn(knobs, 3000, 1).affine
    assert ours is not None
    forth = np.linalg.inv(np.concatenate([ours.numpy(), np.tile([[[0, 0, 1]]], (3000, 1, 1))], 1))
    theirs = np.stack([one["Affine"]["matrix"] for one in by_albumentations(knobs, 600)])
    for law in (of_angle, of_scale, of_move_x, of_move_y):
        check_same_law(law(forth), law(theirs))
    whole = of_move_x(forth)
    assert np.allclose(whole, np.round(whole), atol=1e-3)
    assert np.abs(whole).max() == pytest.approx(6, abs=1e-3)  # 0.1 of 64, cut


def of_angle(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    angle: NDArray[np.float64] = np.arctan2(matrix[:, 0, 1], matrix[:, 0, 0])
    return angle


def of_scale(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    scale: NDArray[np.float64] = np.hypot(matrix[:, 0, 0], matrix[:, 0, 1])
    return scale


def _move(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the middle goes."""
    middle = np.full(2, SIZE / 2 - 0.5)
    # a float32 matrix knows a place to 1e-5 pixels, and equal moves must compare equal
    return np.round(matrix[:, :2, :2] @ middle + matrix[:, :2, 2] - middle, 2)


def of_move_x(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return _move(matrix)[:, 0] + 0.0


def of_move_y(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return _move(matrix)[:, 1] + 0.0


def test_grey_values_and_noise_have_the_same_law() -> None:
    knobs = {"brightness": 0.2, "contrast": 0.3, "noise": 0.05}
    ours, theirs = drawn(knobs, 800, 2), by_albumentations(knobs, 400)
    assert ours.tone is not None
    assert ours.noise is not None
    for column, name in enumerate(("alpha", "beta")):
        check_same_law(
            ours.tone[:, column], [one["RandomBrightnessContrast"][name] for one in theirs]
        )
    noise = np.stack([one["GaussNoise"]["noise_map"] for one in theirs])
    check_same_law(ours.noise.std((1, 2, 3)), noise.std((1, 2, 3)))
    check_same_law(ours.noise[:, 0, 5, 7], noise[:, 5, 7, 0])


def test_elastic_displacements_have_the_same_law() -> None:
    ours = drawn({"elastic": 1.0}, 300, 3).displacement
    assert ours is not None
    numbers = by_albumentations({"elastic": 1.0}, 150)
    theirs = np.stack([one["ElasticTransform"]["map_x"] for one in numbers]) - np.arange(SIZE)
    for place in ((0, 0), (SIZE // 2, SIZE // 2), (SIZE - 1, 9)):
        check_same_law(ours[:, 0, place[0], place[1]], theirs[:, place[0], place[1]])
    # how much two neighbours move together is how smooth it is
    for step in (1, 12, 30):
        check_same_law(
            (ours[:, 0, 20, 20] - ours[:, 0, 20, 20 + step]).abs(),
            np.abs(theirs[:, 20, 20] - theirs[:, 20, 20 + step]),
        )


def test_as_many_images_are_flipped_and_bent_as_asked_for() -> None:
    changes = drawn({"flip_horizontal": 0.3, "flip_vertical": 0.8, "elastic": 0.25}, 900, 4)
    assert changes.flip_horizontal is not None
    assert changes.flip_vertical is not None
    assert changes.displacement is not None
    bent = changes.displacement.abs().amax((1, 2, 3)) > 0
    for found, wanted in (
        (changes.flip_horizontal, 0.3),
        (changes.flip_vertical, 0.8),
        (bent, 0.25),
    ):
        assert float(found.float().mean()) == pytest.approx(wanted, abs=0.05)
    together = changes.flip_horizontal & changes.flip_vertical
    assert float(together.float().mean()) == pytest.approx(0.24, abs=0.05)


def test_same_seed_gives_the_same_sequence_and_no_global_generator_is_read() -> None:
    images, masks = (torch.from_numpy(one) for one in batch())
    before = torch.get_rng_state()
    augment = build_batch_augment(Recipe(**ALL_KNOBS), SWAP, 0, torch.device("cpu"))
    assert augment is not None
    augment.reseed(5)
    first = [augment(images, masks) for _ in range(3)]
    augment.reseed(5)
    second = [augment(images, masks) for _ in range(3)]
    assert torch.equal(torch.get_rng_state(), before)
    for (a, b), (c, d) in zip(first, second, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    assert not torch.equal(first[0][0], first[1][0])
    assert first[0][0].dtype == first[0][1].dtype == torch.uint8
    assert set(first[0][1].unique().tolist()) <= {0, 1, 2}


def test_default_recipe_augments_nothing() -> None:
    assert build_batch_augment(Recipe(), (), 0, torch.device("cpu")) is None
