"""Counts that are left on a GPU until the scores are asked for."""

from __future__ import annotations

import pytest
import torch

from seglib.metrics import Tally, mask_planes, predict_planes
from tests.contracts import random_batch
from tests.seglib.test_metrics import BINARY, same


def test_counts_that_wait_on_a_device_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """And pieces that do not count leave no trace: as of steps that were not made."""
    pieces = [(*random_batch(BINARY, seed=seed), ["a", f"b{seed}", "a"]) for seed in range(4)]
    at_once, late = Tally(BINARY), Tally(BINARY)
    with monkeypatch.context() as patch:
        patch.setattr(late, "_settle", lambda: None)
        for number, (logits, mask, cases) in enumerate(pieces):
            names = (cases * len(mask))[: len(mask)]
            planes = predict_planes(logits, BINARY), mask_planes(mask, BINARY)
            late.update(*planes, names, only_if=torch.tensor(number != 2))
            if number != 2:
                at_once.update(*planes, names)
    assert same(late.scores(), at_once.scores())
    assert "b2" not in late.scores().per_case["case"].tolist()
