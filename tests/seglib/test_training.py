from __future__ import annotations

import numpy as np
import pytest
import torch

from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import InfeasibleError
from seglib.recipe import Recipe
from seglib.training import Training

CPU = torch.device("cpu")
STILL = Recipe(base_filters=4, depth=2, learning_rate=1e-30, weight_decay=0, norm="none")


def training(recipe: Recipe, store: Store, split: Split) -> Training:
    return Training(recipe, store, split.rows(store.index, "train"), seed=4, device=CPU)


@pytest.mark.parametrize("batch_size", [3, 50])
def test_dice_of_a_pass_is_the_validation_score_of_the_same_slices(
    batch_size: int, store: Store, split: Split
) -> None:
    """With a network that stands still both see the same logits."""
    run = training(STILL.model_copy(update={"batch_size": batch_size}), store, split)
    with torch.no_grad():
        run.model.get_parameter("heads.0.bias").fill_(0.0)
    trained = run.train_epoch(1)
    scores, loss = run.validate(run.train, 1)
    assert trained.dice == pytest.approx(scores.dice, abs=1e-4)
    assert trained.dice > 0.02
    assert scores.num_cases == len(split.train)
    if batch_size == 50:
        assert trained.loss == pytest.approx(loss, rel=1e-4)


def test_steps_that_are_skipped_count_in_no_figure(store: Store, split: Split) -> None:
    run = training(STILL.model_copy(update={"batch_size": 2}), store, split)
    order: list[int] = []
    loss = run.loss.forward

    def first_is_lost(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        order.append(len(mask))
        value: torch.Tensor = loss(logits, mask)
        return value * float("nan") if len(order) == 1 else value

    run.loss.forward = first_is_lost  # type: ignore[method-assign]
    trained = run.train_epoch(1)
    assert trained.num_skipped == 1
    assert np.isfinite([trained.loss, trained.dice]).all()


def test_network_has_an_input_for_each_channel_it_sees(store: Store, split: Split) -> None:
    run = training(STILL.model_copy(update={"channels": "t2+flair"}), store, split)
    assert run.model.encoder[0].conv1.in_channels == 2
    assert np.isfinite(run.train_epoch(1).loss)


def test_channel_that_the_data_lack_is_infeasible(store: Store, split: Split) -> None:
    with pytest.raises(InfeasibleError, match="no channel pet in these data, only flair, t1"):
        training(STILL.model_copy(update={"channels": "flair+pet"}), store, split)
