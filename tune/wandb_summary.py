"""The whole of a search as one W&B run: tables, pictures, parallel coordinates, the best network.

A run per trial shows how each went; this one is told when the search has ended, and again each
time that it has gone on.
"""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tune.ledger import Ledger
from tune.report import best_row, build_leaderboard
from tune.reporting.case_pictures import picture_cases
from tune.reporting.evidence import RunData, TrialData, gather
from tune.reporting.kept_pictures import CasePicture, CasePictures
from tune.reporting.spaces import build_axis, draw_parallel, scale_axis
from tune.tracking import choose_wandb_mode
from tune.trial_files import BEST, trial_folder
from tune.wandb_client import (
    SECONDS_TO_END,
    Background,
    ask_server,
    end_wandb,
    first_line,
    open_run,
    say_sync,
)

__all__ = ["MOST_SECONDS", "add_summary"]

MOST_SECONDS = 45.0
"""That a search waits for this at its end, at most."""

_SECONDS_ONLINE = 25.0
_MOST_ROWS = 5000
_MOST_AXES = 12
_SLICES_OF_A_CASE = 7
_PAGE = "<html><body style='margin:0;background:#fff;font-family:sans-serif'>{}</body></html>"

log = logging.getLogger("segtune")


@dataclass(frozen=True, eq=False)
class _Content:
    """What is told, ready before W&B is asked for anything.

    Args:
        heading: Project, name, id and configuration.
        figures: Summary of the run.
        tables: By name.
        parallel: An SVG; empty where there is nothing to compare.
        pictures: The cases; None where there are none.
        checkpoint: Of the best trial; None where it is not here.
        best: The study file of the best recipe.
        artifact: Name, type and metadata of what holds both.
    """

    heading: Mapping[str, Any]
    figures: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    parallel: str
    pictures: CasePictures | None
    checkpoint: Path | None
    best: Path
    artifact: Mapping[str, Any]


def add_summary(ledger: Ledger, folder: Path, storage: str | None = None) -> None:
    """Tell W&B what the search found, unless the study has no W&B; a fault spoils nothing.

    Args:
        ledger: The memory of the search.
        folder: The run directory.
        storage: The ledger's database, where its URL has a password in it.
    """
    mode = choose_wandb_mode(ledger.file.tracking.wandb)
    if mode is None:
        return
    background = Background("the summary in Weights & Biases")
    background.submit(lambda: _tell(_collect(ledger, folder, storage), mode, folder))
    done = background.close(MOST_SECONDS)
    if not done:
        said = "the summary in Weights & Biases was not sent in %.0f s; later: %s"
        log.warning(said, MOST_SECONDS, say_sync(folder, "*run-*-summary"))
    end_wandb(SECONDS_TO_END if done else 0)


def _tell(content: _Content, mode: str, folder: Path) -> None:
    """Online if it is to be and goes well; else to files, for ``wandb sync``."""
    if mode == "online":
        try:
            ask_server()
            _send(content, "online", folder)
            return
        except Exception as error:
            said = "W&B: %s; the summary is written offline, to be sent later: %s"
            log.warning(said, first_line(error), say_sync(folder, "offline-run-*-summary"))
            end_wandb(0)
    _send(content, "offline", folder)


def _send(content: _Content, mode: str, folder: Path) -> None:
    import wandb

    for before in folder.glob(f"wandb/offline-run-*-{content.heading['id']}"):
        shutil.rmtree(before, ignore_errors=True)  # what it says of the search is no longer so
    with _data_in(folder / "wandb"):
        run = open_run(content.heading, mode, folder, seconds=_SECONDS_ONLINE)
        shown: dict[str, Any] = {
            name: wandb.Table(columns=list(table), data=_plain_rows(table), allow_mixed_types=True)
            for name, table in content.tables.items()
        }
        if content.parallel:
            shown["parallel_coordinates"] = wandb.Html(_PAGE.format(content.parallel), inject=False)
        for case in content.pictures.cases if content.pictures else ():
            assert content.pictures is not None, "else there are no cases"
            shown[f"{case.rank}_case"] = list(_draw(case, content.pictures.classes))
        run.log(shown)
        run.summary.update(content.figures)
        if content.checkpoint is not None:
            artifact = wandb.Artifact(**content.artifact)
            kept = _keep(content.checkpoint, folder / "wandb" / "best")
            artifact.add_file(str(kept), name="best.pt", policy="immutable", skip_cache=True)
            if content.best.is_file():
                artifact.add_file(str(content.best), name="best.yaml", skip_cache=True)
            run.log_artifact(artifact, aliases=["best", f"trial-{content.figures['best_trial']}"])
        run.finish()


