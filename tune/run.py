"""`python tune/run.py --space FILE`: a whole search, from study file to leaderboard."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from seglib.data.spec import PHANTOM_LAYOUTS
from seglib.errors import Problem, StudyFileError
from tune.gpu_share import gpus_per_trial
from tune.request import Request
from tune.study_file import StudyFile

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from seglib.data.splits import Split
    from seglib.data.store import Store
    from seglib.recipe import Recipe
    from tune.executor import Job
    from tune.interruption import Interruption
    from tune.ledger import Ledger
    from tune.retention import Quota
    from tune.run_directory import RunDirectory

__all__ = ["DEMO", "build_store", "prepare_data", "run_search"]

DEMO = (
    "DEMO on generated phantoms, not on patients: the scores show that the software works, "
    "nothing else. For real data give --data DIR."
)


def run_search(request: Request, console: Console, interruption: Interruption | None = None) -> int:
    """Prepare the data, run or continue the search, write and show what it found.

    Args:
        request: What was asked for.
        console: Where to show it.
        interruption: Why to wind down, for a caller whom it concerns, too.

    Returns:
        The exit code: 0 done, 1 failed, 128 and its number when a signal ended it.

    Raises:
        SegtuneError: Something the user can mend.
        Interrupted: A signal came while nothing was in training.
    """
    study = request.load_to_train()
    from tune.announcement import announce
    from tune.cluster import check_address
    from tune.division import divide
    from tune.extension import extend_trials
    from tune.run_directory import RunDirectory

    check_address(request.address)
    _require_gpus(study, request.address)
    folder = RunDirectory((request.out / study.folder_name).resolve())
    with folder.locked():
        if study.data.layout in PHANTOM_LAYOUTS:
            console.print(DEMO, style="bold yellow", markup=False)
        if not folder.environment.exists():  # nothing is written before the data are sound
            divide(build_store(request, study, console), study)
        for sentence in folder.settle_study(study):
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        storage = folder.settle_storage(request.storage)
        store = prepare_data(request, study, console)
        quota = _quota(request, study, store)
        ledger = _open_ledger(study, storage, store, quota)
        splits = folder.settle_splits(store, study)
        for sentence in extend_trials(ledger, folder.path, request.extend):
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        if splits.by == "slice":
            console.print(f"warning: {splits.warning}", style="yellow", markup=False)
        job = _job(request, folder, store=store, split=splits.search_part(), study=study)
        folder.write_environment(store, request.storage)
        announce(ledger, store, job, num_locked=len(splits.test), console=console)
        code = _train(ledger, job, folder, console, interruption=interruption, quota=quota)
        if code == 1:  # why is said; who is to mend it looks for nothing else
            return code
        if not _conclude(ledger, folder, store, console):
            code = code or 1
        elif request.report and code < 128:
            from tune.reporting.page import add_report

            add_report(folder.path, console, request.storage)
    return code


def prepare_data(request: Request, study: StudyFile, console: Console) -> Store:
    """The prepared data of a study: made now, or found where they were made before.

    Args:
        request: Says where the sources are and where prepared data go.
        study: Says what to make of them.
        console: Shows progress and what the user should know of the data.

    Returns:
        The store, opened.

    Raises:
        DataError: The folder or its files have faults.
    """
    store = build_store(request, study, console)
    for note in store.info.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    return store


def build_store(request: Request, study: StudyFile, console: Console) -> Store:
    """The same as :func:`prepare_data`, without a word but of how far it is."""
    from seglib.data.prepare import prepare
    from tune.progress import progress_on

    source = None if study.data.layout in PHANTOM_LAYOUTS else request.data
    cache = (request.cache or request.out / ".cache").resolve()
    with progress_on(console) as report:
        return prepare(study.data, source, cache, progress=report)


def _quota(request: Request, study: StudyFile, store: Store) -> Quota | None:
    from tune.retention import Quota

    return Quota.of(study, store, _concurrent(study, store, request.address))


def _open_ledger(
    study: StudyFile, storage: BaseStorage, store: Store, quota: Quota | None
) -> Ledger:
    from tune.feasibility import why_infeasible
    from tune.ledger import Ledger

    on_gpu = gpus_per_trial(study, store) > 0

    def infeasible(recipe: Recipe) -> str:
        reason = why_infeasible(
            recipe,
            study.constraints,
            channels=store.channels,
            num_logits=store.target.num_logits,
            image_size=store.image_size,
            on_gpu=on_gpu,
        )
        return reason or ("" if quota is None else quota.why_too_large(recipe))

    return Ledger(study, storage, infeasible)


def _job(
    request: Request, folder: RunDirectory, *, store: Store, split: Split, study: StudyFile
) -> Job:
    from tune.executor import Job

    return Job(
        run_dir=folder.path,
        store=store.path,
        split=split,
        cpus=_cpus(study),
        gpus=gpus_per_trial(study, store),
        concurrent=_concurrent(study, store, request.address),
        retries=study.resources.retries,
        compile=study.resources.compile,
        address=request.address,
    )


def _require_gpus(study: StudyFile, address: str) -> None:
    """Ray would wait without an end for a GPU that this machine does not have."""
    import torch

    wish, count = study.resources.gpus_per_trial, torch.cuda.device_count()
    if address == "local" and wish != "auto" and wish > count:
        wanted = f"at most {count}, as many as this machine has"
        problem = Problem("resources.gpus_per_trial", f"{wish:g}", wanted)
        raise StudyFileError(str(study.path), [problem])


def _cpus(study: StudyFile) -> int:
    return max(1, int(study.resources.cpus_per_trial))


def _concurrent(study: StudyFile, store: Store, address: str) -> int | None:
    """No more trials are asked for than can run: a proposal made late knows more."""
    if address != "local":
        return study.resources.concurrent
    fits = len(os.sched_getaffinity(0)) // _cpus(study)
    if gpus := gpus_per_trial(study, store):
        import torch

        fits = min(fits, int(torch.cuda.device_count() / gpus))
    fits = max(fits, 1)
    return min(study.resources.concurrent or fits, fits)


def _train(
    ledger: Ledger,
    job: Job,
    folder: RunDirectory,
    console: Console,
    *,
    interruption: Interruption | None,
    quota: Quota | None,
) -> int:
    """Run what the ledger asks for, and write what was found; returns the exit code."""
    from tune.announcement import say_nothing_left
    from tune.executor import execute
    from tune.report_writer import ReportWriter
    from tune.retention import CheckpointKeeper
    from tune.screen import watching
    from tune.tracking import build_trackers

    writer, code = ReportWriter(ledger, folder), 0
    if ledger.has_more():
        trackers = build_trackers(ledger, folder.path)
        with ExitStack() as stack:
            for tracker in trackers:
                stack.callback(tracker.close)
            screen = stack.enter_context(watching(ledger, console))
            keeper = CheckpointKeeper(ledger, folder.path, quota)
            code = execute(ledger, job, [writer, keeper, *trackers, screen], interruption)
    else:
        say_nothing_left(ledger, console)
    if code != 1:  # else there may be no room for it
        writer.write()
    return code


def _conclude(ledger: Ledger, folder: RunDirectory, store: Store, console: Console) -> bool:
    """Show what was found; was anything?"""
    from tune.leaderboard import show_leaderboard

    for note in store.info.notes:
        if "own patient" in note:
            console.print(f"note: {note}", style="yellow", markup=False)
    if not show_leaderboard(ledger.file, ledger.entries(), console):
        return False
    if ledger.file.data.layout in PHANTOM_LAYOUTS:
        console.print(DEMO, style="bold yellow", markup=False)
    for name, path in (("leaderboard", folder.leaderboard), ("best recipe", folder.best)):
        console.print(f"{name + ':':13}{path}", markup=False, highlight=False, soft_wrap=True)
    return True


if __name__ == "__main__":
    # Python puts this file's folder first on the path, where it could shadow other modules.
    sys.path[:] = [
        entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent
    ]
    from tune.cli import main
    from tune.surroundings import settle_surroundings

    settle_surroundings()
    sys.exit(main(["run", *sys.argv[1:]]))
