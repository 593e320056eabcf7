"""Scores at the source's resolution, against slow ones; and what has no distance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seglib.evaluate import SURFACE_TOLERANCE
from seglib.source_scores import COLUMNS, Grid, SourceTally
from tests.references import case_figures
from tests.seglib.networks_of_chance import LUNGS, REGIONS

FIGURES = (
    *("dice", "iou", "precision", "recall"),
    *("hd95", "surface_dice", "true_volume", "pred_volume"),
)


def blobs(seed: int, *shape: int) -> np.ndarray:
    """A box for each class, and a few loose voxels."""
    rng = np.random.default_rng(seed)
    planes = rng.random(shape) < 0.02
    for number in range(shape[1]):
        low, high = sorted(rng.integers(0, shape[2], 2))
        planes[:, number, low:high, low:high] = True
    return planes


def test_figures_are_those_of_the_slow_way() -> None:
    volume, picture = Grid((3.0, 0.5, 0.8), True), Grid((1.0, 1.0, 1.0), False)
    tally, wanted = SourceTally(REGIONS), {}
    for seed, (depth, grid) in enumerate([(4, volume), (1, picture), (3, picture)]):
        pred, true = blobs(seed, depth, 3, 9, 7), blobs(seed + 50, depth, 3, 9, 7)
        pred[:, 1] = False
        true[:, 1] &= seed == 0  # missed in the first case, in neither mask of the others
        tally.update(f"case{seed}", pred, true, grid)
        spacing = grid.spacing_mm if depth > 1 else grid.spacing_mm[1:]
        for number, name in enumerate(REGIONS.classes):
            p, t = (planes[:, number] for planes in (pred, true))
            p, t = (p, t) if depth > 1 else (p[0], t[0])
            wanted[f"case{seed}", name] = case_figures(p, t, spacing, SURFACE_TOLERANCE)
    scores, table = tally.scores()
    assert tuple(table.columns) == COLUMNS
    found = table.set_index(["case", "class"])
    assert len(found) == len(wanted) == 9
    for place, figures in wanted.items():
        for name in FIGURES:
            assert found.loc[place, name] == pytest.approx(figures[name], nan_ok=True), name
    assert found.loc[("case0", "TC"), "hd95"] == math.inf
    assert found["empty"].tolist() == ["", "prediction", "", "", "both", "", "", "both", ""]
    units = found[["unit", "volume_unit"]].drop_duplicates().to_numpy().tolist()
    assert units == [["mm", "mm3"], ["px", "px2"], ["px", "px3"]]
    means = found["dice"].groupby("class", sort=False).mean()
    assert scores.dice == pytest.approx(float(means.mean()))


def test_slices_one_by_one_are_the_volume() -> None:
    pred, true = blobs(1, 5, 2, 8, 8), blobs(2, 5, 2, 8, 8)
    grid = Grid((1.0, 1.0, 1.0), False)
    whole, apart = SourceTally(LUNGS), SourceTally(LUNGS)
    whole.update("a", pred, true, grid)
    for one, other in zip(pred, true, strict=True):
        apart.update("a", one[None], other[None], grid)
    assert whole.scores()[1].equals(apart.scores()[1])


@pytest.mark.parametrize("what", ["size", "spacing"])
def test_images_that_are_no_stack_have_counts_and_no_distance(what: str) -> None:
    tally = SourceTally(LUNGS)
    for turn in (0, 1):
        side, step = (8 + turn * (what == "size")), 1.0 + turn * (what == "spacing")
        planes = blobs(turn, 1, 2, side, side)
        tally.update("a", planes, planes, Grid((1.0, step, step), True))
    _, table = tally.scores()
    assert table["dice"].eq(1.0).all()
    assert table["hd95"].isna().all()
    assert table["surface_dice"].isna().all()


def test_a_case_that_comes_back_is_refused() -> None:
    tally, planes = SourceTally(LUNGS), blobs(1, 1, 2, 8, 8)
    for case in ("a", "b"):
        tally.update(case, planes, planes, Grid((1.0, 1.0, 1.0), False))
    with pytest.raises(ValueError, match="images of case a come apart"):
        tally.update("a", planes, planes, Grid((1.0, 1.0, 1.0), False))
