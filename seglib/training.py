"""Training: network, loss, optimiser and scaler of one run, and how an epoch moves them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seglib.architectures import (
    has_dropout_before_batch_norm,
    means_something,
    normalises_images,
    why_impossible,
)
from seglib.batch_norm import recompute_statistics
from seglib.data.loader import Batch, num_steps
from seglib.data.store import Store
from seglib.device import build_autocast, choose_dtype
from seglib.errors import InfeasibleError
from seglib.evaluate import score_rows
from seglib.inputs import Inputs
from seglib.losses import build_loss
from seglib.memory import shrink_to_fit
from seglib.metrics import Scores, Tally, mask_planes, predict_planes
from seglib.micro_batch import Accumulator
from seglib.networks import build_network
from seglib.optim import build_optimizer, learning_rate_at, step_if
from seglib.recipe import Recipe
from seglib.seeds import derive_seed
from seglib.step_record import StepRecord

__all__ = ["TrainPass", "Training"]

Result = TypeVar("Result")

MOST_SKIPPED_IN_A_ROW = 10
STATISTICS_BATCHES = 8


@dataclass(frozen=True)
class TrainPass:
    """What one pass over the training slices came to.

    ``dice`` is taken from the very forward passes that trained, with augmentation and
    dropout, while the weights moved on: by the rule of the validation score, but of a
    network that was never one and the same.

    Args:
        loss: Mean per slice.
        dice: Per case, then over cases and foreground classes; see :class:`Scores`.
        num_skipped: Steps that were not finite; neither figure counts them.
    """

    loss: float
    dice: float
    num_skipped: int


class Training:
    """One training run between its epochs.

    ``micro_batch`` is how many images go through the network at once: the recipe's batch
    until memory runs out, then half of it, and so on for the rest of the run. The batch
    whose loss is minimised stays the recipe's. ``score_batch`` is the same for scoring.

    Args:
        recipe: The knobs.
        store: The prepared slices.
        train: Rows of the store to train on.
        seed: Of this run.
        device: Where to train.
        compile_mode: Of ``torch.compile``, on a GPU only; not compiled if not given.

    Raises:
        InfeasibleError: The network cannot work on this image size, or the data lack a channel.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        train: NDArray[np.int64],
        *,
        seed: int,
        device: torch.device,
        compile_mode: str | None = None,
    ) -> None:
        if reason := why_impossible(recipe, store.image_size):
            raise InfeasibleError(reason)
        self.recipe, self.store, self.train = recipe, store, train
        self.seed, self.device = seed, device
        self.inputs = Inputs(recipe, store, seed=seed, device=device)
        undecided = recipe.lab_exact and means_something("lab_exact", recipe.architecture)
        with _seeded(derive_seed(seed, "weights"), device):
            model = build_network(
                recipe,
                num_channels=len(self.inputs.channels),
                num_logits=store.target.num_logits,
                shares=None if undecided else _shares(store, train),
            )
        # Instance normalisation is faster in the plain order on a CPU, all else in channels-last.
        plain = device.type == "cpu" and normalises_images(recipe)
        order = torch.contiguous_format if plain else torch.channels_last
        self.model = model.to(device=device, memory_format=order)  # type: ignore[call-overload]
        self.network: nn.Module = self.model
        if compile_mode is not None and device.type == "cuda":
            self.network = torch.compile(self.model, mode=compile_mode)  # type: ignore[assignment]
        self.loss = build_loss(recipe, store.target).to(device)
        self.optimizer = build_optimizer(recipe, self.model.parameters())
        self.autocast = build_autocast(recipe.precision, device)
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # all batches but the last are of one size
        self.micro_batch = self.score_batch = recipe.batch_size
        self._build_scaler()

    def _build_scaler(self) -> None:
        half = choose_dtype(self.recipe.precision, self.device) == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    def state(self) -> dict[str, Any]:
        """All that :meth:`load` needs; its tensors are the living ones."""
        return {
            "recipe": self.recipe.model_dump_json(),
            "seed": self.seed,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "micro_batch": self.micro_batch,
            "score_batch": self.score_batch,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that :meth:`state` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._build_scaler()  # one that ran out of memory in the middle of a step is no use
        self.scaler.load_state_dict(state["scaler"])
        self.micro_batch = state.get("micro_batch", self.recipe.batch_size)
        self.score_batch = state.get("score_batch", self.recipe.batch_size)

    def train_epoch(self, number: int) -> TrainPass:
        """One pass over the training slices; ``number`` counts from 1.

        When memory runs out, the pass begins anew from the state before it, with half the
        micro-batch.
        """
        start: list[Any] = []

        def attempt(micro_batch: int) -> TrainPass:
            if start:
                self.optimizer.zero_grad(set_to_none=True)
                self.load(_copied(start[0]))
            elif micro_batch > 1:
                start.append(_copied(self.state()))
            self.micro_batch = micro_batch
            return self._pass(number)

        return self._shrink(attempt, self.micro_batch, len(self.train))

    def _shrink(self, attempt: Callable[[int], Result], size: int, num_rows: int) -> Result:
        return shrink_to_fit(
            attempt,
            size,
            most=num_rows,
            recipe=self.recipe,
            image_size=self.store.image_size,
            device=self.device,
        )

    def _pass(self, number: int) -> TrainPass:
        self.model.train()
        tally, cases = Tally(self.store.target), self.store.index["case"].to_numpy()
        num_batches = num_steps(len(self.train), self.recipe.batch_size)
        record = StepRecord(f"epoch {number}", min(MOST_SKIPPED_IN_A_ROW, num_batches))
        with _seeded(derive_seed(self.seed, "dropout", number), self.device):
            for step, batch in enumerate(self.inputs.training_batches(self.train, number)):
                self._set_learning_rate(number - 1 + step / num_batches)
                loss, made, logits = self._step(batch)
                record.add(loss, made, len(batch.rows))
                tally.update(
                    predict_planes(logits, self.store.target),
                    mask_planes(batch.mask, self.store.target),
                    list(cases[batch.rows.numpy()]),
                    only_if=made,
                )
        loss_per_slice, num_skipped = record.result()
        return TrainPass(loss_per_slice, tally.scores().dice, num_skipped)

    def validate(self, rows: NDArray[np.int64], number: int) -> tuple[Scores, float]:
        """Scores and mean loss per slice of some rows, after epoch ``number``."""
        recipe = self.recipe

        def attempt(micro_batch: int) -> tuple[Scores, float]:
            self.score_batch = micro_batch
            self.model.eval()
            recomputed = recipe.norm_statistics == "recomputed"
            if recomputed and has_dropout_before_batch_norm(recipe):
                self._recompute_statistics(number)
            return score_rows(
                self.network,
                self.store,
                rows,
                loss=self.loss,
                batch_size=recipe.batch_size,
                micro_batch=micro_batch,
                device=self.device,
                autocast=self.autocast,
                channels=self.inputs.channels,
                feed=self.inputs.feed(rows),
            )

        return self._shrink(attempt, self.score_batch, len(rows))

    def _recompute_statistics(self, number: int) -> None:
        """From as many slices whatever the size of a batch: that of the training, if it fits."""
        batch_size = min(self.micro_batch, self.score_batch)
        num_batches = num_steps(STATISTICS_BATCHES * self.recipe.batch_size, batch_size)
        batches = self.inputs.plain_batches(self.train, number, batch_size)
        images = (batch.image for batch in islice(batches, num_batches))
        recompute_statistics(self.model, images, self.autocast)

    def _set_learning_rate(self, progress: float) -> None:
        rate = learning_rate_at(self.recipe, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _step(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One update: its loss, whether it was made, and the finest logits.

        It is not made when loss or gradient is not finite. The host asks for neither: on a
        GPU it would wait for the answer.
        """
        self.optimizer.zero_grad(set_to_none=True)
        accumulator = Accumulator(self.network, self.loss, self.autocast, self.scaler.scale)
        loss, logits = accumulator.add_gradient(batch.image, batch.mask, self.micro_batch)
        made = torch.isfinite(loss)
        self.scaler.unscale_(self.optimizer)
        limit = self.recipe.grad_clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if self.scaler.is_enabled():  # it finds overflow of float16 by itself and lowers its scale
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            made = made & torch.isfinite(norm)
            step_if(self.optimizer, made)
        return loss, made, logits


def _shares(store: Store, rows: NDArray[np.int64]) -> list[float]:
    """Share of the training pixels in each output channel of the network."""
    columns = [f"px_{name}" for name in store.target.classes]
    counts = store.index[columns].iloc[rows].sum().to_numpy(np.float64)
    shares: list[float] = (counts / (len(rows) * store.image_size**2)).tolist()
    return [1 - sum(shares), *shares] if store.target.kind == "organs" else shares


def _copied(state: Any) -> Any:
    """A state with tensors of its own, in the host's memory."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {name: _copied(value) for name, value in state.items()}
    return state


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run a block from its own seed and put the process's generators back afterwards."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
