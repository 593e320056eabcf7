"""How the lab's 0.9998 and 0.0052 came about: its faults planted one by one, scored both ways.

    python benchmarks/lab_story.py [--data CT] [--epochs 20] [--threads 1]

The same small network is trained with and without each fault, on phantom CT or on a folder
in the lab's layout. One table: what such a notebook shows, and beside it the Dice per case
on patients that no part of the training saw. docs/lab.md tells what it means.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seglib.augment import build_augment
from seglib.data.loader import iterate
from seglib.data.phantom import write_phantoms
from seglib.data.prepare import prepare
from seglib.data.spec import DataSpec
from seglib.data.store import Store
from seglib.data.store_writer import write_store
from seglib.legacy import LEGACY_SMOOTH, LegacyTally
from seglib.metrics import Scores, Tally, mask_planes, predict_planes
from seglib.recipe import Recipe
from seglib.target import Target
from seglib.training import Training

Rows = NDArray[np.int64]
Masks = NDArray[np.uint8]
Figures = tuple[float, float, float]

SIZE_PX = 64
PHANTOMS, PHANTOM_PX = 10, 128
GREY = np.array([0, 156, 251], dtype=np.uint8)
LUNG = Target(kind="binary", classes=("lung",), values={0: 0, 156: 1, 251: 2}, members=((1, 2),))
SMALL = Recipe(
    base_filters=8, depth=3, dropout=0.1, lab_exact=True, loss="dice", optimizer="adam",
    learning_rate=3e-3, weight_decay=0, schedule="constant", batch_size=8,
)  # fmt: skip
MOVED = Recipe(rotation_deg=10, shift=0.1, zoom=0.2, flip_horizontal=0.5)


@dataclass(frozen=True)
class Scene:
    """The data, and who is where: ``held`` patients are in no part of any notebook."""

    lung: Store
    organs: Store
    by_patient: tuple[Rows, Rows]
    by_slice: tuple[Rows, Rows]
    held: Rows
    folder: Path
    epochs: int


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    name: str
    train: Figures | None
    shown: Figures
    honest: Scores


def set_scene(data: Path | None, folder: Path, epochs: int) -> Scene:
    """A quarter of the patients is held out; of the rest a fifth validates, drawn both ways.

    Slices are shuffled, as in the lab, so that batches with nothing in them are rare.
    """
    if data is None:
        data = folder / "source"
        write_phantoms("phantom-ct", data, cases=PHANTOMS, seed=3, size=PHANTOM_PX)
    organs = prepare(DataSpec(target="organs", image_size=SIZE_PX), data, folder, workers=1)
    groups = organs.index["group"].to_numpy()
    names = sorted(set(groups))
    num_held = max(1, round(len(names) / 4))
    num_val = max(1, round((len(names) - num_held) / 5))
    held, val = names[:num_held], names[num_held : num_held + num_val]
    inside = np.random.default_rng(0).permutation(np.flatnonzero(~np.isin(groups, held)))
    is_val = np.isin(groups[inside], val)
    cut = round(len(inside) / 5)
    return Scene(
        lung=plant(organs, folder / "lung", lambda grey: np.searchsorted(GREY, grey), LUNG),
        organs=organs,
        by_patient=(inside[~is_val], inside[is_val]),
        by_slice=(inside[cut:], inside[:cut]),
        held=np.flatnonzero(np.isin(groups, held)),
        folder=folder,
        epochs=epochs,
    )


def plant(
    store: Store, path: Path, change: Callable[[Masks], NDArray[np.int64]], to: Target
) -> Store:
    """A store with the same images whose masks are made anew from the grey values."""
    masks = change(GREY[store.masks]).astype(np.uint8)
    index = store.index[[name for name in store.index if not name.startswith("px_")]].copy()
    for name, labels in zip(to.classes, to.members, strict=True):
        index[f"px_{name}"] = np.isin(masks, labels).sum(axis=(1, 2))
    info = store.info.model_copy(update={"target": to, "key": path.name})
    return write_store(path, info, pieces=[(np.array(store.images), masks)], index=index)


def cast_to_int(grey: Masks) -> NDArray[np.int64]:
    """The lab's line: scaled to [0, 1] and cast, 156 and 251 both become 0."""
    return (grey / 255).astype(int)


