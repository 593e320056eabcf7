from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from seglib.overlay import COLOURS
from tune.reporting import overlays
from tune.reporting.kept_pictures import CasePicture, CasePictures
from tune.reporting.overlays import show_overlays


def make_case(num: int = 3, size: int = 20) -> CasePicture:
    truth = np.zeros((num, 2, size, size), dtype=bool)
    truth[1, 0, 5:15, 4:10] = True  # the large class
    truth[1, 1, 8:10, 5:7] = True
    pred = np.roll(truth, 1, axis=0)
    images = np.random.default_rng(0).integers(0, 255, (num, size, size), dtype=np.uint8)
    slices = tuple(range(10, 10 + num))
    return CasePicture("p <1>", "worst", 0.25, slices, 100, images, truth, pred)


FOUND = CasePictures(7, 4, "flair", ("WT", "TC"), (make_case(),))


def numbers(path: str) -> np.ndarray:
    return np.array([float(text) for text in re.findall(r"[\d.]+", path)]).reshape(-1, 2)


def test_outlines_lie_on_the_edges_of_what_is_marked() -> None:
    (case,) = show_overlays(FOUND).cases
    assert [len(one.truth) for one in case.slices] == [0, 2, 0]
    assert [len(one.pred) for one in case.slices] == [0, 0, 2]
    (large, path), (small, _) = case.slices[1].truth  # the smaller one lies on the larger
    assert [large, small] == ["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS[:2]]
    points = numbers(path)
    assert np.abs(points.min(axis=0) - [4, 5]).max() <= 0.3
    assert np.abs(points.max(axis=0) - [10, 15]).max() <= 0.3


def test_slices_say_what_is_marked_and_begin_with_the_most() -> None:
    shown = show_overlays(FOUND)
    (case,) = shown.cases
    assert (case.title, case.first) == ("Worst case: p <1>", 1)
    assert case.text == "Dice 0.250; 3 of 100 slices, around the truth"
    assert [one.label for one in case.slices] == [
        "slice 10: nothing marked",
        "slice 11: WT 60 px, predicted 0; TC 4 px, predicted 0",
        "slice 12: WT 0 px, predicted 60; TC 0 px, predicted 4",
    ]
    assert shown.lead == "Predicted by trial 7 as it was after epoch 4, its best, on flair."


def test_images_are_those_of_the_slices_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(num=4, size=96)
    found = CasePictures(7, 4, "flair", ("WT", "TC"), (case,))
    images = [one.image for one in show_overlays(found).cases[0].slices]
    for uri, image in zip(images, case.images, strict=True):
        content = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
        drawn = np.asarray(Image.open(io.BytesIO(content)).convert("L"), dtype=float)
        assert np.corrcoef(drawn.ravel(), image.ravel())[0, 1] > 0.9
    most = sum(map(len, images)) * 7 // 10
    monkeypatch.setattr(overlays, "MOST_BYTES", most)
    smaller = [one.image for one in show_overlays(found).cases[0].slices]
    assert sum(map(len, smaller)) <= most