def _collect(ledger: Ledger, folder: Path, storage: str | None) -> _Content:
    study = ledger.file
    (run,) = gather(folder, storage)
    board = build_leaderboard(study, run.view.entries)
    pictures = picture_cases(run)
    trials = [trial for point in run.points for trial in point.trials]
    number = pictures.trial if pictures else int(board["trial"].iloc[0])
    winner = next(trial for trial in trials if trial.entry.number == number)
    checkpoint = trial_folder(folder, number) / BEST
    figures = _summarise(run, winner)
    tables = {"leaderboard": board.head(_MOST_ROWS)}
    if winner.best is not None:
        tables["cases"] = winner.best.head(_MOST_ROWS)
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", f"{study.name}-best")[:128]
    return _Content(
        heading={
            "project": study.project or "segtune",
            "entity": study.entity,
            "group": study.name,
            "name": f"{study.name}-summary",
            "id": f"{ledger.uid}-summary",
            "job_type": "summary",
            "config": {"study": study.name, "demo": study.demo, "best": dict(winner.entry.recipe)},
        },
        figures=figures,
        tables=tables,
        parallel=_draw_parallel(run),
        pictures=pictures,
        checkpoint=checkpoint if checkpoint.is_file() else None,
        best=run.view.folder.best,
        artifact={
            "name": name,
            "type": "model",
            "metadata": {
                **figures,
                "recipe": dict(winner.entry.recipe),
                "data": run.data.get("key"),
            },
        },
    )


def _summarise(run: RunData, winner: TrialData) -> dict[str, Any]:
    best, entries = best_row(run.study, winner.entry) or {}, run.view.entries
    found: dict[str, Any] = {
        "best_trial": winner.entry.number,
        "best_score": best.get("score"),
        "best_epoch": int(best.get("epoch", 0)),
        "metric": run.study.metric.name,
        "trials": sum(entry.started for entry in entries),
        "stopped_early": sum(entry.state == "PRUNED" for entry in entries),
        "phantoms": run.phantom,
    }
    if "parts" in run.data:
        found["validation_patients"] = run.data["parts"]["val"]["patients"]
    default = next((entry for entry in entries if entry.origin == "default"), None)
    reference = best_row(run.study, default) if default is not None else None
    if best and reference and default is not None and default.state == "COMPLETE":
        found["gain_over_default"] = best["score"] - reference["score"]
    return found


def _draw_parallel(run: RunData) -> str:
    """All trials with a score through the parameters that differ; empty below two of either."""
    scored = {entry.number: best_row(run.study, entry) for entry in run.view.entries}
    scores = {number: float(row["score"]) for number, row in scored.items() if row}
    axes = []
    for name in run.study.space.names:
        values = {e.number: e.values[name] for e in run.view.entries
                  if e.number in scores and name in e.values}  # fmt: skip
        if len({str(value) for value in values.values()}) > 1:
            axes.append(build_axis(run.study.space[name], values))
    if len(scores) < 2 or not axes:
        return ""
    metric, upwards = run.study.metric.name, run.study.metric.goal == "maximize"
    ranked = sorted(scores, key=lambda number: scores[number], reverse=upwards)
    titles = {number: f"trial {number}: {metric} {scores[number]:.4f}" for number in scores}
    whole = [*axes[:_MOST_AXES], scale_axis(metric, scores)]
    strong = set(ranked[: max(1, math.ceil(len(ranked) / 5))])
    alt = f"Parallel coordinates of {len(scores)} trials"
    return draw_parallel(whole, strong, alt=alt, titles=titles).svg


def _draw(case: CasePicture, classes: tuple[str, ...]) -> Iterator[Any]:
    """Some slices with both masks, which W&B can show and hide."""
    import wandb

    labels = dict(enumerate(("ground", *classes)))
    count = min(_SLICES_OF_A_CASE, len(case.slices))
    places = {int(at) for at in np.linspace(0, len(case.slices) - 1, count).round()}
    places |= {int(case.truth.sum(axis=(1, 2, 3)).argmax())}
    for place in sorted(places):
        masks = {
            name: {"mask_data": _labels(planes[place]), "class_labels": labels}
            for name, planes in (("truth", case.truth), ("prediction", case.pred))
        }
        caption = f"{case.case}, slice {case.slices[place]}, Dice of the case {case.dice:.3f}"
        yield wandb.Image(case.images[place], masks=masks, caption=caption)


def _labels(planes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One label a pixel, as W&B wants it: where classes overlap, that of the smaller one."""
    labels = np.zeros(planes.shape[1:], dtype=np.uint8)
    for number in sorted(range(len(planes)), key=lambda number: -int(planes[number].sum())):
        labels[planes[number]] = number + 1
    return labels


def _plain_rows(table: pd.DataFrame) -> list[list[Any]]:
    return [
        [None if pd.isna(value) else value.item() if hasattr(value, "item") else value
         for value in row]
        for row in table.itertuples(index=False, name=None)
    ]  # fmt: skip


def _keep(checkpoint: Path, folder: Path) -> Path:
    """The file under a name of its own, of which no later epoch takes the content.

    W&B may send it much later, and the one before it is wanted no longer. It takes no room of
    its own while the trial has it, too.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept = folder / f"trial-{checkpoint.parents[1].name}-{time.time_ns()}.pt"
    try:
        os.link(checkpoint, kept)
    except OSError:
        shutil.copyfile(checkpoint, kept)
    return kept


@contextmanager
def _data_in(folder: Path) -> Iterator[None]:
    """W&B keeps what it is to send in the run directory, not in the user's home."""
    before = os.environ.get("WANDB_DATA_DIR")
    if before is None:
        os.environ["WANDB_DATA_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            with suppress(KeyError):
                del os.environ["WANDB_DATA_DIR"]
