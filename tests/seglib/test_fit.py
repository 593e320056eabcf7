from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from seglib.checkpoint import load_checkpoint
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import Split, make_splits
from seglib.data.store import Store
from seglib.errors import DataError, DivergedError, InfeasibleError
from seglib.fit import Epoch, fit
from seglib.recipe import Recipe
from seglib.training import Training

CPU = torch.device("cpu")
RECIPE = Recipe(
    base_filters=4, depth=2, epochs=4, dropout=0.2, learning_rate=5e-3,
    rotation_deg=10, flip_horizontal=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Split]:
    spec = DataSpec(layout="phantom-xray", cases=4, image_size=32)
    store = prepare(spec, None, tmp_path_factory.mktemp("binary"))
    return store, make_splits(store.index, SplitSpec(val=0.25, test=0)).search_part()


def figures(epochs: list[Epoch]) -> list[dict[str, float]]:
    """The rows without what depends on the machine."""
    changing = ("seconds", "peak_memory_mb")
    return [{k: v for k, v in e.as_row().items() if k not in changing} for e in epochs]


def test_resumed_run_gives_the_same_bits(store: Store, split: Split, tmp_path: Path) -> None:
    whole = list(fit(RECIPE, store, split, seed=3, device=CPU))
    whole[-1].save(tmp_path / "whole.pt")
    for epoch in fit(RECIPE, store, split, seed=3, device=CPU):
        if epoch.number == 2:
            epoch.save(tmp_path / "half.pt")
            break
    torch.rand(100)  # whatever the process drew in between must not matter
    state, _ = load_checkpoint(tmp_path / "half.pt")
    rest = list(fit(RECIPE, store, split, seed=3, resume=state, device=CPU))
    assert [epoch.number for epoch in rest] == [3, 4]
    assert figures(rest) == figures(whole)[2:]
    rest[-1].save(tmp_path / "resumed.pt")
    one, other = (load_checkpoint(tmp_path / f"{n}.pt")[0] for n in ("whole", "resumed"))
    for name, weights in one["model"].items():
        assert torch.equal(weights, other["model"][name]), name


def test_training_learns(store: Store, split: Split) -> None:
    recipe = Recipe(base_filters=8, depth=2, epochs=12, learning_rate=1e-2, batch_size=4)
    losses = [e.figures["train_loss"] for e in fit(recipe, store, split, seed=0, device=CPU)]
    assert losses[-1] < 0.7 * losses[0]


def test_seeds_matter_and_repeat(store: Store, split: Split) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1})
    runs = [list(fit(recipe, store, split, seed=seed, device=CPU)) for seed in (1, 1, 2)]
    assert figures(runs[0]) == figures(runs[1])
    assert figures(runs[0]) != figures(runs[2])


def test_global_generators_are_left_alone(store: Store, split: Split) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the very thing that must not be touched
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]  # noqa: NPY002
    list(fit(RECIPE.model_copy(update={"epochs": 1}), store, split, seed=1, device=CPU))
    after = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


def test_validation_scores_do_not_depend_on_the_batch_size(store: Store, split: Split) -> None:
    recipe = Recipe(base_filters=4, depth=2, epochs=1, learning_rate=1e-9, norm="none")
    scores = [
        next(fit(recipe.model_copy(update={"batch_size": size}), store, split, seed=1, device=CPU))
        for size in (3, 8)
    ]
    assert scores[0].figures["dice"] == pytest.approx(scores[1].figures["dice"], abs=1e-3)


def test_score_is_the_metric_asked_for(store: Store, split: Split) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1})
    epoch = next(fit(recipe, store, split, seed=1, metric="val_loss", device=CPU))
    assert epoch.score == epoch.figures["val_loss"]