def start(scene: Scene, store: Store, rows: Rows, loss: str = "dice") -> Training:
    recipe = SMALL.model_copy(update={"loss": loss, "epochs": scene.epochs})
    return Training(recipe, store, rows, seed=1, device=torch.device("cpu"))


def train(scene: Scene, store: Store, rows: Rows, loss: str = "dice") -> Training:
    run = start(scene, store, rows, loss)
    for number in range(scene.epochs):
        run.train_epoch(number + 1)
    return run


@torch.no_grad()
def predictions(run: Training, store: Store, rows: Rows) -> Iterator[tuple[Tensor, Tensor, Rows]]:
    run.model.eval()
    for batch in iterate(store, rows, batch_size=run.recipe.batch_size):
        yield run.model(batch.image)[0], batch.mask, batch.rows.numpy()


def notebook(run: Training, store: Store, rows: Rows, *, background: bool = False) -> Figures:
    """Dice, precision, recall as the lab's notebooks show them."""
    tally = LegacyTally(store.target)
    for logits, mask, _ in predictions(run, store, rows):
        tally.update(logits, mask)
    end = "_with_background" if background else ""
    dice, precision, recall = (
        tally.figures()[f"batch_{name}{end}"] for name in ("dice", "precision", "recall")
    )
    return dice, precision, recall


def per_case(run: Training, store: Store, rows: Rows) -> Scores:
    tally, cases = Tally(store.target), store.index["case"].to_numpy()
    for logits, mask, own in predictions(run, store, rows):
        pred, true = predict_planes(logits, store.target), mask_planes(mask, store.target)
        tally.update(pred, true, list(cases[own]))
    return tally.scores()


def grey_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Dice of a batch against masks left at 0.61 and 0.98."""
    prob, true = logits.sigmoid().squeeze(1), (torch.from_numpy(GREY) / 255)[mask]
    return (2 * (prob * true).sum() + LEGACY_SMOOTH) / (prob.sum() + true.sum() + LEGACY_SMOOTH)


class GreyLoss(torch.nn.Module):
    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        return 1 - grey_dice(logits, mask)


# one fault each


def without_fault(scene: Scene) -> Iterator[Line]:
    """And, of the same network, what picking the epoch on the scoring set adds."""
    fit_rows, val = scene.by_patient
    run = start(scene, scene.lung, fit_rows)
    epochs: list[tuple[Figures, Scores]] = []
    for number in range(scene.epochs):
        run.train_epoch(number + 1)
        shown = notebook(run, scene.lung, val)
        epochs.append((shown, per_case(run, scene.lung, scene.held)))
    yield Line("no fault: split by patient", notebook(run, scene.lung, fit_rows), *epochs[-1])
    picked = max(epochs, key=lambda epoch: epoch[0][0])
    yield Line("epoch picked on the scoring set", None, *picked)


def split_by_slice(scene: Scene) -> Iterator[Line]:
    """And, of the same network, what lost validation masks make of its figures."""
    fit_rows, val = scene.by_slice
    run = train(scene, scene.lung, fit_rows)
    in_training, honest = notebook(run, scene.lung, fit_rows), per_case(run, scene.lung, scene.held)
    yield Line("split by slice", in_training, notebook(run, scene.lung, val), honest)
    lost = plant(scene.organs, scene.folder / "lost", cast_to_int, LUNG)
    yield Line("validation masks cast to int", in_training, notebook(run, lost, val), honest)


def masks_of_others(scene: Scene) -> Iterator[Line]:
    """Two generators that do not keep step: each image gets another image's mask."""
    fit_rows, val = scene.by_slice
    lost = Store.open(scene.folder / "lost")
    masks = np.array(scene.lung.masks)
    masks[fit_rows] = masks[np.random.default_rng(1).permutation(fit_rows)]
    mixed = replace(scene.lung, masks=masks)
    run = train(scene, mixed, fit_rows)
    honest = per_case(run, scene.lung, scene.held)
    name = "... and training masks of other images"
    yield Line(name, notebook(run, mixed, fit_rows), notebook(run, lost, val), honest)


