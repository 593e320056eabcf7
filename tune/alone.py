"""`segtune fit`: one recipe trained in this process, without Ray."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
from rich.console import Console

from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.data.store import Store
from seglib.files import write_whole
from seglib.recipe import Recipe
from tune.preparing import DEMO, prepare_data
from tune.request import Request
from tune.run_directory import RunDirectory
from tune.study_file import StudyFile
from tune.trial import FAILURE, HALT, NOTE, ROW, run_trial
from tune.trial_files import EPOCHS, LEGACY, RECIPE
from tune.yaml_lines import write_yaml

__all__ = ["fit_alone"]


def fit_alone(request: Request, console: Console) -> int:
    """Train one recipe, or go on with it: the first row of a grid, else the default recipe.

    So ``best.yaml`` trains the best one. The trial has the seed of a search's trial 0.
    Its files are in ``OUT/NAME-fit``.

    Args:
        request: What was asked for.
        console: Where to show it.

    Returns:
        The exit code: 0 done, 1 failed.

    Raises:
        SegtuneError: Something the user can mend.
    """
    study = request.load_to_train()
    folder = RunDirectory((request.out / f"{study.folder_name}-fit").resolve())
    failures: list[str] = []
    with folder.locked():
        if study.data.layout in PHANTOM_LAYOUTS:
            console.print(DEMO, style="bold yellow", markup=False)
        changes = folder.compare_study(study)
        store = prepare_data(request, study, console)
        config = _config(study, folder, store)
        folder.settle_study(study)
        for sentence in changes:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        folder.write_environment(store)
        write_whole(folder.path / RECIPE, write_yaml(config["recipe"]))

        def show(sent: dict[str, Any]) -> None:
            if FAILURE in sent or HALT in sent:
                failures.append(sent.get(FAILURE) or sent[HALT])
            elif NOTE in sent:
                console.print(sent[NOTE], markup=False, highlight=False, soft_wrap=True)
            else:
                line = _line(sent[ROW], study.metric.name, config["recipe"]["epochs"])
                console.print(line, markup=False, highlight=False)

        if config["num_reported"]:
            console.print(f"goes on after epoch {config['num_reported']}", markup=False)
        run_trial(config, show)
    for failure in failures:
        console.print(failure, style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(_best_line(folder, study), markup=False, highlight=False)
    if (folder.path / LEGACY).exists():
        console.print(_lab_line(folder), markup=False, highlight=False, soft_wrap=True)
    console.print(f"files: {folder.path}", markup=False, highlight=False, soft_wrap=True)
    return 1 if failures else 0


def _config(study: StudyFile, folder: RunDirectory, store: Store) -> dict[str, Any]:
    """What ``run_trial`` works from, the same as for trial 0 of a search."""
    values = study.rows[0].values if study.rows else study.default_point()
    return {
        "recipe": Recipe.model_validate(values).model_dump(),
        "seed": study.trial_seed(0, study.seeds[0] if study.seeds else None),
        "num_reported": len(_epochs_so_far(folder)),
        "folder": str(folder.path),
        "store": str(store.path),
        "split": asdict(folder.settle_splits(store, study).search_part()),
        "metric": study.metric.name,
        "maximize": study.metric.goal == "maximize",
        "threads": study.resources.cores,
    }


def _epochs_so_far(folder: RunDirectory) -> list[dict[Hashable, Any]]:
    path = folder.path / EPOCHS
    try:
        return pd.read_csv(path).to_dict("records") if path.exists() else []
    except ValueError:  # damaged: it is written anew from the checkpoint
        return []


def _best_line(folder: RunDirectory, study: StudyFile) -> str:
    rows = _epochs_so_far(folder)
    if not rows:
        return "no epoch was finished"
    choose = max if study.metric.goal == "maximize" else min
    best = choose(rows, key=lambda row: row["score"])
    return (
        f"best: {study.metric.name} {best['score']:.4f} at epoch {best['epoch']:.0f} of "
        f"{len(rows)}, on {best['num_cases']:.0f} validation cases"
    )


def _lab_line(folder: RunDirectory) -> str:
    """The last epoch beside what the lab's notebooks would show for it."""
    last, lab = _epochs_so_far(folder)[-1], pd.read_csv(folder.path / LEGACY).iloc[0]
    return (
        f"last epoch: dice {last['dice']:.4f}; as the lab's notebooks score it, over batches, "
        f"{lab['batch_dice']:.4f}, and with background {lab['batch_dice_with_background']:.4f}"
    )


def _line(row: Mapping[str, float], metric: str, epochs: int) -> str:
    return (
        f"epoch {row['epoch']:.0f} of {epochs}: {metric} {row['score']:.4f} "
        f"train_loss {row['train_loss']:.4f} val_loss {row['val_loss']:.4f} {row['seconds']:.1f} s"
    )
