from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.errors import InfeasibleError
from seglib.fit import fit
from seglib.recipe import Recipe
from seglib.timing import measure_epoch

RECIPE = Recipe(base_filters=4, depth=2, batch_size=4, epochs=3)
CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_what_is_measured_is_what_an_epoch_takes(
    seconds: float, store: Store, split: Split, tmp_path: Path
) -> None:
    parts = split.parts(store.index)
    cost = measure_epoch(RECIPE, store, split, seconds=seconds, scratch=tmp_path, device=CPU)
    epochs = fit(RECIPE, store, split, seed=0, device=CPU)
    next(epochs)
    begun = time.process_time()  # other processes may hold this one up
    second = next(epochs)
    taken_s = time.process_time() - begun
    epochs.close()
    second.save(tmp_path / "last.pt")
    each_s = cost.epoch_s(len(parts["train"]), len(parts["val"])) - cost.rest_s
    assert each_s < 2 * taken_s
    assert each_s + cost.rest_s > taken_s / 2
    size_gb = (tmp_path / "last.pt").stat().st_size / 1e9
    assert cost.checkpoint_gb == pytest.approx(size_gb, rel=0.05)
    assert 0 < cost.share <= 1
    assert 0 < cost.cpu_share <= 1


def test_what_cannot_be_trained_cannot_be_measured(
    store: Store, split: Split, tmp_path: Path
) -> None:
    deep = Recipe(depth=5)
    with pytest.raises(InfeasibleError, match="depth 5 leaves less than 2 pixels"):
        measure_epoch(deep, store, split, seconds=0.1, scratch=tmp_path, device=CPU)
    assert not list(tmp_path.iterdir())
