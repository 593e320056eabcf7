"""fit: one training run as a generator that yields an Epoch after each pass over the data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seglib.augment import build_augment
from seglib.checkpoint import save_checkpoint
from seglib.data.loader import Batch, iterate
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.device import choose_device, choose_dtype, peak_memory_mb, reset_peak_memory
from seglib.errors import DivergedError, InfeasibleError
from seglib.evaluate import score_rows
from seglib.losses import build_loss
from seglib.metrics import Scores
from seglib.optim import build_optimizer, learning_rate_at
from seglib.recipe import Recipe
from seglib.seeds import derive_seed
from seglib.unet import UNet

__all__ = ["Epoch", "fit"]

MOST_SKIPPED_IN_A_ROW = 10

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

    def save(self, path: Path) -> None:
        """Write all that resuming needs to ``path``, whole or not at all.

        Must be called before the generator is asked for the next epoch.

        Args:
            path: The checkpoint file.
        """
        save_checkpoint({**self._state(), "rows": [dict(row) for row in self.rows]}, path)


def fit(
    recipe: Recipe,
    store: Store,
    split: Split,
    *,
    seed: int,
    metric: str = "dice",
    resume: Mapping[str, Any] | None = None,
    device: torch.device | None = None,
) -> Iterator[Epoch]:
    """Train by ``recipe`` and yield after every epoch; stop by leaving the loop.

    Every training slice is seen once per epoch unless the recipe oversamples
    foreground. What happens in epoch ``n`` depends on the seed, ``n`` and the state
    after epoch ``n - 1`` only: a resumed run on a CPU with the same number of
    threads gives the same bits. The process's own random generators are left as
    they were between epochs.

    Args:
        recipe: The knobs.
        store: The prepared slices.
        split: Which groups train and which validate.
        seed: Of this run; weights, order, augmentation and dropout follow from it.
        metric: The figure that becomes ``Epoch.score``.
        resume: State read by ``load_checkpoint``; training goes on after it.
        device: Where to train; the best there is if not given.

    Yields:
        One epoch after another, from the first that is not in ``resume``.

    Raises:
        DivergedError: Loss or score is no longer finite.
        InfeasibleError: The network cannot work on this image size.
    """
    train, val = split.rows(store.index, "train"), split.rows(store.index, "val")
    run = _Run(recipe, store, train, seed=seed, device=device or choose_device())
    rows: list[Row] = []
    if resume is not None:
        run.load(resume)
        rows = [dict(row) for row in resume["rows"]]
    for number in range(len(rows) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        reset_peak_memory(run.device)
        train_loss, skipped = run.train_epoch(number)
        scores, val_loss = run.validate(val)
        figures = _figures(scores, train_loss, val_loss)
        score = figures[metric]
        if not (math.isfinite(train_loss) and math.isfinite(val_loss) and math.isfinite(score)):
            raise DivergedError(
                f"epoch {number}: train loss {train_loss}, validation loss {val_loss}, "
                f"{metric} {score}"
            )
        rows.append(
            {
                "epoch": number,
                "score": score,
                **figures,
                "num_cases": scores.num_cases,
                "learning_rate": learning_rate_at(recipe, number - 1),
                "skipped_steps": skipped,
                "seconds": round(time.perf_counter() - started, 4),
                "peak_memory_mb": round(peak_memory_mb(run.device), 1),
            }
        )
        yield Epoch(number, score, figures, scores, tuple(rows), _state=run.state)


class _Run:
    """Network, loss, optimiser and scaler of one training run, and how to move them."""

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        train: NDArray[np.int64],
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        if store.image_size < 2 ** (recipe.depth + 1):
            raise InfeasibleError(
                f"depth {recipe.depth} leaves less than 2 pixels of a {store.image_size} px image"
            )
        self.recipe, self.store, self.train = recipe, store, train
        self.seed, self.device = seed, device
        with _seeded(derive_seed(seed, "weights"), device):
            model = UNet(
                recipe,
                num_channels=store.num_channels,
                num_logits=store.target.num_logits,
                shares=None if recipe.lab_exact else _shares(store, train),
            )
        # Instance normalisation is faster in the plain order on a CPU, all else in channels-last.
        plain = device.type == "cpu" and recipe.norm in ("instance", "group")
        order = torch.contiguous_format if plain else torch.channels_last
        self.model = model.to(device=device, memory_format=order)  # type: ignore[call-overload]
        self.loss = build_loss(recipe, store.target).to(device)
        self.augment = build_augment(recipe, store.target.mirror_pairs(), store.fill)
        self.optimizer = build_optimizer(recipe, self.model.parameters())
        self.dtype = choose_dtype(recipe.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(
            self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        )

    def state(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.model_dump_json(),
            "seed": self.seed,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def train_epoch(self, number: int) -> tuple[float, int]:
        """One pass; the mean loss per slice and the number of steps skipped."""
        self.model.train()
        total, seen, skipped, in_a_row = 0.0, 0, 0, 0
        num_steps = math.ceil(len(self.train) / self.recipe.batch_size)
        if self.augment is not None:
            self.augment.reseed(derive_seed(self.seed, "augment", number))
        batches = iterate(
            self.store,
            self.train,
            batch_size=self.recipe.batch_size,
            seed=derive_seed(self.seed, "order", number),
            shuffle=True,
            augment=self.augment,
            foreground_fraction=self.recipe.foreground_fraction,
            device=self.device,
        )
        with _seeded(derive_seed(self.seed, "dropout", number), self.device):
            for step, batch in enumerate(batches):
                self._set_learning_rate(number - 1 + step / num_steps)
                loss = self._step(batch)
                if loss is None:
                    skipped, in_a_row = skipped + 1, in_a_row + 1
                    if in_a_row >= min(MOST_SKIPPED_IN_A_ROW, num_steps):
                        raise DivergedError(f"epoch {number}: {in_a_row} steps not finite in a row")
                    continue
                in_a_row = 0
                total, seen = total + loss * len(batch.rows), seen + len(batch.rows)
        return total / max(seen, 1), skipped

    def validate(self, rows: NDArray[np.int64]) -> tuple[Scores, float]:
        self.model.eval()
        return score_rows(
            self.model,
            self.store,
            rows,
            loss=self.loss,
            batch_size=self.recipe.batch_size,
            device=self.device,
            autocast=self.autocast(),
        )

    def _set_learning_rate(self, progress: float) -> None:
        rate = learning_rate_at(self.recipe, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _step(self, batch: Batch) -> float | None:
        """One update; the loss, or None when it or its gradient is not finite."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            logits = self.model(batch.image)
        loss = _supervise(self.loss, logits, batch.mask)
        value = float(loss.detach())
        if not math.isfinite(value):
            return None
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        limit = self.recipe.grad_clip or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        # A scaler finds overflow of float16 by itself and lowers its scale.
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            return None
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value


