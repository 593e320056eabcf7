from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seglib.data.picture import Picture, reorient
from seglib.data.stacks import Pose, arrange
from seglib.errors import Problem

FLAT = Pose((4, 5), spacing_mm=(2.0, 3.0), orientation=(1, 0, 0, 0, 1, 0))


def stack(*heights: float, shift: float = 0.0) -> list[Pose]:
    return [replace(FLAT, position=(shift * height, 0.0, height)) for height in heights]


def arranged(poses: list[Pose]) -> tuple[object, list[Problem]]:
    problems: list[Problem] = []
    return arrange(poses, [str(number) for number in range(len(poses))], problems), problems


def test_order_and_step_come_from_the_heights() -> None:
    grid = arrange(stack(7, 1, 4), ["a", "b", "c"], [])
    assert grid is not None
    assert grid.order == (1, 2, 0)
    assert grid.spacing_mm == (3.0, 2.0, 3.0)


def test_a_tilted_gantry_shears_the_grid_and_steps_along_the_normal() -> None:
    grid = arrange(stack(0, 2, 4, shift=0.5), ["a", "b", "c"], [])
    assert grid is not None
    assert grid.spacing_mm[0] == 2.0
    assert grid.affine is not None
    assert np.allclose(grid.affine[:3, 2], [-1, 0, 2])


def test_a_lone_slice_takes_its_thickness() -> None:
    grid = arrange([replace(stack(3)[0], thickness_mm=5.0)], ["a"], [])
    assert grid is not None
    assert grid.spacing_mm == (5.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("heights", "found"),
    [
        ((0, 2, 4, 8), ["3: found 4 mm from 2 to here ; wanted 2 mm, as elsewhere"]),
        ((0, 2, 4, 10, 12), ["3: found 6 mm from 2 to here ; wanted 2 mm, as elsewhere"]),
        ((0, 2, 4, 5, 7), ["3: found 1 mm from 2 to here ; wanted 2 mm, as elsewhere"]),
        ((0, 2, 2, 4), ["2: found the position of 1 ; wanted one of its own"]),
        ((0, 2, 4.2, 6), []),
    ],
)
def test_steps_must_be_alike(heights: tuple[float, ...], found: list[str]) -> None:
    grid, problems = arranged(stack(*heights))
    assert [str(problem).splitlines()[0] for problem in problems] == found
    assert (grid is None) == bool(found)


def test_slices_without_a_position_among_others_are_named() -> None:
    poses = stack(0, 2, 4)
    poses[1] = replace(poses[1], position=None)
    grid, problems = arranged(poses)
    assert grid is None
    assert [str(one) for one in problems] == [
        "1: found no position ; wanted one, as the other slices have"
    ]


@pytest.mark.parametrize("code", ["RAS", "LPS", "PIR", "SAL"])
def test_reoriented_voxels_stay_where_they_are(code: str) -> None:
    from nibabel import aff2axcodes, orientations

    rng = np.random.default_rng(0)
    array = rng.integers(0, 9, (3, 4, 5))
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 7, 8, 9
    turn = orientations.ornt_transform(
        orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(code)
    )
    wanted = affine @ orientations.inv_ornt_aff(turn, (5, 4, 3))
    turned = reorient(Picture(array, (3.0, 2.0, 1.0), volume=True, affine=affine), wanted)
    assert turned.affine is not None
    assert aff2axcodes(turned.affine) == tuple(code)
    steps = np.abs(turned.affine[:3, :3]).sum(axis=0)
    assert turned.spacing_mm == tuple(steps[::-1])
    z, y, x = 1, 2, 3
    place = np.linalg.inv(turned.affine) @ affine @ [x, y, z, 1]
    i, j, k = np.rint(place[:3]).astype(int)
    assert turned.array[k, j, i] == array[z, y, x]
    assert sorted(turned.array.ravel()) == sorted(array.ravel())
