"""Run directories for the report's tests: a ledger played by hand, files as trials write them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.data.store import Store
from tune.ledger import Ledger, Order
from tune.reporting.evidence import RunData
from tune.run_directory import RunDirectory
from tune.study_file import load_study

GRID = """\
name: {name}
method: grid
data: {{layout: phantom-brats, cases: 8, image_size: 32, target: regions}}
split: {{val: 0.5, test: 0.25}}
seeds: [0, 1, 2]
parameters:
  loss: {{values: [bce, dice]}}
  norm: {{values: [{norms}]}}
  base_filters: {{value: 2}}
  depth: {{value: 2}}
  epochs: {{value: 3}}
points:
{points}
{published}tracking: {{wandb: off}}
"""
POINTS = {
    "batch": "  - {name: 1a, loss: bce, norm: batch}\n  - {name: 1b, loss: dice, norm: batch}",
    "none": "  - {name: 2a, loss: bce, norm: none}\n  - {name: 2b, loss: dice, norm: none}",
}

PUBLISHED = 'published: {note: "four groups, split by slice", scores: {1a: 0.94-0.96}}\n'


def quality(order: Order) -> float:
    """Dice is 10 points better than BCE, no normalisation 5 points worse; the seed tells little."""
    gain = 0.1 * (order.recipe.loss == "dice") - 0.05 * (order.recipe.norm == "none")
    return 0.7 + gain + 0.001 * (order.seed % 3)


def write_study(path: Path, *norms: str) -> Path:
    """A study file of a grid of two losses and some normalisations."""
    norms = norms or ("batch", "none")
    points = "\n".join(POINTS[norm] for norm in norms)
    published = PUBLISHED if "batch" in norms else ""
    text = GRID.format(name=path.stem, norms=", ".join(norms), points=points, published=published)
    path.write_text(text)
    return path


def make_run(
    folder: Path,
    store: Store,
    study_path: Path,
    *,
    finish: int = 12,
) -> RunDirectory:
    """A run directory in which some trials are complete and the next one is in training."""
    study = load_study(study_path, demo=False)
    run = RunDirectory(folder)
    run.settle_study(study)
    ledger = Ledger(study, run.settle_storage(None))
    splits = run.settle_splits(store, study)
    run.write_environment(store)
    for count in range(finish + 1):
        order = ledger.ask()
        if order is None:
            break
        if count < finish:
            play_whole(ledger, order, run, val=splits.val, dice=quality(order))
        else:
            ledger.report(order.number, epoch_row(1, 0.3))
    return run


SEARCH = """\
name: search
method: random
data: {layout: phantom-brats, cases: 8, image_size: 32, target: regions}
split: {val: 0.5, test: 0.25}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  optimizer: {values: [adamw, sgd]}
  momentum: {min: 0.8, max: 0.99, when: {optimizer: sgd}}
  base_filters: {values: [2, 4]}
  depth: {value: 2}
  epochs: {value: 3}
early_terminate: {type: asha, min_iter: 1, eta: 2}
run_cap: 14
tracking: {wandb: off}
"""


DIVERGES = 5
"""Number of the trial of :func:`make_search` that diverges, in its first epoch."""


def make_search(folder: Path, store: Store, *, trials: int = 14) -> RunDirectory:
    """A search whose scores follow from the learning rate; the last trial is in training."""
    path = folder.with_suffix(".yaml")
    path.write_text(SEARCH)
    study = load_study(path, demo=False)
    run = RunDirectory(folder)
    run.settle_study(study)
    ledger = Ledger(study, run.settle_storage(None))
    splits = run.settle_splits(store, study)
    run.write_environment(store)
    for number in range(trials):
        order = ledger.ask()
        assert order is not None
        dice = 0.9 - 0.2 * abs(math.log10(order.recipe.learning_rate) + 2.5)
        place = run.path / "trials" / str(number)
        place.mkdir(parents=True, exist_ok=True)
        table = final_table(splits.val, dice, seed=number)
        table.to_csv(place / "cases.csv", index=False)
        score = float(table.groupby("class")["dice"].mean().mean())
        if number == DIVERGES:
            ledger.finish(number, "diverged: epoch 1: loss nan")
            continue
        stops = ledger.report(number, epoch_row(1, score))
        if number == trials - 1:
            break
        if stops:
            ledger.finish(number)
        else:
            for epoch in (2, 3):
                ledger.report(number, epoch_row(epoch, score - 0.01 * epoch))
            table.to_csv(place / "final.csv", index=False)
            ledger.finish(number)
    return run


def of_patients(run: RunData) -> RunData:
    """The same run, as if its images were a folder's and not generated."""
    data = run.study.data.model_copy(update={"layout": "pairs"})
    view = replace(run.view, study=replace(run.study, data=data))
    starts = [{**start, "data": {**start["data"], "phantom": False}} for start in run.starts]
    return replace(run, view=view, starts=tuple(starts))


def play_whole(
    ledger: Ledger, order: Order, run: RunDirectory, *, val: tuple[str, ...], dice: float
) -> None:
    """Train to the end; the best epoch is the second, a little better than the last."""
    for epoch, score in ((1, dice - 0.2), (2, dice + 0.01), (3, dice)):
        ledger.report(order.number, epoch_row(epoch, score))
    folder = run.path / "trials" / str(order.number)
    folder.mkdir(parents=True, exist_ok=True)
    final_table(val, dice, seed=order.number).to_csv(folder / "final.csv", index=False)
    legacy = {f"batch_{name}": 0.5 for name in ("dice", "precision", "recall")}
    legacy |= {f"{name}_with_background": 0.9998 for name in legacy}
    pd.DataFrame([legacy]).to_csv(folder / "legacy.csv", index=False)
    ledger.finish(order.number)


def epoch_row(epoch: int, dice: float) -> dict[str, float]:
    return {
        "epoch": epoch, "score": dice, "train_loss": 1 - dice, "train_dice": dice + 0.02,
        "val_loss": 1 - dice, "dice": dice, "iou": dice / 2, "precision": dice, "recall": dice,
        "dice_WT": dice, "learning_rate": 1e-3, "skipped_steps": 0, "seconds": 20.0,
        "peak_memory_mb": 500.0,
    }  # fmt: skip


def final_table(cases: tuple[str, ...], dice: float, *, seed: int = 0) -> pd.DataFrame:
    """Per case and class; ``ET`` is in no truth but that of the first case."""
    rng = np.random.default_rng(seed)
    rows = []
    for place, case in enumerate(sorted(cases)):
        value = dice + 0.02 * (place % 3 - 1) + rng.normal(0, 0.002)
        for name in ("WT", "TC", "ET"):
            held = name != "ET" or place == 0
            row = {"case": case, "class": name, "tp": 80 if held else 0, "fp": 0,
                   "fn": 20 if held else 0, "voxels": 1000}  # fmt: skip
            figures = dict.fromkeys(("dice", "iou", "precision", "recall"), value)
            figures |= {"hd95": 4.0, "surface_dice": value}
            rows.append(row | (figures if held else dict.fromkeys(figures, np.nan)))
    return pd.DataFrame(rows)
