"""Training on a GPU beside training on a CPU; nothing of it runs where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seglib.checkpoint import load_checkpoint
from seglib.data.feed import MappedFeed, PinnedFeed, ResidentFeed
from seglib.data.loader import Batch, iterate
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.device import choose_dtype
from seglib.evaluate import evaluate
from seglib.fit import Epoch, fit
from seglib.metrics import Tally, mask_planes, predict_planes
from seglib.recipe import Recipe
from seglib.step_record import StepRecord
from seglib.training import Training
from tests.seglib.test_out_of_memory import run_short

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

CPU, GPU = torch.device("cpu"), torch.device("cuda")
RECIPE = Recipe(
    base_filters=4, depth=2, epochs=3, batch_size=4, learning_rate=5e-3, precision="fp32"
)
CHANGES = {"rotation_deg": 10.0, "flip_horizontal": 0.5, "elastic": 0.5, "noise": 0.05}


def trained(store: Store, split: Split, device: torch.device, **knobs: object) -> list[Epoch]:
    recipe = RECIPE.model_copy(update=knobs)
    return list(fit(recipe, store, split, seed=3, device=device))


def column(epochs: list[Epoch], name: str) -> list[float]:
    return [epoch.as_row()[name] for epoch in epochs]


def test_same_losses_and_scores_as_on_a_cpu(store: Store, split: Split) -> None:
    on_cpu, on_gpu = (trained(store, split, device) for device in (CPU, GPU))
    for name in ("train_loss", "val_loss"):
        assert column(on_gpu, name) == pytest.approx(column(on_cpu, name), rel=0.02)
    for name in ("dice", "train_dice"):
        assert column(on_gpu, name) == pytest.approx(column(on_cpu, name), abs=0.05)


@pytest.mark.parametrize("precision", ["auto", "bf16", "fp16"])
def test_half_precision_learns_as_well(precision: str, store: Store, split: Split) -> None:
    whole, half = (trained(store, split, GPU, precision=one) for one in ("fp32", precision))
    assert column(half, "val_loss")[-1] == pytest.approx(column(whole, "val_loss")[-1], rel=0.1)


def test_convolutions_run_in_the_format_chosen(store: Store, split: Split) -> None:
    run = Training(
        RECIPE.model_copy(update={"precision": "auto"}),
        store, split.rows(store.index, "train"), seed=3, device=GPU,
    )  # fmt: skip
    seen: list[torch.dtype] = []
    run.model.encoder[0].conv1.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    run.train_epoch(1)
    assert set(seen) == {choose_dtype("auto", GPU)}
    assert set(seen) <= {torch.bfloat16, torch.float16}


def test_order_and_bytes_are_those_of_a_cpu_whatever_the_feed(store: Store) -> None:
    rows, places = np.arange(3, 30), range(store.num_channels)
    options = {"batch_size": 4, "seed": 5, "shuffle": True, "foreground_fraction": 0.5}
    plain: list[Batch] = list(iterate(store, rows, **options))
    for feed in (
        MappedFeed(store, places, GPU),
        PinnedFeed(store, places, GPU),
        ResidentFeed(store, rows, places, GPU),
    ):
        for _ in range(3):
            found = list(iterate(store, rows, **options, device=GPU, feed=feed))
            for ours, other in zip(found, plain, strict=True):
                assert torch.equal(ours.rows, other.rows)
                assert torch.equal(ours.mask.cpu(), other.mask)
                torch.testing.assert_close(ours.image.cpu(), other.image)


def test_pinned_batches_survive_while_the_device_is_busy(store: Store) -> None:
    """A buffer that was filled again too soon would show here."""
    rows = np.arange(len(store))
    feed = PinnedFeed(store, [0], GPU)
    batches = [rows[start : start + 3] for start in range(0, len(rows), 3)]
    busy = torch.randn(2000, 2000, device=GPU)
    kept = []
    for images, _ in feed.read(batches):
        busy = busy @ busy / 2000
        kept.append(images + 0)
    for chosen, images in zip(batches, kept, strict=True):
        assert np.array_equal(images.cpu(), store.images[chosen][..., [0]])


def test_no_step_waits_for_the_device(store: Store, split: Split) -> None:
    run = Training(
        RECIPE.model_copy(update=CHANGES),
        store, split.rows(store.index, "train"), seed=3, device=GPU,
    )  # fmt: skip
    batches = list(run.inputs.training_batches(run.train, 1))
    run._step(batches[0])  # makes the states of the optimiser
    record, tally = StepRecord("epoch 1", 10), Tally(store.target)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[1:]:
            loss, made, logits = run._step(batch)
            record.add(loss, made, len(batch.rows))
            planes = predict_planes(logits, store.target), mask_planes(batch.mask, store.target)
            tally.update(*planes, ["one case"] * len(batch.rows), only_if=made)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert record.result()[1] == 0
    assert tally.scores().num_cases == 1


def test_batches_on_the_device_are_augmented_and_reproducible(store: Store, split: Split) -> None:
    recipe = RECIPE.model_copy(update=CHANGES)
    rows = split.rows(store.index, "train")
    first, again, plain = (
        list(Training(one, store, rows, seed=3, device=GPU).inputs.training_batches(rows, 1))
        for one in (recipe, recipe, RECIPE)
    )
    for one, other, bare in zip(first, again, plain, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.rows, bare.rows)
        assert not torch.equal(one.image, bare.image)


def test_running_out_of_memory_halves_the_micro_batch(
    store: Store, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(store, split, GPU, norm="instance")
    with monkeypatch.context() as patch:
        assert run_short(patch, {7: 2}) is not None
        short = trained(store, split, GPU, norm="instance")
    assert column(short, "micro_batch") == [4, 2, 2]
    assert column(short, "val_loss") == pytest.approx(column(whole, "val_loss"), rel=0.05)


def test_what_was_saved_goes_on_and_can_be_scored_on_either(
    store: Store, split: Split, tmp_path: Path
) -> None:
    whole = trained(store, split, GPU)
    for epoch in fit(RECIPE, store, split, seed=3, device=GPU):
        epoch.save(tmp_path / "last.pt")
        break
    state, _ = load_checkpoint(tmp_path / "last.pt")
    rest = list(fit(RECIPE, store, split, seed=3, resume=state, device=GPU))
    assert [epoch.number for epoch in rest] == [2, 3]
    assert column(rest, "val_loss") == pytest.approx(column(whole[1:], "val_loss"), rel=0.02)
    rows = split.rows(store.index, "val")
    on_cpu, on_gpu = (evaluate(tmp_path / "last.pt", store, rows, device=d) for d in (CPU, GPU))
    assert on_gpu.scores.dice == pytest.approx(on_cpu.scores.dice, abs=0.01)


def test_lost_steps_are_skipped_and_counted(
    store: Store, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Training(RECIPE, store, split.rows(store.index, "train"), seed=3, device=GPU)
    loss, made = run.loss.forward, [0]

    def second_is_lost(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        made[0] += 1
        value: torch.Tensor = loss(logits, mask)
        return value * float("nan") if made[0] == 2 else value

    monkeypatch.setattr(run.loss, "forward", second_is_lost)
    assert run.train_epoch(1).num_skipped == 1
    assert all(weights.isfinite().all() for weights in run.model.parameters())


def test_compiled_networks_learn_the_same(store: Store, split: Split) -> None:
    pytest.importorskip("triton")
    plain = trained(store, split, GPU)
    ours = list(fit(RECIPE, store, split, seed=3, device=GPU, compile_mode="default"))
    assert column(ours, "val_loss") == pytest.approx(column(plain, "val_loss"), rel=0.05)
