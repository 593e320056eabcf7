from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from seglib.batch_norm import recompute_statistics
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.recipe import Recipe
from seglib.training import Training

CPU = torch.device("cpu")
NOISY = Recipe(base_filters=4, depth=2, dropout=0.5, batch_size=8)


def test_statistics_are_those_of_the_batches_without_dropout() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(2))
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand((3, 2, 4, 4), generator=generator) + 5 for _ in range(3)]
    for image in images:
        model.train()(image)
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    assert float(norm.running_var.min()) > 1  # half of values near 5 dropped, the rest doubled
    recompute_statistics(model, images, nullcontext())
    means = torch.stack([image.mean((0, 2, 3)) for image in images]).mean(0)
    variances = torch.stack([image.var((0, 2, 3)) for image in images]).mean(0)
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(norm.running_var, variances)
    assert not any(layer.training for layer in model)
    assert norm.momentum == 0.1


@pytest.mark.parametrize("changes", [{"norm": "none"}, {"norm": "instance"}, {"dropout": 0.0}])
def test_nothing_is_recomputed_where_nothing_could_change(
    changes: dict[str, object], store: Store, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("statistics were recomputed")

    monkeypatch.setattr("seglib.training.recompute_statistics", refuse)
    for recipe in (
        NOISY.model_copy(update=changes),
        NOISY.model_copy(update={"norm_statistics": "running"}),
    ):
        run = Training(recipe, store, split.rows(store.index, "train"), seed=0, device=CPU)
        run.validate(split.rows(store.index, "val"), 1)


def test_weights_do_not_depend_on_how_they_are_scored(store: Store, split: Split) -> None:
    train, val = split.rows(store.index, "train"), split.rows(store.index, "val")
    runs = []
    for way in ("recomputed", "running"):
        recipe = NOISY.model_copy(update={"norm_statistics": way})
        run = Training(recipe, store, train, seed=0, device=CPU)
        scored = [(run.train_epoch(n).loss, run.validate(val, n)[1]) for n in (1, 2)]
        runs.append((dict(run.model.named_parameters()), scored))
    (weights, scored), (others, compared) = runs
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert [loss for loss, _ in scored] == [loss for loss, _ in compared]
    assert [loss for _, loss in scored] != [loss for _, loss in compared]