def images_moved_alone(scene: Scene) -> Iterator[Line]:
    """Two generators with seeds of their own: the image turns and the mask stays."""
    fit_rows, val = scene.by_slice
    lost = Store.open(scene.folder / "lost")
    augment = build_augment(MOVED)
    assert augment is not None
    images = np.array(scene.lung.images)
    for row in fit_rows:
        images[row] = augment(images[row], scene.lung.masks[row])[0]
    moved = replace(scene.lung, images=images)
    run = train(scene, moved, fit_rows)
    honest = per_case(run, scene.lung, scene.held)
    name = "... and training images moved, masks not"
    yield Line(name, notebook(run, moved, fit_rows), notebook(run, lost, val), honest)


def grey_masks(scene: Scene) -> Iterator[Line]:
    """Masks left at 0.61 and 0.98: a perfect answer scores 0.89."""
    fit_rows, val = scene.by_slice
    run = start(scene, scene.lung, fit_rows)
    run.loss = GreyLoss()
    for number in range(scene.epochs):
        run.train_epoch(number + 1)

    def shown(rows: Rows) -> Figures:
        found = [float(grey_dice(*both)) for *both, _ in predictions(run, scene.lung, rows)]
        return (float(np.mean(found)), *notebook(run, scene.lung, rows)[1:])

    honest = per_case(run, scene.lung, scene.held)
    yield Line("masks left at 0.61 and 0.98", shown(fit_rows), shown(val), honest)


def background_counted(scene: Scene) -> Iterator[Line]:
    """One network with right masks, one with masks that the cast emptied."""
    fit_rows, val = scene.by_slice
    lost = plant(scene.organs, scene.folder / "lost-organs", cast_to_int, scene.organs.target)
    names = ("two organs, background counted", "... and all masks cast to int")
    for name, store in zip(names, (scene.organs, lost), strict=True):
        run = train(scene, store, fit_rows, "ce")
        in_training, shown = (
            notebook(run, store, rows, background=True) for rows in (fit_rows, val)
        )
        yield Line(name, in_training, shown, per_case(run, scene.organs, scene.held))


STORIES = (
    without_fault, split_by_slice, masks_of_others, images_moved_alone, grey_masks,
    background_counted,
)  # fmt: skip


def three(figures: Figures | None) -> str:
    return " ".join(f"{one:.4f}" for one in figures) if figures else "as above"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder in the layout of the lab's CT")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        scene = set_scene(options.data, Path(folder), options.epochs)
        num_held = scene.lung.index["group"].iloc[scene.held].nunique()
        print(
            f"{'phantoms' if options.data is None else 'patients'}: {scene.lung.info.num_groups}, "
            f"{len(scene.lung)} slices of {SIZE_PX} px; {num_held} held out; by patient "
            f"{len(scene.by_patient[0])} + {len(scene.by_patient[1])} slices, by slice "
            f"{len(scene.by_slice[0])} + {len(scene.by_slice[1])}; {scene.epochs} epochs, one seed"
        )
        print(f"| what was done | training: Dice, P, R | the notebook's validation: Dice, P, R "
              f"| Dice per case, {num_held} held-out patients |\n|---|---|---|---|")  # fmt: skip
        for story in STORIES:
            for line in story(scene):
                print(f"| {line.name} | {three(line.train)} | {three(line.shown)} "
                      f"| {line.honest.dice:.4f} |", flush=True)  # fmt: skip
    print(f"{time.perf_counter() - started:.0f} s; empty masks: {line.honest.empty_policy}")


if __name__ == "__main__":
    main()
