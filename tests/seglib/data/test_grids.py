from __future__ import annotations

import numpy as np
import pytest

from seglib.data.grids import misfit
from seglib.data.picture import Picture


def volume(
    *, degrees: float = 0.0, origin: tuple[float, ...] = (0, 0, 0), spacing_mm: float = 1.0
) -> Picture:
    """Turned about the z axis and shifted, columns ``spacing_mm`` apart."""
    angle = np.radians(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] *= (spacing_mm, 1.0, 2.0)
    affine[:3, 3] = origin
    return Picture(np.zeros((3, 4, 5)), (2.0, 1.0, spacing_mm), True, affine, measured=True)


def flat(*shape: int) -> Picture:
    return Picture(np.zeros(shape), (1.0, 1.0, 1.0), volume=False)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (volume(), None),
        (volume(origin=(0.05, 0, 0)), None),
        (volume(degrees=0.02), None),
        (volume(spacing_mm=1.0005), None),
        (volume(origin=(6, 8, 0)), "origin 10.0 mm apart"),
        (volume(origin=(0, 0, 0.25)), "origin 0.250 mm apart"),
        (volume(degrees=5), "directions 5.0 degrees apart"),
        (volume(degrees=90), "axes towards ALS"),
        (volume(spacing_mm=1.25), "spacing (2.0, 1.0, 1.25) mm"),
        (flat(4, 5), "size (4, 5)"),
    ],
)
def test_what_differs_is_said_beyond_what_rounding_does(other: Picture, found: str | None) -> None:
    difference = misfit(other, volume())
    assert (difference and difference[0]) == found


def test_spacing_that_no_file_tells_is_not_compared() -> None:
    plain = Picture(np.zeros((3, 4, 5)), (1.0, 1.0, 1.0), volume=True, affine=volume().affine)
    assert misfit(plain, volume()) is None


def test_channels_are_no_part_of_the_grid() -> None:
    assert misfit(flat(4, 5), flat(4, 5, 3)) is None
    assert misfit(flat(4, 6), flat(4, 5, 3)) == ("size (4, 6)", "size (4, 5)")
