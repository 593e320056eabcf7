"""fit: one training run as a generator that yields an Epoch after each pass over the data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seglib.checkpoint import save_checkpoint
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.device import choose_device, peak_memory_mb, reset_peak_memory
from seglib.errors import DataError, DivergedError, Problem
from seglib.memory import shrink_to_fit
from seglib.metrics import Scores
from seglib.optim import learning_rate_at
from seglib.recipe import Recipe
from seglib.training import Training, TrainPass

__all__ = ["Epoch", "fit"]

EXPLODED = 1e6
"""A loss per slice beyond all sense: cross-entropy is 1 by chance, a logit 10 is a sure one."""

Row = dict[str, float]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training slices came to.

    Args:
        number: Counted from 1.
        score: The metric that was asked for, on the validation cases, this epoch.
        figures: Losses, mean scores and scores per class, by column name.
        scores: The validation scores case by case.
        rows: One flat row for each epoch so far, this one last.
    """

    number: int
    score: float
    figures: Mapping[str, float]
    scores: Scores
    rows: tuple[Row, ...]
    _state: Callable[[], dict[str, Any]] = field(repr=False, compare=False)

    def as_row(self) -> Row:
        """The epoch as flat plain numbers, the form that travels to the ledger."""
        return dict(self.rows[-1])

    def save(self, path: Path, cases: str = "") -> None:
        """Write all that resuming needs to ``path``, whole or not at all.

        Must be called before the generator is asked for the next epoch.

        Args:
            path: The checkpoint file.
            cases: A table that shall lie in it, too.
        """
        rows = [dict(row) for row in self.rows]
        save_checkpoint({**self._state(), "rows": rows, "cases": cases}, path)


def fit(
    recipe: Recipe,
    store: Store,
    split: Split,
    *,
    seed: int,
    metric: str = "dice",
    resume: Mapping[str, Any] | None = None,
    device: torch.device | None = None,
    compile_mode: str | None = None,
) -> Iterator[Epoch]:
    """Train by ``recipe`` and yield after every epoch; stop by leaving the loop.

    Every training slice is seen once per epoch unless the recipe oversamples
    foreground. What happens in epoch ``n`` depends on the seed, ``n`` and the state
    after epoch ``n - 1`` only: a resumed run on a CPU with the same number of
    threads gives the same bits. The process's own random generators are left as
    they were between epochs.

    When memory runs out, the epoch begins anew with half the micro-batch, and the
    gradient of a whole batch is added up from its parts: see :class:`Training`.

    Args:
        recipe: The knobs.
        store: The prepared slices.
        split: Which groups train and which validate.
        seed: Of this run; weights, order, augmentation and dropout follow from it.
        metric: The figure that becomes ``Epoch.score``.
        resume: State read by ``load_checkpoint``; training goes on after it.
        device: Where to train; the best there is if not given.
        compile_mode: Of ``torch.compile``, on a GPU only; not compiled if not given.

    Yields:
        One epoch after another, from the first that is not in ``resume``.

    Raises:
        DataError: The masks of the training or the validation part are all empty.
        DivergedError: A loss or the score is no longer finite, or a loss beyond ``EXPLODED``.
        InfeasibleError: The network cannot work on this image size, the data lack a
            channel, or memory ran out with one image at a time.
    """
    parts = split.parts(store.index)
    _check_foreground(store, parts)
    device = device or choose_device()

    def begin(_: int) -> Training:
        run = Training(
            recipe, store, parts["train"], seed=seed, device=device, compile_mode=compile_mode
        )
        if resume is not None:
            run.load(resume)
        return run

    sizes = {"most": 1, "image_size": store.image_size}
    run = shrink_to_fit(begin, 1, recipe=recipe, device=device, **sizes)
    rows: list[Row] = [dict(row) for row in resume["rows"]] if resume is not None else []
    for number in range(len(rows) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        reset_peak_memory(run.device)
        trained = run.train_epoch(number)
        scores, val_loss = run.validate(parts["val"], number)
        figures = _figures(trained, scores, val_loss)
        score = figures[metric]
        _check_sound(
            number, {"train loss": trained.loss, "validation loss": val_loss}, metric, score
        )
        rows.append(
            {
                "epoch": number,
                "score": score,
                **figures,
                "num_cases": scores.num_cases,
                "learning_rate": learning_rate_at(recipe, number - 1),
                "skipped_steps": trained.num_skipped,
                "micro_batch": run.micro_batch,
                "seconds": round(time.perf_counter() - started, 4),
                "peak_memory_mb": round(peak_memory_mb(run.device), 1),
            }
        )
        yield Epoch(number, score, figures, scores, tuple(rows), _state=run.state)


def _check_sound(number: int, losses: Mapping[str, float], metric: str, score: float) -> None:
    """A loss that explodes stays finite for many epochs, and nothing is learnt in them."""
    small = all(abs(loss) <= EXPLODED for loss in losses.values())  # False for NaN, too
    if not small or not math.isfinite(score):
        told = ", ".join(f"{name} {value:.6g}" for name, value in {**losses, metric: score}.items())
        raise DivergedError(f"epoch {number}: {told}")


def _check_foreground(store: Store, parts: Mapping[str, NDArray[np.int64]]) -> None:
    """A part whose masks are all empty can neither teach nor score."""
    has_foreground = store.has_foreground()
    problems = [
        Problem(f"{name} part", f"no foreground in any of {len(rows)} masks", "at least one pixel")
        for name, rows in parts.items()
        if not has_foreground[rows].any()
    ]
    if problems:
        raise DataError("split", problems)


def _figures(trained: TrainPass, scores: Scores, val_loss: float) -> dict[str, float]:
    """Columns of an epoch's row; precision and recall of each class where there are several."""
    figures = {
        "train_loss": trained.loss,
        "train_dice": trained.dice,
        "val_loss": val_loss,
        "dice": scores.dice,
        "iou": scores.iou,
        "precision": scores.precision,
        "recall": scores.recall,
    }
    per_class = ("dice", "precision", "recall") if len(scores.per_class) > 1 else ("dice",)
    return figures | {
        f"{metric}_{name}": row[metric]
        for metric in per_class
        for name, row in scores.per_class.items()
    }
