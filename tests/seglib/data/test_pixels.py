from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.data.pixels import SCALES, Frame, channel_ranges, to_bytes

HU = (-1000.0, 400.0)


def column(*values: float) -> np.ndarray:
    """One slice, one column, one channel."""
    return np.array(values, dtype=np.float32).reshape(1, -1, 1, 1)


def seen(stored: np.ndarray, normalise: str) -> list[float]:
    """What the network sees of stored bytes."""
    scale, offset, _ = SCALES[normalise]
    return (stored.ravel() * scale + offset).tolist()


def test_zscore_counts_inside_the_body_only() -> None:
    stored, body = to_bytes(column(0, 0, 0, 10, 20, 30), "zscore", HU)
    assert body.ravel().tolist() == [False] * 3 + [True] * 3
    root = float(np.sqrt(1.5))
    assert seen(stored, "zscore")[3:] == pytest.approx([-root, 0, root], abs=1 / 64 + 1e-6)
    assert seen(stored, "zscore")[:3] == [0.0, 0.0, 0.0]  # outside looks like the body's mean


def test_zscore_takes_all_for_body_where_nothing_is_zero() -> None:
    _, body = to_bytes(column(5, 10, 20, 30), "zscore", HU)
    assert body.all()
    few_zeros = np.arange(-30, 30).reshape(1, 60, 1, 1)
    stored, body = to_bytes(few_zeros, "zscore", HU)
    assert body.all()
    assert (np.diff(stored.ravel().astype(int)) >= 0).all()


def test_zscore_of_channels_is_independent() -> None:
    image = np.concatenate([column(0, 1, 2, 3), column(0, 100, 900, 300)], axis=3)
    together, _ = to_bytes(image, "zscore", HU)
    for number in range(2):
        alone, _ = to_bytes(image[..., number : number + 1], "zscore", HU)
        assert np.array_equal(together[..., number], alone[..., 0])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.floats(0.1, 1000))
def test_zscore_is_kept_to_half_a_step(seed: int, spread: float) -> None:
    values = np.random.default_rng(seed).normal(50, spread, 500).astype(np.float32)
    stored, _ = to_bytes(column(*values), "zscore", HU)
    z = np.clip((values - values.mean()) / values.std(), -3, -3 + 255 / 32)
    assert np.abs(np.array(seen(stored, "zscore")) - z).max() <= 1 / 64 + 1e-3


def test_window_maps_its_ends_to_minus_one_and_one() -> None:
    stored, body = to_bytes(column(-2000, -1000, -300, 400, 3000), "window", HU)
    assert seen(stored, "window") == pytest.approx([-1, -1, 0, 1, 1], abs=1 / 255 + 1e-6)
    assert body.ravel().tolist() == [False, False, True, True, True]


def test_percentiles_ignore_extremes() -> None:
    values = np.linspace(0, 100, 1000)
    values[-1] = 1e6
    stored, _ = to_bytes(column(*values), "percentile", HU)
    assert 126 <= stored.ravel()[500] <= 129
    assert stored.ravel()[0] == 0
    assert stored.ravel()[-1] == 255


def test_percentiles_of_a_nearly_empty_image_keep_what_is_there() -> None:
    values = np.zeros(1000)
    values[3] = 7
    stored, _ = to_bytes(column(*values), "percentile", HU)
    assert stored.ravel()[3] == 255
    assert stored.sum() == 255


def test_none_keeps_bytes_and_refuses_more() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_bytes(image, "none", HU)[0], image)
    with pytest.raises(ValueError, match="int16 values"):
        to_bytes(image.astype(np.int16), "none", HU)


@pytest.mark.parametrize("normalise", ["zscore", "percentile"])
def test_blank_channel_holds_no_image_and_no_body(normalise: str) -> None:
    image = np.concatenate([column(0, 1, 2, 3), column(9, 9, 9, 9)], axis=3)
    (_, _), (low, high) = channel_ranges(image)
    assert low == high
    stored, body = to_bytes(image, normalise, HU)
    assert (stored[..., 1] == SCALES[normalise].fill).all()
    assert body.ravel().tolist() == [False, True, True, True]


def test_longest_side_fills_the_square() -> None:
    frame = Frame(height=100, width=50, size=32)
    square = frame.place_image(np.full((100, 50, 2), 200, dtype=np.uint8), fill=96)
    assert square.shape == (32, 32, 2)
    assert (square[:, 8:24] == 200).all()
    assert (square[:, :8] == 96).all()
    assert (square[:, 24:] == 96).all()


def test_shrinking_averages_areas() -> None:
    image = np.array([[0, 100], [100, 200]], dtype=np.uint8).repeat(2, 0).repeat(2, 1)[..., None]
    assert Frame(4, 4, 2).place_image(image, fill=0)[..., 0].tolist() == [[0, 100], [100, 200]]
    checker = (np.indices((4, 4)).sum(0) % 2 * 200).astype(np.uint8)[..., None]
    assert (Frame(4, 4, 2).place_image(checker, fill=0) == 100).all()


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.integers(40, 90),
    seed=st.integers(0, 99),
)
def test_enlarged_masks_come_back_unchanged(height: int, width: int, size: int, seed: int) -> None:
    mask = np.random.default_rng(seed).choice([0, 1, 2, 4], (height, width)).astype(np.uint8)
    frame = Frame(height, width, size)
    square = frame.place_mask(mask)
    assert square.shape == (size, size)
    assert set(np.unique(square)) <= {0, *np.unique(mask)}
    assert np.array_equal(frame.take_back(square), mask)


def test_image_and_mask_stay_on_each_other_at_any_size() -> None:
    mask = np.zeros((60, 90), dtype=np.uint8)
    mask[20:44, 31:70] = 1
    for size in (30, 45, 64, 90, 200):
        frame = Frame(60, 90, size)
        bright = frame.place_image(mask[..., None] * 200, fill=0)[..., 0] > 100
        assert (bright != (frame.place_mask(mask) == 1)).sum() <= 0.02 * size * size


def test_probabilities_come_back_smooth() -> None:
    frame = Frame(20, 10, 8)
    back = frame.take_back(np.full((8, 8), 0.25, dtype=np.float32))
    assert back.shape == (20, 10)
    assert back == pytest.approx(0.25)
