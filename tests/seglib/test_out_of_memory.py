"""Memory runs out in the middle of an epoch: what is trained after that, to the bit.

The shortage is made up, so that it comes at a chosen step; ``test_memory`` has real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from seglib.checkpoint import load_checkpoint
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import InfeasibleError
from seglib.fit import Epoch, fit
from seglib.recipe import Recipe
from seglib.unet import UNet
from tests.seglib.test_fit import figures

CPU = torch.device("cpu")
RECIPE = Recipe(
    base_filters=4, depth=2, epochs=3, batch_size=4, dropout=0.2, learning_rate=5e-3,
    rotation_deg=10, overlap_over="batch",
)  # fmt: skip
SHORTAGE = {7: 2, 20: 1}  # an epoch has 5 steps; weights have moved each time

Train = Callable[..., list[Epoch]]


@pytest.fixture
def train(store: Store, split: Split) -> Train:
    return lambda **how: list(fit(RECIPE, store, split, seed=3, device=CPU, **how))


def run_short(
    patch: pytest.MonkeyPatch, limits: dict[int, int], training: bool = True
) -> list[int]:
    """Limits: passes made -> images that fit from there on. Gives the sizes that did not fit."""
    forward, passes, refused = UNet.forward, [0], []

    def limited(self: UNet, image: torch.Tensor) -> list[torch.Tensor]:
        passes[0] += self.training == training
        most = min([most for made, most in limits.items() if passes[0] > made], default=len(image))
        if self.training == training and len(image) > most:
            refused.append(len(image))
            raise RuntimeError("DefaultCPUAllocator: not enough memory")
        return forward(self, image)

    patch.setattr(UNet, "forward", limited)
    return refused


def rows_and_weights(epochs: list[Epoch], path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    epochs[-1].save(path)
    return figures(epochs), load_checkpoint(path)[0]["model"]


def assert_same(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    assert one[0] == other[0]
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])


@pytest.fixture
def disturbed(train: Train, tmp_path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """In the middle of the second epoch two images fit, and in the middle of its repetition one."""
    with pytest.MonkeyPatch.context() as patch:
        refused = run_short(patch, SHORTAGE)
        result = rows_and_weights(train(), tmp_path / "disturbed.pt")
    assert refused == [4, 2]
    return result


@pytest.mark.fault("out-of-memory")
def test_epoch_begins_anew_and_smaller_from_its_very_start(
    disturbed: tuple[Any, Any], train: Train, store: Store, split: Split, tmp_path: Path
) -> None:
    assert [row["micro_batch"] for row in disturbed[0]] == [4, 1, 1]
    first = next(fit(RECIPE, store, split, seed=3, device=CPU))
    first.save(tmp_path / "first.pt")
    state, _ = load_checkpoint(tmp_path / "first.pt")
    rest = train(resume=state | {"micro_batch": 1})  # an epoch that never tried more
    found = rows_and_weights(rest, tmp_path / "rest.pt")
    assert_same((disturbed[0][1:], disturbed[1]), found)


@pytest.mark.fault("out-of-memory")
def test_resumed_trial_does_not_run_out_again_and_gives_the_same_bits(
    disturbed: tuple[Any, Any], train: Train, store: Store, split: Split, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        run_short(patch, SHORTAGE)
        for epoch in fit(RECIPE, store, split, seed=3, device=CPU):
            if epoch.number == 2:
                epoch.save(tmp_path / "half.pt")
                break
    state, _ = load_checkpoint(tmp_path / "half.pt")
    with pytest.MonkeyPatch.context() as patch:
        refused = run_short(patch, {0: 1})
        found = rows_and_weights(train(resume=state), tmp_path / "resumed.pt")
    assert refused == []
    assert_same((disturbed[0][2:], disturbed[1]), found)


@pytest.mark.fault("out-of-memory")
def test_one_image_that_does_not_fit_ends_the_run(train: Train) -> None:
    with pytest.MonkeyPatch.context() as patch:
        refused = run_short(patch, {0: 0})
        with pytest.raises(InfeasibleError, match="lower image_size 32, base_filters 4 or depth 2"):
            train()
    assert refused == [4, 2, 1]


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.0}])
def test_validation_in_pieces_changes_nothing_but_statistics(
    changes: dict[str, Any], store: Store, split: Split
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1, **changes})
    run = partial(fit, recipe, store, split, seed=3, device=CPU)
    (whole,) = run()
    with pytest.MonkeyPatch.context() as patch:
        refused = run_short(patch, {0: 1}, training=False)
        (pieces,) = run()
    assert refused == [4, 2]
    assert pieces.as_row()["micro_batch"] == 4
    assert pieces.figures["train_loss"] == whole.figures["train_loss"]
    if not changes:  # dropout: batch normalisation is measured anew, on smaller batches
        return
    for name in ("val_loss", "dice"):
        assert pieces.figures[name] == pytest.approx(whole.figures[name], rel=1e-4)