def test_row_has_the_figures_of_training_and_of_each_class(store: Store, split: Split) -> None:
    epoch = next(fit(RECIPE, store, split, seed=1, device=CPU))
    row = epoch.as_row()
    assert set(row) >= {"dice", "iou", "precision", "recall", "train_loss", "val_loss"}
    assert 0 <= row["train_dice"] <= 1
    for metric in ("dice", "precision", "recall"):
        for name in ("WT", "TC", "ET"):
            wanted = epoch.scores.per_class[name][metric]
            assert row[f"{metric}_{name}"] == pytest.approx(wanted, nan_ok=True)


def test_single_class_has_no_precision_of_its_own(binary: tuple[Store, Split]) -> None:
    row = next(fit(Recipe(base_filters=2, depth=1), *binary, seed=1, device=CPU)).as_row()
    assert {name for name in row if name.startswith(("precision", "recall"))} == {
        "precision",
        "recall",
    }


def test_divergence_ends_the_run_with_a_reason(store: Store, split: Split) -> None:
    recipe = Recipe(base_filters=2, depth=2, epochs=3)
    epochs = fit(recipe, store, split, seed=0, device=CPU)
    first = next(epochs)
    with torch.no_grad():
        first._state()["model"]["heads.0.weight"].fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"epoch 2: .* steps not finite in a row"):
        next(epochs)


@pytest.mark.fault("diverged")
@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 1.1e6])
def test_loss_beyond_all_sense_ends_the_run(
    loss: float, store: Store, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate = Training.validate
    monkeypatch.setattr(Training, "validate", lambda *given: (validate(*given)[0], loss))
    epochs = fit(Recipe(base_filters=2, depth=1, epochs=1), store, split, seed=1)
    with pytest.raises(DivergedError, match=r"epoch 1: train loss .*, validation loss .*, dice "):
        next(epochs)


@pytest.mark.fault("diverged")
def test_great_loss_is_a_loss(store: Store, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    validate = Training.validate
    monkeypatch.setattr(Training, "validate", lambda *given: (validate(*given)[0], 9e5))
    epochs = fit(Recipe(base_filters=2, depth=1, epochs=1), store, split, seed=1)
    assert next(epochs).figures["val_loss"] == 9e5


def test_too_deep_for_the_image_is_infeasible(store: Store, split: Split) -> None:
    recipe = Recipe(base_filters=2, depth=5, epochs=1)
    with pytest.raises(InfeasibleError, match="depth 5 leaves less than 2 pixels of a 32 px image"):
        next(fit(recipe, store, split, seed=0, device=CPU))


@pytest.mark.parametrize("part", ["train", "val"])
def test_part_whose_masks_are_all_empty_is_refused_before_any_epoch(
    part: Literal["train", "val"], store: Store, split: Split
) -> None:
    index = store.index.copy()
    rows = split.rows(index, part)
    index.loc[rows, ["px_WT", "px_TC", "px_ET"]] = 0
    lost = dataclasses.replace(store, index=index)
    with pytest.raises(DataError, match=rf"{part} part: found no foreground in any of {len(rows)}"):
        next(fit(RECIPE, lost, split, seed=0, device=CPU))


def test_deep_supervision_and_oversampling_train(store: Store, split: Split) -> None:
    recipe = Recipe(
        base_filters=4, depth=3, epochs=2, deep_supervision=True, residual=True,
        foreground_fraction=0.5, norm="instance", grad_clip=1.0, warmup_epochs=1,
    )  # fmt: skip
    epochs = list(fit(recipe, store, split, seed=0, device=CPU))
    assert epochs[1].figures["train_loss"] < epochs[0].figures["train_loss"]


def test_last_batch_of_one_slice_is_scored_like_any_other(store: Store, split: Split) -> None:
    num_val = len(split.rows(store.index, "val"))
    recipe = Recipe(base_filters=2, depth=1, epochs=1, batch_size=num_val - 1)
    epoch = next(fit(recipe, store, split, seed=0, device=CPU))
    assert epoch.scores.num_cases == len(split.val)
