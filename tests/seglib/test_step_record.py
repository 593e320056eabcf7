from __future__ import annotations

import pytest
import torch

from seglib.errors import DivergedError
from seglib.step_record import StepRecord


def add(record: StepRecord, *losses: float) -> None:
    for number, loss in enumerate(losses):
        value = torch.tensor(loss, dtype=torch.float64)
        record.add(value, value.isfinite(), number + 1)


def test_steps_that_were_not_made_count_in_no_mean() -> None:
    record = StepRecord("epoch 1", 2)
    add(record, 1.0, float("nan"), 3.0, float("inf"))
    assert record.result() == (pytest.approx((1 * 1 + 3 * 3) / (1 + 3)), 2)


def test_a_finite_loss_of_a_step_not_made_does_not_count() -> None:
    record = StepRecord("epoch 1", 5)
    record.add(torch.tensor(7.0, dtype=torch.float64), torch.tensor(False), 4)
    assert record.result() == (0.0, 1)


def test_a_run_of_lost_steps_ends_the_pass() -> None:
    record = StepRecord("epoch 3", 3)
    add(record, float("nan"), float("nan"), 1.0, float("nan"), float("nan"))
    with pytest.raises(DivergedError, match="epoch 3: 3 steps not finite in a row"):
        add(record, float("nan"))
