from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seglib.checkpoint import load_checkpoint, save_checkpoint
from seglib.data.loader import iterate
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import InfeasibleError
from seglib.evaluate import SURFACE_TOLERANCE, evaluate, load_model
from seglib.fit import fit
from seglib.legacy import LegacyTally
from seglib.metrics import mask_planes, predict_planes
from seglib.recipe import Recipe
from seglib.surface import surface_distances

CPU = torch.device("cpu")
RECIPE = Recipe(
    base_filters=8, depth=2, epochs=4, learning_rate=1e-2, batch_size=3, channels="flair+t1ce",
    precision="fp32",  # compared with networks that are called without autocast
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(
    store: Store, split: Split, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, pd.DataFrame]:
    """A checkpoint, and the scores of its epoch case by case."""
    *_, last = fit(RECIPE, store, split, seed=0, device=CPU)
    path = tmp_path_factory.mktemp("trained") / "last.pt"
    last.save(path)
    return path, last.scores.per_case


def test_overlap_is_that_of_the_epoch(
    trained: tuple[Path, pd.DataFrame], store: Store, split: Split
) -> None:
    checkpoint, of_epoch = trained
    found = evaluate(checkpoint, store, split.rows(store.index, "val"), device=CPU)
    added = ["hd95", "surface_dice"]
    assert found.per_case.columns.tolist() == [*of_epoch.columns, *added]
    pd.testing.assert_frame_equal(found.per_case.drop(columns=added), of_epoch)


@pytest.mark.parametrize("order", ["as stored", "mixed"])
def test_distances_are_those_of_whole_volumes_in_the_order_of_their_slices(
    order: str, trained: tuple[Path, pd.DataFrame], store: Store, split: Split
) -> None:
    rows = split.rows(store.index, "val")
    given = rows if order == "as stored" else np.random.default_rng(0).permutation(rows)
    table = evaluate(trained[0], store, given, device=CPU).per_case.set_index(["case", "class"])
    model, _ = load_model(trained[0], store, CPU)
    for case, part in store.index.iloc[rows].groupby("case"):
        own = part.sort_values("slice").index.to_numpy()
        batch = next(iterate(store, own, batch_size=len(own), channels=("flair", "t1ce")))
        with torch.no_grad():
            pred = predict_planes(model(batch.image)[0], store.target)
        true = mask_planes(batch.mask, store.target)
        spacing_mm = part.iloc[0][["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]].tolist()
        for number, name in enumerate(store.target.classes):
            wanted = surface_distances(pred[:, number].numpy(), true[:, number].numpy(), spacing_mm)
            found = table.loc[(case, name), ["hd95", "surface_dice"]].tolist()
            figures = [wanted.hausdorff_mm(), wanted.surface_dice(SURFACE_TOLERANCE)]
            assert found == pytest.approx(figures, nan_ok=True)
    assert np.isfinite(table["hd95"]).any()


def test_case_with_slices_left_out_has_no_distances(
    trained: tuple[Path, pd.DataFrame], store: Store, split: Split
) -> None:
    rows = split.rows(store.index, "val")
    cut = store.index["case"].iloc[rows[0]]
    table = evaluate(trained[0], store, rows[1:], device=CPU).per_case
    lacking = table["hd95"].isna() & table["surface_dice"].isna()
    assert lacking[table["case"] == cut].all()
    assert not lacking[(table["case"] != cut) & (table["tp"] > 0)].any()


def test_picture_is_measured_in_its_plane(
    trained: tuple[Path, pd.DataFrame], store: Store, split: Split
) -> None:
    """As a volume of one slice its every pixel would be surface."""
    rows = split.rows(store.index, "val")
    names = [f"picture{row}" for row in store.index.index]
    pictures = dataclasses.replace(store, index=store.index.assign(case=names))
    table = evaluate(trained[0], pictures, rows, device=CPU).per_case
    model, _ = load_model(trained[0], store, CPU)
    seen = table[table["tp"] > 0].iloc[0]
    row = names.index(seen["case"])
    batch = next(iterate(store, np.array([row]), batch_size=1, channels=("flair", "t1ce")))
    with torch.no_grad():
        pred = predict_planes(model(batch.image)[0], store.target)[0]
    true = mask_planes(batch.mask, store.target)[0]
    number = store.target.classes.index(seen["class"])
    spacing_mm = store.index.loc[row, ["spacing_y_mm", "spacing_x_mm"]].tolist()
    wanted = surface_distances(pred[number].numpy(), true[number].numpy(), spacing_mm)
    assert seen["hd95"] == wanted.hausdorff_mm()


def test_legacy_figures_are_of_batches_in_the_order_of_the_rows(
    trained: tuple[Path, pd.DataFrame], store: Store, split: Split
) -> None:
    rows = split.rows(store.index, "val")
    found = evaluate(trained[0], store, rows, device=CPU).legacy
    model, _ = load_model(trained[0], store, CPU)
    tally = LegacyTally(store.target)
    for batch in iterate(store, rows, batch_size=3, channels=("flair", "t1ce")):
        with torch.no_grad():
            tally.update(model(batch.image)[0], batch.mask)
    assert found == tally.figures()
    assert len(rows) % 3  # the last batch is smaller, and weighs as much as any


def test_all_empty_masks_score_nothing_whatever_the_lab_would_say(
    trained: tuple[Path, pd.DataFrame], store: Store, split: Split
) -> None:
    empty = dataclasses.replace(store, masks=np.zeros_like(store.masks))
    found = evaluate(trained[0], empty, split.rows(store.index, "val"), device=CPU)
    assert math.isnan(found.scores.dice)
    assert found.legacy["batch_precision"] == found.legacy["batch_recall"] == 0
    assert found.legacy["batch_recall_with_background"] > 0.7


def test_network_of_channels_that_the_store_lacks_is_refused(
    trained: tuple[Path, pd.DataFrame], store: Store, tmp_path: Path
) -> None:
    state, _ = load_checkpoint(trained[0])
    recipe = RECIPE.model_copy(update={"channels": "pet"})
    save_checkpoint({**state, "recipe": recipe.model_dump_json()}, tmp_path / "other.pt")
    with pytest.raises(InfeasibleError, match="no channel pet in these data"):
        load_model(tmp_path / "other.pt", store, CPU)


def test_checkpoint_from_before_the_field_sees_all_channels(
    store: Store, split: Split, tmp_path: Path
) -> None:
    first = next(fit(Recipe(base_filters=2, depth=1), store, split, seed=0, device=CPU))
    first.save(tmp_path / "new.pt")
    state, _ = load_checkpoint(tmp_path / "new.pt")
    old = Recipe.model_validate_json(state["recipe"]).model_dump_json(exclude={"channels"})
    save_checkpoint({**state, "recipe": old}, tmp_path / "old.pt")
    model, recipe = load_model(tmp_path / "old.pt", store, CPU)
    assert recipe.channels == "all"
    assert model.encoder[0].conv1.in_channels == store.num_channels
