"""The best, a middling and the worst case of a run's best trial: slices, truth and prediction.

Predicting is what takes time, so what was found is kept beside the report, and used again
until the trial has a better epoch, also when checkpoint or prepared data are gone by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.data.splits import rows_of
from seglib.data.store import Store
from seglib.errors import SegtuneError, UnwritableError
from seglib.files import checksum, write_whole
from seglib.recipe import Recipe
from tune.entries import Entry, recipe_key
from tune.prepared_store import find_store
from tune.report import best_point, best_row
from tune.reporting.ablation import case_scores
from tune.reporting.evidence import RunData, TrialData
from tune.reporting.kept_pictures import (
    CasePicture,
    CasePictures,
    load_pictures,
    pack_pictures,
)
from tune.trial_files import BEST, trial_folder

__all__ = ["choose_slices", "picture_cases"]

MOST_SLICES = 20
_FILE = Path("figures") / "overlays.npz"
_VERSION = 1
_COLOURED = ("red", "green", "blue")


def picture_cases(run: RunData) -> CasePictures | None:
    """Predict the cases, or take what was predicted before.

    Args:
        run: The run; its figures' folder gets a file that makes the next time quick.

    Returns:
        The pictures, or why there are none; None before any epoch.
    """
    winner = _winner(run)
    if winner is None or winner.best is None:
        return None
    checkpoint = _checkpoint(run, winner.entry.number)
    about: dict[str, Any] = {
        "version": _VERSION,
        "trial": winner.entry.number,
        "epoch": int(winner.best["epoch"].iloc[0]) if "epoch" in winner.best else 0,
        "data": run.data.get("key"),
        "checkpoint": checksum(checkpoint) if checkpoint.is_file() else None,
    }
    kept = run.view.folder.path / _FILE
    found = load_pictures(kept, about)
    if found is not None:
        return found
    found = _predict(run, winner, checkpoint, epoch=about["epoch"])
    if found.cases:
        with suppress(UnwritableError):  # the page says so itself
            write_whole(kept, pack_pictures(found, about))
    return found


def choose_slices(marked: Sequence[int], most: int) -> list[int]:
    """Places in a volume worth a look: around all that is marked, evenly, the largest among them.

    Args:
        marked: Pixels of truth in each slice.
        most: How many to choose.

    Returns:
        Places, rising; of a volume in which nothing is marked, from its first to its last slice.
    """
    held = np.flatnonzero(np.asarray(marked))
    low, high = (int(held[0]), int(held[-1])) if len(held) else (0, len(marked) - 1)
    if len(held):  # what was marked beyond the truth is worth seeing, too
        around = max(1, (high - low + 1) // 6)
        low, high = max(0, low - around), min(len(marked) - 1, high + around)
    count = min(most, high - low + 1)
    chosen = np.unique(np.linspace(low, high, count).round().astype(int))
    if len(held):
        largest = int(np.argmax(marked))
        chosen[np.abs(chosen - largest).argmin()] = largest
    return [int(place) for place in chosen]


def _winner(run: RunData) -> TrialData | None:
    """The trial that ``segtune predict`` would take: the best of which a checkpoint is left."""
    trials = {trial.entry.number: trial for point in run.points for trial in point.trials}
    ranked = _rank(run)
    left = [number for number in ranked if _checkpoint(run, number).is_file()]
    return next((trials[number] for number in left or ranked if number in trials), None)


def _rank(run: RunData) -> list[int]:
    """Trials with a score, best first; with seeds, those of the best row before all others."""
    study, entries = run.study, run.view.entries
    sign = 1.0 if study.metric.goal == "minimize" else -1.0
    point = best_point(study, entries)
    best = None if point is None else recipe_key(point.recipe)

    def order(entry: Entry) -> tuple[bool, float, int]:
        score = (best_row(study, entry) or {})["score"]
        return best is not None and recipe_key(entry.recipe) != best, sign * score, entry.number

    return [entry.number for entry in sorted((e for e in entries if e.rows), key=order)]


def _checkpoint(run: RunData, number: int) -> Path:
    return trial_folder(run.view.folder.path, number) / BEST


def _predict(run: RunData, winner: TrialData, checkpoint: Path, *, epoch: int) -> CasePictures:
    nothing = CasePictures(winner.entry.number, epoch)
    if not checkpoint.is_file():
        note = f"The checkpoint of trial {winner.entry.number} is not in this folder (any more)"
        return CasePictures(nothing.trial, epoch, note=f"{note}, so there is nothing to draw.")
    store = find_store(run.view.folder.path, run.starts[-1] if run.starts else {})
    if store is None:
        note = "The prepared data are gone, so there is nothing to draw on. The command of the "
        note += "search prepares them again."
        return CasePictures(nothing.trial, epoch, note=note)
    try:
        channel, cases = _predict_cases(run, winner, checkpoint, store)
    except SegtuneError as error:
        note = f"The pictures could not be drawn: {error}"
        return CasePictures(nothing.trial, epoch, note=note)
    note = "" if cases else "No validation case has anything to find."
    return CasePictures(nothing.trial, epoch, channel, store.target.classes, cases, note)


def _predict_cases(
    run: RunData, winner: TrialData, checkpoint: Path, store: Store
) -> tuple[str, tuple[CasePicture, ...]]:
    """What the images show, and the cases."""
    from seglib.evaluate import predict_rows

    assert winner.best is not None, "asked before"
    chosen = _choose_cases(case_scores(winner.best))
    of_case = {case: _rows_of_case(run, store, case) for case in chosen}
    picked = {
        case: rows[choose_slices([int((store.masks[row] > 0).sum()) for row in rows], MOST_SLICES)]
        for case, rows in of_case.items()
        if len(rows)
    }
    if not picked:
        return "", ()
    pred = predict_rows(checkpoint, store, np.concatenate(list(picked.values())))
    member = np.array(store.target.membership())
    masks = {case: np.stack([store.masks[row] for row in rows]) for case, rows in picked.items()}
    images = {case: np.stack([store.images[row] for row in rows]) for case, rows in picked.items()}
    shown, name = _shown_channels(winner, store, images, masks)
    ends = np.cumsum([len(rows) for rows in picked.values()])
    cases = [
        CasePicture(
            case=case,
            rank=chosen[case][0],
            dice=chosen[case][1],
            slices=tuple(store.index["slice"].iloc[rows].tolist()),
            num_slices=len(of_case[case]),
            images=images[case][..., shown].squeeze(-1) if len(shown) == 1 else images[case],
            truth=np.moveaxis(member[masks[case]], -1, 1),
            pred=found,
        )
        for (case, rows), found in zip(picked.items(), np.split(pred, ends[:-1]), strict=True)
    ]
    return name, tuple(cases)


def _choose_cases(scores: pd.Series[float]) -> dict[str, tuple[str, float]]:
    """Name -> place among all, and Dice."""
    ranked = scores.dropna().sort_values(ascending=False, kind="stable")
    last = len(ranked) - 1
    places = {0: "best", last // 2 + last % 2: "median", last: "worst"}
    if last < 2:
        places = {0: "best", 1: "worst"} if last else {0: "only"}
    pairs = list(zip(ranked.index.astype(str), ranked.tolist(), strict=True))
    return {pairs[at][0]: (word, pairs[at][1]) for at, word in places.items() if at <= last}


def _rows_of_case(run: RunData, store: Store, case: str) -> NDArray[np.int64]:
    """All slices of a case in their order; where slices were split, those that validated."""
    index = store.index
    of_case = index["case"].astype(str) == case
    if run.splits is not None and run.splits.by == "slice":
        of_case &= index.index.isin(rows_of(index, run.splits.val, by="slice"))
    rows = np.flatnonzero(of_case)
    order: NDArray[np.int64] = rows[index["slice"].to_numpy()[rows].argsort(kind="stable")]
    return order


def _shown_channels(
    winner: TrialData,
    store: Store,
    images: Mapping[str, NDArray[np.uint8]],
    masks: Mapping[str, NDArray[np.uint8]],
) -> tuple[list[int], str]:
    """Colours as they are; else the channel in which the truth stands out most."""
    if store.channels == _COLOURED:
        return [0, 1, 2], "colour"
    seen = Recipe(**winner.entry.recipe).seen_channels(store.channels)
    image, marked = np.concatenate(list(images.values())), np.concatenate(list(masks.values())) > 0

    def contrast(name: str) -> float:
        pixels = image[..., store.channels.index(name)]
        rest = ~marked & (pixels != store.fill)
        if not marked.any() or not rest.any():
            return 0.0
        spread = float(pixels[rest].std()) + 1.0
        return abs(float(pixels[marked].mean()) - float(pixels[rest].mean())) / spread

    best = max(seen, key=contrast)
    return [store.channels.index(best)], best
