from __future__ import annotations

import pytest
import torch

from seglib.optim import build_optimizer, learning_rate_at, step_if
from seglib.recipe import Recipe


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizer_lowers_a_simple_loss(name: str) -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = build_optimizer(Recipe(optimizer=name, learning_rate=0.1), [weight])
    for _ in range(50):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    assert weight.abs().item() < 1.0


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_step_that_is_not_wanted_leaves_no_trace(name: str) -> None:
    """The first one too, of which optimisers have no state yet."""
    ends = []
    for skipped in ([], [0], [3], [0, 1, 4]):
        weight = torch.nn.Parameter(torch.linspace(1, 3, 5))
        recipe = Recipe(optimizer=name, learning_rate=0.1, momentum=0.9)
        optimizer = build_optimizer(recipe, [weight])
        for step in range(6 + len(skipped)):
            optimizer.zero_grad()
            (weight.square().sum() * (torch.nan if step in skipped else 1)).backward()
            step_if(optimizer, torch.tensor(step not in skipped))
        ends.append(weight.detach().clone())
    assert ends[0].isfinite().all()
    assert all(torch.equal(end, ends[0]) for end in ends)


def test_schedules_start_at_the_peak_and_end_at_nothing() -> None:
    for name in ("cosine", "poly"):
        recipe = Recipe(schedule=name, epochs=10, learning_rate=0.5)
        assert learning_rate_at(recipe, 0.0) == pytest.approx(0.5)
        assert learning_rate_at(recipe, 10.0) == pytest.approx(0.0, abs=1e-12)
    assert learning_rate_at(Recipe(schedule="constant", learning_rate=0.5), 7.0) == 0.5


def test_cosine_is_half_at_half_time() -> None:
    recipe = Recipe(schedule="cosine", epochs=8, learning_rate=1.0)
    assert learning_rate_at(recipe, 4.0) == pytest.approx(0.5)


def test_warm_up_rises_to_the_peak_and_never_starts_at_zero() -> None:
    recipe = Recipe(schedule="constant", warmup_epochs=4, epochs=10, learning_rate=1.0)
    rates = [learning_rate_at(recipe, step / 4) for step in range(17)]
    assert rates[0] > 0
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(1.0)
