"""How good is a network: scores over whole cases, slice by slice or with distances in mm."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seglib.checkpoint import load_checkpoint
from seglib.data.loader import iterate
from seglib.data.store import Store
from seglib.device import choose_device
from seglib.metrics import Scores, Tally, mask_planes, predict_planes
from seglib.recipe import Recipe
from seglib.surface import surface_distances
from seglib.unet import UNet

__all__ = ["evaluate", "load_model", "score_rows"]

NSD_TOLERANCE_MM = 2.0


@torch.no_grad()
def score_rows(
    model: nn.Module,
    store: Store,
    rows: NDArray[np.int64],
    *,
    loss: nn.Module,
    batch_size: int,
    device: torch.device,
    autocast: AbstractContextManager[object],
) -> tuple[Scores, float]:
    """Scores per case and class, and the mean loss per slice.

    The slices of a case are added up before any ratio is taken, so the result does
    not depend on the batch size or on the order of the rows.

    Args:
        model: A network in evaluation mode.
        store: Where the slices are.
        rows: Which of them.
        loss: Called as ``loss(logits, mask)``.
        batch_size: Slices at once.
        device: Where the network is.
        autocast: Number format of the forward pass.

    Returns:
        The scores and the loss.
    """
    tally = Tally(store.target)
    cases = store.index["case"].to_numpy()
    total = 0.0
    for batch in iterate(store, rows, batch_size=batch_size, seed=0, shuffle=False, device=device):
        with autocast:
            logits: Tensor = model(batch.image)[0]
        total += float(loss(logits, batch.mask)) * len(batch.rows)
        tally.update(
            predict_planes(logits, store.target),
            mask_planes(batch.mask, store.target),
            list(cases[batch.rows.numpy()]),
        )
    return tally.scores(), total / max(len(rows), 1)


def load_model(checkpoint: Path, store: Store, device: torch.device) -> tuple[UNet, Recipe]:
    """The network of a checkpoint, ready to predict, and the recipe it was trained by.

    Args:
        checkpoint: A file written by ``Epoch.save``.
        store: Tells the number of channels and classes.
        device: Where the network shall be.

    Returns:
        The network in evaluation mode, and its recipe.

    Raises:
        CheckpointError: The file cannot be read.
    """
    state, _ = load_checkpoint(checkpoint)
    recipe = Recipe.model_validate_json(state["recipe"])
    model = UNet(recipe, num_channels=store.num_channels, num_logits=store.target.num_logits)
    model.load_state_dict(state["model"])
    return model.to(device).eval(), recipe


@torch.no_grad()
def evaluate(
    checkpoint: Path, store: Store, rows: NDArray[np.int64], *, device: torch.device | None = None
) -> pd.DataFrame:
    """One row per case and class: overlap, and surface distances in mm.

    Measured on the prepared slices, at the store's resolution and its spacing.

    Args:
        checkpoint: A file written by ``Epoch.save``.
        store: Where the slices are.
        rows: Which of them; whole cases.
        device: Where to run; the best there is if not given.

    Returns:
        The table of ``Scores.per_case`` with ``hd95_mm`` and ``surface_dice``.

    Raises:
        CheckpointError: The file cannot be read.
    """
    device = device or choose_device()
    model, recipe = load_model(checkpoint, store, device)
    tally = Tally(store.target)
    distances: list[dict[str, object]] = []
    index = store.index.iloc[rows].assign(row=rows)
    for case, part in index.sort_values(["case", "slice"]).groupby("case", sort=True):
        predicted, true = [], []
        chosen = part["row"].to_numpy(np.int64)
        for batch in iterate(
            store, chosen, batch_size=recipe.batch_size, seed=0, shuffle=False, device=device
        ):
            predicted.append(predict_planes(model(batch.image)[0], store.target).cpu())
            true.append(mask_planes(batch.mask, store.target).cpu())
        pred_planes, true_planes = torch.cat(predicted), torch.cat(true)
        tally.update(pred_planes, true_planes, [str(case)] * len(chosen))
        spacing = part[["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]].iloc[0].tolist()
        for number, name in enumerate(store.target.classes):
            found = surface_distances(
                pred_planes[:, number].numpy(), true_planes[:, number].numpy(), spacing
            )
            distances.append(
                {
                    "case": case,
                    "class": name,
                    "hd95_mm": found.hausdorff_mm(),
                    "surface_dice": found.surface_dice(NSD_TOLERANCE_MM),
                }
            )
    return tally.scores().per_case.merge(pd.DataFrame(distances), on=["case", "class"])
