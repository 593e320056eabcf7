"""segtune: a whole trial as Ray's worker runs it, one epoch a round; in fp32, or as it chooses.

`run_trial` in a thread of a process that has imported Ray, through the real store, loader,
augmentation and `fit`. An epoch is training, scores, validation, checkpoint and tables: all
that is done before the next begins. The last epoch never comes, so the scores after it don't.
"""

from __future__ import annotations

import argparse
import itertools
import json
import queue
import threading
from collections.abc import Callable
from typing import Any

from rounds import (
    AUGMENTATION,
    flop_of_step,
    num_parameters,
    read_options,
    read_slices,
    repeated,
    serve,
)


def build_recipe(options: argparse.Namespace) -> Any:
    """Optimiser, step size and augmentation of the lab's task 4, all else by default."""
    from seglib.recipe import Recipe

    return Recipe(
        base_filters=options.base,
        depth=options.depth,
        batch_size=options.batch,
        dropout=options.dropout,
        precision="auto" if options.what == "auto" else "fp32",
        optimizer="adam",
        learning_rate=1e-4,
        schedule="constant",
        epochs=100_000,
        rotation_deg=AUGMENTATION["rotation_deg"],
        shift=AUGMENTATION["shift"],
        zoom=AUGMENTATION["zoom"],
        flip_horizontal=AUGMENTATION["flip"],
    )


def trial_of(options: argparse.Namespace, recipe: Any) -> Callable[[], int]:
    """Begins a trial that waits for each round; a round returns its number of images."""
    from tune.trial import ROW, run_trial

    split = json.loads((options.data / "split.json").read_text())
    config = {
        "number": 0, "recipe": recipe.model_dump(), "seed": 0, "num_reported": 0,
        "folder": str(options.data / f"trial-{options.what}"), "store": str(options.data / "store"),
        "split": split, "metric": "dice", "maximize": True, "threads": 1,
    }  # fmt: skip
    told: queue.Queue[None] = queue.Queue()
    sent_rows: queue.Queue[dict[str, Any]] = queue.Queue()

    def report(sent: dict[str, Any]) -> None:
        sent_rows.put(sent)
        told.get()

    def trial() -> None:
        told.get()
        run_trial(config, report)

    threading.Thread(target=trial, daemon=True).start()
    num_images = len(read_slices(options.data)[0])

    def one_epoch() -> int:
        told.put(None)
        sent = sent_rows.get()
        if ROW not in sent:
            raise SystemExit(str(sent))
        return num_images

    return one_epoch


def input_of(options: argparse.Namespace, recipe: Any) -> Callable[[], int]:
    """The loader alone, as an epoch of training reads it."""
    import numpy as np

    from seglib.augment import build_augment
    from seglib.data.loader import iterate
    from seglib.data.store import Store

    store = Store.open(options.data / "store")
    split = json.loads((options.data / "split.json").read_text())
    rows = np.flatnonzero(store.index["group"].isin(split["train"]))
    augment = build_augment(recipe, store.target.mirror_pairs(), store.fill)
    seeds = itertools.count()

    def one_pass() -> int:
        batches = iterate(
            store, rows, batch_size=options.batch, seed=next(seeds), shuffle=True, augment=augment
        )
        return sum(len(batch.rows) for batch in batches)

    return repeated(one_pass)


def main() -> None:
    options = read_options("fp32", "auto")
    import torch

    import tune.trainable  # noqa: F401  Ray is part of what a worker holds
    from seglib.unet import UNet

    torch.set_num_threads(1)
    recipe = build_recipe(options)
    facts: dict[str, Any] = {"versions": f"torch {torch.__version__}"}
    if options.what == "input":
        serve(facts, input_of(options, recipe))
        return
    network = UNet(recipe, num_channels=1, num_logits=1)
    size = read_slices(options.data)[0].shape[1]
    facts["parameters"] = num_parameters(network)
    facts["flop"] = flop_of_step(network, size)
    del network
    serve(facts, trial_of(options, recipe))


if __name__ == "__main__":
    main()
