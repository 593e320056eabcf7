"""One trial and its files: for epoch in fit(recipe): save, report. Knows nothing of Ray."""

from __future__ import annotations

import os
import platform
import shutil
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import torch

from seglib.allocator import keep_freed_memory
from seglib.checkpoint import CheckpointError, is_whole, load_checkpoint, previous_of
from seglib.data.splits import Split
from seglib.data.store import Store
from seglib.device import choose_device
from seglib.errors import DataError, RunError, SegtuneError, UnwritableError
from seglib.evaluate import evaluate
from seglib.files import clear_unfinished, replacing, write_whole, writing
from seglib.fit import Epoch, fit
from seglib.memory import give_back
from seglib.recipe import Recipe
from tune.node_store import node_cache, take_store
from tune.trial_files import BEST, CASES, EPOCHS, ERROR, FINAL, LAST, LEGACY, NOTES
from tune.trial_home import Superseded, TrialHome, at_home

__all__ = ["FAILURE", "HALT", "KIND", "NOTE", "READY", "ROW", "run_trial"]

ROW = "row"
FAILURE = "failure"
HALT = "halt"
KIND = "kind"
NOTE = "note"
READY = "ready"

Row = dict[str, float]
Report = Callable[[dict[str, Any]], None]
Ready = Callable[[], object]


def run_trial(config: Mapping[str, Any], report: Report, ready: Ready = lambda: None) -> None:
    """Train one trial and report ``{"row": ...}`` per epoch.

    After each epoch the checkpoint is on disk before the row is reported. A trial
    that has a checkpoint goes on after it and reports what the ledger lacks; if no
    checkpoint of it can be read any more, it begins anew and reports all epochs again.
    A trial that cannot go on reports one row ``{"failure": reason}`` and returns:
    trying it again would fail again, only a dead process is worth another try. Where
    no trial could go on, for want of disk or of sound data, it reports ``{"halt":
    reason, "kind": which}``. What happened to it beside that is said in ``notes.txt``, and what was
    damaged in ``{"note": sentence}``, too.

    A trial that was let through all its epochs is then scored as its network is, on the
    validation cases: no epoch is chosen on the set that scores it. ``final.csv`` has a
    row per case and class, ``legacy.csv`` one row as the lab's notebooks scored.
    ``report`` never returns to a trial that is stopped early, so that one has neither.

    Args:
        config: ``folder``, ``store``, ``split``, ``recipe``, ``seed``, ``metric``,
            ``maximize``, ``threads`` and ``num_reported``, perhaps ``compiled`` (the folder
            for compiled networks), ``joined`` (the machine is one of many, and has such a
            folder of its own), ``store_key`` (a copy of that store on this machine is used),
            ``url`` and ``private`` (see ``tune.trial_home``): plain data, see
            ``tune.executor``.
        report: Called with what is to be told.
        ready: Called when all that it needs is here, and training begins.

    Raises:
        Superseded: Another process has taken the trial up.
    """
    torch.set_num_threads(config["threads"])
    cv2.setNumThreads(1)  # one slice at a time is too little for more
    keep_freed_memory()
    try:
        with at_home(config) as home:
            _run(config, home, report, ready=ready)
    except (UnwritableError, RunError) as error:
        report(_halt(error))
    finally:
        give_back(choose_device())  # Ray keeps the process, for a trial that may be smaller


def _run(config: Mapping[str, Any], home: TrialHome, report: Report, *, ready: Ready) -> None:
    try:
        with writing(home.folder):
            home.take_up()
            _train(config, home, report, ready=ready)
    except Superseded:
        raise  # to Ray, should that still listen: returning would mean that the trial is complete
    except (UnwritableError, _StoreLost) as error:
        report(_halt(error))
    except SegtuneError as error:
        report({FAILURE: f"{_kind(error)}: {error}"})
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        with suppress(UnwritableError):
            home.require_ours()
            write_whole(home.folder / ERROR, traceback.format_exc())
            home.keep_small()
        report({FAILURE: f"{type(error).__name__}: {first_line}"})


class _StoreLost(Exception):
    """The prepared data cannot be opened: that is no fault of a trial."""


def _halt(error: Exception) -> dict[str, Any]:
    return {HALT: str(error), KIND: type(error).__name__}


def _train(config: Mapping[str, Any], home: TrialHome, report: Report, *, ready: Ready) -> None:
    folder, recipe = home.folder, Recipe(**config["recipe"])
    state = _take_up(config, folder, report)
    store = _open_store(config["store"], config.get("store_key"))
    split = _to_split(config["split"])
    _note_micro_batches(folder, state["rows"] if state else [], recipe)
    if state is None or len(state["rows"]) < recipe.epochs:
        for name in (FINAL, LEGACY):  # of a shorter training than is asked for now
            (folder / name).unlink(missing_ok=True)
    ready()
    epochs = fit(
        recipe,
        store,
        split,
        seed=config["seed"],
        metric=config["metric"],
        resume=state,
        compile_mode="default" if _shares_compiled(config) else None,
    )
    cases = state.get("cases", "") if state else ""
    with closing(epochs):  # type: ignore[type-var]
        for epoch in epochs:
            home.require_ours()
            is_best = _best_epoch(epoch.rows, config["maximize"]) == epoch.number
            if is_best:
                table = epoch.scores.per_case.assign(epoch=epoch.number)
                cases = table.to_csv(index=False)
            _save(epoch, folder, config["maximize"], cases=cases)
            _note_micro_batches(folder, epoch.rows, recipe)
            home.keep(best=is_best)
            report({ROW: epoch.as_row()})
    home.require_ours()
    _score_last_epoch(folder, store, split)
    home.keep_small()


