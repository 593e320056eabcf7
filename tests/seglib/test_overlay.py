from __future__ import annotations

import numpy as np
import pytest

from seglib.overlay import COLOURS, draw_outlines, trace_outlines


def box(shape: tuple[int, int], top: int, left: int, side: int) -> np.ndarray:
    plane = np.zeros(shape, dtype=bool)
    plane[top : top + side, left : left + side] = True
    return plane


def coloured(picture: np.ndarray) -> np.ndarray:
    """Where a grey picture is not grey any more."""
    return np.asarray((picture != picture[..., :1]).any(axis=-1))


def test_only_the_edge_is_drawn_and_the_input_left_alone() -> None:
    image = np.full((64, 64), 40, dtype=np.uint8)
    picture = draw_outlines(image, box((64, 64), 16, 16, 32)[np.newaxis], size=64)
    edge = coloured(picture)
    assert edge[16, 16:48].all()
    assert edge[16:48, 47].all()
    assert not edge[20:44, 20:44].any()
    assert not edge[:14].any()
    assert (picture[30, 30] == 40).all()
    assert (image == 40).all()


@pytest.mark.parametrize(("shape", "size"), [((30, 60), 240), ((300, 150), 100), ((64, 64), 64)])
def test_longest_side_is_as_asked_and_one_pixel_still_shows(
    shape: tuple[int, int], size: int
) -> None:
    image = np.zeros(shape, dtype=np.uint8)
    picture = draw_outlines(image, box(shape, 11, 21, 1)[np.newaxis], size=size)
    assert max(picture.shape[:2]) == size
    assert picture.shape[0] * shape[1] == picture.shape[1] * shape[0]
    centre = np.argwhere(coloured(picture)).mean(axis=0)
    assert np.abs(centre - np.array([11.5, 21.5]) * size / max(shape)).max() <= 2.5


def test_smaller_class_lies_on_the_larger_one() -> None:
    planes = np.stack([box((64, 64), 10, 10, 10), box((64, 64), 10, 10, 40)])
    picture = draw_outlines(np.zeros((64, 64), dtype=np.uint8), planes, size=64)
    for pixel, number in ((picture[10, 14], 0), (picture[10, 40], 1)):
        away = [np.abs(pixel - np.array(colour)).sum() for colour in COLOURS[:2]]
        assert np.argmin(away) == number


def test_colour_images_stay_coloured() -> None:
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[..., 2] = 90
    picture = draw_outlines(image, np.zeros((1, 16, 16), dtype=bool), size=16)
    assert np.array_equal(picture, image)


def test_traced_edge_encloses_as_much_as_the_region_also_at_the_border() -> None:
    for plane in (box((40, 60), 8, 20, 12), box((40, 60), 0, 48, 12)):
        (line,) = trace_outlines(plane)
        x, y = line.T
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        assert area == pytest.approx(plane.sum(), rel=0.05)
        centre = np.argwhere(plane).mean(axis=0) + 0.5
        middle = (line.min(axis=0) + line.max(axis=0)) / 2
        assert np.abs(middle[::-1] - centre).max() <= 0.3


def test_traced_region_of_one_pixel_has_an_edge_and_a_hole_has_its_own() -> None:
    assert len(trace_outlines(box((9, 9), 4, 4, 1))) == 1
    ring = box((30, 30), 5, 5, 20) & ~box((30, 30), 10, 10, 8)
    assert len(trace_outlines(ring)) == 2
    assert trace_outlines(np.zeros((5, 5), dtype=bool)) == []
