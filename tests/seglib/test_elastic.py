"""The field of an elastic deformation: the law of blurred white noise, without its borders."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from seglib.elastic import ELASTIC_MOVE_PX, ELASTIC_SIGMA_PX, draw_field, spread


@pytest.mark.parametrize("size", [1, 16, 80, 240, 257])
def test_every_pixel_moves_as_far_as_any_other(size: int) -> None:
    matrix = spread(size).astype(np.float64)
    assert np.allclose((matrix**2).sum(axis=1), 1, atol=1e-6)


def test_pixels_move_together_as_far_as_blurred_white_noise_does() -> None:
    """The covariance of the matrix is that of a Gaussian blur, whatever the place."""
    size = 240
    matrix = spread(size).astype(np.float64)
    away = np.arange(size)[:, None] - np.arange(size)
    blurred = np.exp(-((away / (2 * ELASTIC_SIGMA_PX)) ** 2))
    assert np.abs(matrix @ matrix.T - blurred).max() < 2e-3


def test_the_field_has_the_moments_of_blurred_white_noise() -> None:
    rng = np.random.default_rng(0)
    size, step = 64, 10
    ours = np.stack([draw_field(rng, size, size) for _ in range(150)])
    noise = rng.standard_normal((40, 2, size + 80, size + 80))
    theirs = gaussian_filter(noise, (0, 0, ELASTIC_SIGMA_PX, ELASTIC_SIGMA_PX))[..., 40:-40, 40:-40]
    theirs *= ELASTIC_MOVE_PX / theirs.std()
    for field in (ours, theirs):
        assert field.std() == pytest.approx(ELASTIC_MOVE_PX, rel=0.08)
        slope = (field[..., step:] - field[..., :-step]).std()
        assert slope == pytest.approx(ELASTIC_MOVE_PX * np.sqrt(2 * (1 - np.exp(-0.25))), rel=0.08)
        x_with_y = np.corrcoef(field[:, 0].ravel(), field[:, 1].ravel())[0, 1]
        assert abs(x_with_y) < 0.1


def test_same_generator_gives_the_same_field() -> None:
    one, other = (draw_field(np.random.default_rng(3), 40, 60) for _ in range(2))
    assert one.shape == (2, 40, 60)
    assert one.dtype == np.float32
    assert np.array_equal(one, other)