def _shares_compiled(config: Mapping[str, Any]) -> bool:
    """Are networks compiled? Then what one trial has compiled serves all of its machine.

    It is built for this very processor: another one may not know its instructions. The cache
    may lie in a home that several machines share, so that it has the machine's name.
    """
    if not config.get("compiled"):
        return False
    own = node_cache() / "compiled" / platform.node()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(own) if config.get("joined") else config["compiled"]
    return True


def _take_up(config: Mapping[str, Any], folder: Path, report: Report) -> dict[str, Any] | None:
    """The state to go on from, with all files as it says; None to begin with the first epoch."""

    def tell(sentence: str) -> None:
        _note(folder, sentence)
        report({NOTE: sentence})

    for place in (folder, (folder / LAST).parent):
        clear_unfinished(place)
    if not any(path.exists() for path in (folder / LAST, previous_of(folder / LAST))):
        if config["num_reported"]:
            tell("there is no checkpoint any more; trained again from epoch 1")
        return None
    try:
        state, note = load_checkpoint(folder / LAST)
    except CheckpointError as error:
        tell(f"{'; '.join(map(str, error.problems))}; trained again from epoch 1")
        shutil.rmtree((folder / LAST).parent)
        return None
    if other := _differs(state, config):
        tell(f"the checkpoint is of another trial ({other}); trained again from epoch 1")
        shutil.rmtree((folder / LAST).parent)
        return None
    if note:
        tell(note)
    if note or not (folder / LAST).exists():
        previous_of(folder / LAST).replace(folder / LAST)
    _write_epochs(folder, state["rows"])
    if cases := state.get("cases"):  # checkpoints of older versions have none
        write_whole(folder / CASES, cases)
    _keep_best(folder, state["rows"], config["maximize"])
    if not is_whole(folder / BEST):
        (folder / BEST).unlink(missing_ok=True)
        tell("best.pt: found damaged or missing; there is none until an epoch scores better")
    for row in state["rows"][config["num_reported"] :]:
        report({ROW: row})
    return state


def _differs(state: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Which knobs a checkpoint has otherwise than it should; only epochs may be raised."""
    had = Recipe.model_validate_json(state["recipe"]).model_dump()
    wanted = Recipe(**config["recipe"]).model_dump()
    free = {"epochs", *(["precision"] if config.get("auto_precision") else [])}
    names = [name for name in wanted if had[name] != wanted[name] and name not in free]
    if state["seed"] != config["seed"]:
        names.append("seed")
    return ", ".join(names)


def _score_last_epoch(folder: Path, store: Store, split: Split) -> None:
    """Write what the network of the last checkpoint scores, unless it is written already."""
    if (folder / FINAL).exists() and (folder / LEGACY).exists():
        return
    found = evaluate(folder / LAST, store, split.rows(store.index, "val"))
    write_whole(folder / FINAL, found.per_case.to_csv(index=False))
    write_whole(folder / LEGACY, pd.DataFrame([found.legacy]).to_csv(index=False))


def _save(epoch: Epoch, folder: Path, maximize: bool, *, cases: str) -> None:
    """Everything of an epoch to disk; the checkpoint decides, all else follows from it."""
    epoch.save(folder / LAST, cases)
    write_whole(folder / CASES, cases)
    _keep_best(folder, epoch.rows, maximize)
    _write_epochs(folder, epoch.rows)


def _best_epoch(rows: tuple[Row, ...], maximize: bool) -> int:
    choose = max if maximize else min
    return int(choose(rows, key=lambda row: row["score"])["epoch"])


def _keep_best(folder: Path, rows: Any, maximize: bool) -> None:
    """The last checkpoint is the best one too, when its epoch scored best: link it."""
    if not rows or _best_epoch(tuple(rows), maximize) != len(rows):
        return
    with replacing(folder / BEST) as copy:
        try:
            os.link(folder / LAST, copy)
        except OSError:
            shutil.copyfile(folder / LAST, copy)


def _write_epochs(folder: Path, rows: Any) -> None:
    write_whole(folder / EPOCHS, pd.DataFrame(rows).to_csv(index=False))


def _note_micro_batches(folder: Path, rows: Any, recipe: Recipe) -> None:
    """Say at which epochs memory ran out, and what changed with that."""
    before = recipe.batch_size
    for row in rows:
        size = int(row.get("micro_batch", before))  # rows of older versions have none
        if size < before:
            sentence = f"epoch {row['epoch']}: out of memory, trained on {size} at a time, "
            sentence += f"gradients added up to the batch of {recipe.batch_size}"
            if recipe.norm == "batch":
                sentence += "; batch normalisation has the statistics of the smaller part"
            _note(folder, sentence)
        before = size


def _note(folder: Path, sentence: str) -> None:
    """Add a line to the trial's notes, once."""
    file = folder / NOTES
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    if sentence not in known.splitlines():
        write_whole(file, f"{known}{sentence}\n")


def _kind(error: SegtuneError) -> str:
    """``DivergedError`` becomes ``diverged``, ``InfeasibleError`` becomes ``infeasible``."""
    return type(error).__name__.removesuffix("Error").lower()


def _to_split(parts: dict[str, Any]) -> Split:
    return Split(tuple(parts["train"]), tuple(parts["val"]), parts["by"])


@lru_cache(maxsize=2)
def _open_store(path: str, key: str | None = None) -> Store:
    """The store where it lies, or, with its key, this machine's copy of it."""
    try:
        return Store.open(take_store(path, key) if key else Path(path))
    except (DataError, OSError) as error:
        raise _StoreLost(str(error)) from error