def _shares(store: Store, rows: NDArray[np.int64]) -> list[float]:
    """Share of the training pixels in each output channel of the network."""
    columns = [f"px_{name}" for name in store.target.classes]
    counts = store.index[columns].iloc[rows].sum().to_numpy(np.float64)
    shares: list[float] = (counts / (len(rows) * store.image_size**2)).tolist()
    return [1 - sum(shares), *shares] if store.target.kind == "organs" else shares


def _supervise(loss: nn.Module, logits: list[Tensor], mask: Tensor) -> Tensor:
    """The loss of each decoder level, halved in weight from level to level (nnU-Net's rule)."""
    weights = [0.5**level for level in range(len(logits))]
    total = torch.zeros((), device=mask.device)
    for level, (weight, level_logits) in enumerate(zip(weights, logits, strict=True)):
        total = total + weight * loss(level_logits, mask[:, :: 2**level, :: 2**level])
    return total / sum(weights)


def _figures(scores: Scores, train_loss: float, val_loss: float) -> dict[str, float]:
    figures = {
        "train_loss": train_loss,
        "val_loss": val_loss,
        "dice": scores.dice,
        "iou": scores.iou,
        "precision": scores.precision,
        "recall": scores.recall,
    }
    return figures | {f"dice_{name}": row["dice"] for name, row in scores.per_class.items()}


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run a block from its own seed and put the process's generators back afterwards."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
